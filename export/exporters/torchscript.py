"""TorchScript files: loading and calling them, what they may contain, and their signature.

TorchScript is deprecated in PyTorch; it is still what Triton's PyTorch backend serves without Python.
"""

import hashlib
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.config import Signature, dtype
from exporters.errors import ArtefactRefusedError

FILENAME = "model.pt"
# The classes and functions that TorchScript's own pickles name.
_PICKLED = re.compile(
    r"__torch__[. ].*|torch \w+Storage|torch\._utils _rebuild_\w+|torch\.jit\._pickle \w+|collections OrderedDict"
)
# The operators of aten and prim that have effects outside of the graph.
_OUTWARD = frozenset(
    {f"aten::{name}" for name in ("from_file", "save", "_print", "warn")}
    | {f"prim::{name}" for name in ("Print", "PythonOp", "IgnoredPythonOp", "CallMethod", "CallFunction")}
)
_MANGLED = re.compile(r"___torch_mangle_\d+\.")
_PROBE_BATCH = 2


def load_artefact(path: Path) -> Any:
    """Load a TorchScript file onto the processor."""
    import torch

    with deprecated_but_served():
        loaded: Any = torch.jit.load(str(path), map_location="cpu")
        return loaded


@contextmanager
def deprecated_but_served() -> Iterator[None]:
    """Suppress PyTorch's warnings that TorchScript is deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.", DeprecationWarning)
        yield


def call(module: Any, inputs: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Call a module with arrays, in the order of forward's arguments. Returns its outputs in their order."""
    import torch

    with torch.inference_mode():
        answer = module(*map(torch.from_numpy, inputs))
    return [output.numpy() for output in (answer if isinstance(answer, tuple | list) else [answer])]


def by_index(tensors: Iterable[Any]) -> list[Any]:
    """Sort ModelInput or ModelOutput messages as forward has them: by the index at the end of NAME__INDEX.

    Raises:
        ArtefactRefusedError: a name has no index.
    """
    ordered = list(tensors)
    for tensor in ordered:
        if not re.fullmatch(r".+__\d+", tensor.name, re.ASCII):
            raise ArtefactRefusedError(
                f"tensor {tensor.name} has no index: write NAME__INDEX, such as {tensor.name}__0"
            )
    return sorted(ordered, key=lambda tensor: int(tensor.name.rpartition("__")[2]))


def probe_shape(tensor: Any) -> list[int]:
    """The shape of a batch of two for a ModelInput message; dimensions of any size are 1."""
    return [_PROBE_BATCH, *(max(dim, 1) for dim in tensor.dims)]


def signature(path: Path, config: Any) -> Signature:
    """The inputs and outputs of a TorchScript file.

    The file names forward's arguments and nothing else: types and shapes are those of its answer to zeros.

    Args:
        path: of a file that has been checked to be harmless.
        config: its ModelConfig message.
    """
    loaded = load_artefact(path)
    names = [argument.name for argument in loaded.forward.schema.arguments][1:]
    zeros = [np.zeros(probe_shape(tensor), dtype(tensor)) for tensor in config.input]
    outputs = zip(by_index(config.output), call(loaded, zeros), strict=True)

    def described(value: npt.NDArray[Any]) -> tuple[str, list[int | None]]:
        rows, *dims = value.shape or (0,)
        return value.dtype.name, [None if rows == _PROBE_BATCH else rows, *dims]

    return {
        "inputs": {name: described(value) for name, value in zip(names, zeros, strict=True)},
        "outputs": {output.name: described(value) for output, value in outputs},
    }


def require_device_neutral(scripted: Any) -> None:
    """Refuse a graph that names a device: on a GPU it would still compute on the processor that it was traced on.

    Raises:
        ArtefactRefusedError: names the device.
    """
    graph = scripted.inlined_graph  # a reference: its nodes are valid only while it exists
    for node in graph.findAllNodes("prim::Constant"):
        if str(node.output().type()) == "Device":
            raise ArtefactRefusedError(f"{FILENAME} is bound to a device: {node.s('value')}")


def refuse_dangerous(path: Path) -> None:
    """Refuse a TorchScript file that does more than arithmetic when it is loaded or called.

    Its pickles are checked before anything is loaded, since loading a pickle calls what it names.

    Raises:
        ArtefactRefusedError: names the operation.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = archive.read(name) if name.endswith(("pkl", ".py")) else b""
            if name.endswith(".py") and b"def __setstate__" in content:
                raise ArtefactRefusedError(f"{path.name} runs code when it is loaded (__setstate__): freeze it")
            if name.endswith("pkl"):
                _refuse_foreign_pickle(path.name, content)
    nodes = list(_nodes(load_artefact(path).inlined_graph))
    outward = sorted({kind for kind in nodes if kind in _OUTWARD or not kind.startswith(("aten::", "prim::"))})
    if outward:
        raise ArtefactRefusedError(f"{path.name} uses {', '.join(outward)}: a network needs arithmetic only")


def _refuse_foreign_pickle(name: str, pickled: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(pickled):
        named = opcode.name == "GLOBAL" and _PICKLED.fullmatch(str(argument))
        if opcode.name in ("GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4") and not named:
            raise ArtefactRefusedError(f"{name} has a pickle that calls {argument or opcode.name}: export it again")


def _nodes(block: Any) -> Iterator[str]:
    """The operations of a graph and of all blocks in it."""
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from _nodes(inner)


def identity(path: Path) -> str:
    """A digest of a file's graph and weights, equal for the same network.

    It leaves out the numbers of classes, which depend on what else the process has traced, the source lines, and the
    file's timestamps.
    """
    graph = load_artefact(path).inlined_graph
    digest = hashlib.sha256(_MANGLED.sub("", graph.str(False)).encode())
    for node in graph.findAllNodes("prim::Constant"):
        if node.hasAttribute("value") and node.kindOf("value") == "t":
            digest.update(node.t("value").contiguous().numpy().tobytes())
    return digest.hexdigest()
