"""SavedModels of users, with their variables beside the graph. See exporters.adding.formats."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt
import yaml

from exporters import saved_model, tensorflow_runtime
from exporters.adding import metadata, tensorflow_networks
from exporters.adding.plan import Description, Hints, Plan
from exporters.adding.tensorflow_scaling import Network
from exporters.errors import ArtefactRefusedError, UnclearModelError, UnknownFormatError, first_line

_SIGNATURE, _START = "serving_default", "__saved_model_init_op"
# What reads variables or calls functions, whose operators are looked at as well.
_READING = {
    "VarHandleOp", "ReadVariableOp", "ResourceGather", "DisableCopyOnRead", "Placeholder", "Identity", "NoOp",
    "StatefulPartitionedCall", "PartitionedCall", "While", "StatelessWhile", "If", "StatelessIf",
}  # fmt: skip
_MAX_TEXT_BYTES = 1_000_000


def describe(path: Path, hints: Hints) -> Description:
    """Look at the signature, at the network's answers, and at the texts in the folder."""
    return tensorflow_networks.described(_network(path), "savedmodel", _stated(path), hints)


def build(path: Path, plan: Plan, artefact: Path) -> None:
    """Write model.savedmodel, with the weights in the graph."""
    tensorflow_networks.build(_network(path), plan, artefact)


def reference(path: Path, plan: Plan, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """TensorFlow's answers."""
    return tensorflow_networks.reference(_network(path), plan, samples)


def _network(path: Path) -> Network:
    tf = tensorflow_runtime.start()
    refuse_dangerous(path)
    try:
        loaded = tf.saved_model.load(str(path))
        function = loaded.signatures[_name(loaded.signatures)]
    except UnclearModelError:
        raise
    except Exception as exc:  # TensorFlow's errors have no common base
        raise UnknownFormatError(
            f"{path.name} cannot be read by TensorFlow {tf.__version__} ({first_line(exc)}): export it again, with its "
            "folder variables"
        ) from exc
    inputs = function.structured_input_signature[1]
    if len(inputs) != 1:
        raise UnclearModelError(f"the signature has {len(inputs)} inputs ({', '.join(inputs)}): one is served")
    ((name, spec),) = inputs.items()

    def call(given: Any) -> dict[str, Any]:
        return dict(function(**{name: given}))

    call.owner = loaded  # type: ignore[attr-defined]  # its variables end with it
    shape = spec.shape
    return Network(call, name, spec.dtype.name, tuple(shape.as_list()) if shape.rank is not None else ())


def _name(signatures: Any) -> str:
    names = [name for name in signatures if name != _START]
    if _SIGNATURE in names or len(names) == 1:
        return _SIGNATURE if _SIGNATURE in names else names[0]
    raise UnclearModelError(
        f"the SavedModel has {'no signature' if not names else 'the signatures ' + ', '.join(names)}: save it "
        "with one, tf.saved_model.save(model, folder, signatures={'serving_default': function})"
    )


def _stated(path: Path) -> dict[str, Any]:
    """What texts in the folder say: metadata.yaml of Ultralytics, and lists of labels."""
    stated: dict[str, Any] = {}
    for file in sorted([*path.glob("*"), *path.glob("assets*/*")]):
        if file.suffix not in (".txt", ".json", ".yaml", ".yml") or file.stat().st_size > _MAX_TEXT_BYTES:
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        (value,) = metadata.read({file.stem: text}).values()
        if file.suffix in (".yaml", ".yml"):
            try:
                value = yaml.safe_load(text)
            except yaml.YAMLError:
                continue
        stated |= value if isinstance(value, dict) else {file.stem: value}
    return stated


def refuse_dangerous(path: Path) -> None:
    """Refuse a SavedModel of which loading or calling does more than arithmetic on variables.

    What a signature reaches is called, and what starts tables or restores objects in ways of their own is when it is
    loaded; functions that save or train are neither.

    Raises:
        ArtefactRefusedError: names the operation or the file.
        UnknownFormatError: the graph is damaged.
    """
    for file in path.rglob("*"):
        if file.is_symlink() or not (file.is_file() or file.is_dir()):
            raise ArtefactRefusedError(f"{file.name} is a link or not a plain file: the folder must contain all data")
    try:
        graphs = saved_model.meta_graphs(path)
    except Exception as exc:  # protobuf's
        raise UnknownFormatError(
            f"{path.name}: saved_model.pb is damaged ({first_line(exc)}): export it again"
        ) from exc
    for graph in graphs:
        objects = graph.object_graph_def.nodes
        if not objects and graph.saver_def.restore_op_name:
            raise ArtefactRefusedError(
                f"{path.name} is of TensorFlow 1, whose loader runs the graph itself: save it with TensorFlow 2 "
                "(tf.saved_model.save)"
            )
        for node in objects:
            if node.WhichOneof("kind") == "resource" or node.registered_saver or node.saveable_objects:
                raise ArtefactRefusedError(
                    f"{path.name} has tables or objects with loaders of their own: a network needs variables only"
                )
        outward = sorted({node.op for node in _reached(graph) if _reaches_outside(node)})
        if outward:
            raise ArtefactRefusedError(f"{path.name} uses {', '.join(outward)}: a network needs arithmetic only")


def _reaches_outside(node: Any) -> bool:
    return node.op not in _READING and saved_model.reaches_outside(node)


def _reached(graph: Any) -> Iterator[Any]:
    """The nodes that the graph's signatures reach, in functions as well."""
    nodes = {node.name: node for node in graph.graph_def.node}
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    wanted = [info.name for served in graph.signature_def.values() for info in served.outputs.values()]
    left = [nodes[name] for name in {output.partition(":")[0] for output in wanted} if name in nodes]
    seen: set[str] = set()
    entered: set[str] = set()
    while left:
        node = left.pop()
        yield node
        for source in node.input:
            name = source.lstrip("^").partition(":")[0]
            if name in nodes and name not in seen:
                seen.add(name)
                left.append(nodes[name])
        for value in node.attr.values():
            for called in (value.func.name, *(function.name for function in value.list.func)):
                if called in functions and called not in entered:
                    entered.add(called)
                    # Their inputs are names in the function, which has no nodes that are not run.
                    left += [_detached(inner) for inner in functions[called].node_def]


def _detached(node: Any) -> Any:
    copy = type(node)()
    copy.CopyFrom(node)
    del copy.input[:]
    return copy
