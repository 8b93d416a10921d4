"""TorchScript files of users, such as torchvision's and Ultralytics' exports. See exporters.adding.formats."""

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import numpy.typing as npt

from exporters import torchscript
from exporters.adding import metadata, torch_calls, torch_networks
from exporters.adding.plan import Description, Fact, Hints, Plan
from exporters.errors import ArtefactRefusedError, UnknownFormatError, last_line

_EXTRA = "/extra/"  # where torch.jit.save keeps what it is given as _extra_files
_MAX_TEXT_BYTES = 1_000_000


def describe(path: Path, hints: Hints) -> Description:
    """Look at the network, and at the texts that its exporter left in the file."""
    network, stated = _load(path), _stated(path)
    facts: list[Fact] = []
    settled = metadata.settled(stated, facts)
    accepts = torch_calls.accepted(network, hints.task, hints.size_hw or settled.get("size_hw"))
    found = torch_networks.described(network, "torchscript", accepts, stated, hints)
    seen = [fact for fact in found.facts if fact.what not in {one.what for one in facts}]
    return dataclasses.replace(found, **settled, facts=(*seen, *facts))


def build(path: Path, plan: Plan, artefact: Path) -> None:
    """Write model.pt, or model.onnx of a detector."""
    torch_networks.build(_load(path), plan, artefact)


def reference(path: Path, plan: Plan, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """PyTorch's answers."""
    return torch_networks.reference(_load(path), plan, samples)


def _load(path: Path) -> Any:
    """The network, in evaluation mode, once it has been checked to be harmless."""
    try:
        torchscript.refuse_dangerous(path)
        network = torchscript.load_artefact(path).eval()
    except ArtefactRefusedError as exc:
        if "torchvision::" not in str(exc):
            raise
        raise ArtefactRefusedError(
            f"{path.name} uses torchvision's own operators, which only torchvision runs: export it to ONNX "
            "(torch.onnx.export, with an image as the example), and add that"
        ) from exc
    except (RuntimeError, ValueError, zipfile.BadZipFile) as exc:
        raise _damaged(path, exc) from exc
    graph = network.inlined_graph  # a reference: its nodes are valid only while it exists
    for node in graph.findAllNodes("prim::Constant"):
        if str(node.output().type()) == "Device" and "cpu" not in node.s("value"):
            raise ArtefactRefusedError(
                f"{path.name} was traced on {node.s('value')} and computes there only: move the network and the "
                "example to the processor (network.cpu()) and trace it again"
            )
    return network


def _damaged(path: Path, exc: Exception) -> UnknownFormatError:
    return UnknownFormatError(
        f"{path.name} is damaged, or of another version of TorchScript ({last_line(exc)}): export it again"
    )


def _stated(path: Path) -> dict[str, Any]:
    """What the texts in the file say: an object of JSON by its keys, anything else by the text's name."""
    stated: dict[str, Any] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if _EXTRA in info.filename and info.file_size <= _MAX_TEXT_BYTES:
                name = Path(info.filename).stem
                (value,) = metadata.read({name: archive.read(info).decode("utf-8", errors="replace")}).values()
                stated |= value if isinstance(value, dict) else {name: value}
    return stated
