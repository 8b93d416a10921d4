"""What an artefact must not contain: serving it must not run other code or read other files."""

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from exporters.errors import ArtefactRefusedError

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


def refuse_dangerous(folder: Path) -> None:
    """Refuse a version folder with links, or an ONNX model that reads other files or needs custom operators.

    Raises:
        ArtefactRefusedError: names the file.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArtefactRefusedError(
                f"{path.name} is a link or not a plain file: an artefact must contain all of its data"
            )
        if path.suffix == ".onnx":
            refuse_dangerous_onnx(path.name, onnx.load(path, load_external_data=False))


def refuse_dangerous_onnx(name: str, model: ModelProto) -> None:
    """Refuse an ONNX model that reads other files or needs custom operators.

    Raises:
        ArtefactRefusedError: says which.
    """
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            saved = f"onnx.save(onnx.load('{name}'), 'whole.onnx')"
            raise ArtefactRefusedError(
                f"{name} keeps {tensor.name!r} in another file: save it without external data, "
                f'python -c "import onnx; {saved}"'
            )
    for node in _nodes(model):
        if node.domain not in _DOMAINS:
            raise ArtefactRefusedError(
                f"{name} needs operators of {node.domain!r}: only standard ONNX operators are served"
            )


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    for graph in _graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for attribute in (attribute for node in _nodes(model) for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)


def _graphs(model: ModelProto) -> Iterator[GraphProto]:
    """The model's graph, those of its training info, and all graphs inside nodes (If, Loop, Scan), at any depth."""
    left = [model.graph, *(graph for info in model.training_info for graph in (info.initialization, info.algorithm))]
    nodes = [node for function in model.functions for node in function.node]
    left += [graph for node in nodes for attribute in node.attribute for graph in _inner(attribute)]
    while left:
        graph = left.pop()
        yield graph
        left += [inner for node in graph.node for attribute in node.attribute for inner in _inner(attribute)]


def _inner(attribute: AttributeProto) -> list[GraphProto]:
    return [attribute.g, *attribute.graphs] if attribute.HasField("g") else list(attribute.graphs)
