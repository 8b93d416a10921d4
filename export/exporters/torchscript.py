"""ImageNet classifiers as TorchScript: pictures as they are in, probabilities out."""

import functools
import hashlib
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from exporters.catalog import Model
from exporters.config import Config, Tensor
from exporters.conversion import FILENAME, convert
from exporters.errors import ArtefactRefusedError, WeightsInvalidError
from exporters.golden import Expected, Golden
from exporters.parity import probability_tolerance, require_agreement
from exporters.repository import Exported, publish
from exporters.samples import sample_picture
from exporters.streamlining import streamlined
from exporters.weights import Weights, provenance

if TYPE_CHECKING:
    import torch

# What TorchScript's own pickles name, and operations that reach outside.
_PICKLED = re.compile(
    r"__torch__\..*|torch \w+Storage|torch\._utils _rebuild_\w+|torch\.jit\._pickle \w+|collections OrderedDict"
)
_OUTWARD = frozenset(
    {f"aten::{name}" for name in ("from_file", "save", "_print", "warn")}
    | {f"prim::{name}" for name in ("Print", "PythonOp", "IgnoredPythonOp", "CallMethod", "CallFunction")}
)
_MANGLED = re.compile(r"___torch_mangle_\d+\.")
_SEED = 7
_SIZE = 224
_INPUT = Tensor("images__0", "TYPE_UINT8", (_SIZE, _SIZE, 3))
_OUTPUT = Tensor("probabilities__0", "TYPE_FP32", (1000,), labels=True)
_IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


@dataclass(frozen=True)
class Architecture:
    """A network, and the normalisation that its weights expect: (rgb - mean) / std, of pixels in 0..255."""

    build: Callable[[], "torch.nn.Module"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def _torchvision_network(name: str) -> "torch.nn.Module":
    network: torch.nn.Module = torchvision().models.get_model(name, weights=None)
    return network


def _efficientnet_lite0() -> "torch.nn.Module":
    from efficientnet_lite_pytorch import EfficientNet

    network: torch.nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return network


ARCHITECTURES: Mapping[str, Architecture] = {
    "wide_resnet50_2": Architecture(
        functools.partial(_torchvision_network, "wide_resnet50_2"), _IMAGENET_MEAN, _IMAGENET_STD
    ),
    "mobilenet_v2": Architecture(
        functools.partial(_torchvision_network, "mobilenet_v2"), _IMAGENET_MEAN, _IMAGENET_STD
    ),
    "efficientnet_lite0": Architecture(_efficientnet_lite0, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
}


@functools.cache
def torchvision() -> Any:
    """Import torchvision.

    Its compiled operators need the CUDA libraries that it was built beside. The networks use none of them, but
    importing it fails until two of them are at least declared.
    """
    import torch

    try:
        import torchvision as module
    except RuntimeError:
        operators: Any = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision as module

        module.declared_operators = operators  # They go when this object goes.
    return module


def labels() -> list[str]:
    """The 1,000 classes of ImageNet, in the order of the outputs, as torchvision names them."""
    return list(torchvision().models.MobileNet_V2_Weights.DEFAULT.meta["categories"])


def load(name: str, weights: Path | None) -> Any:
    """A network from the catalog, around which nothing is needed but pictures.

    Args:
        name: of the model.
        weights: a state dict; None: random weights, the same each time.

    Returns:
        In evaluation mode: images__0 UINT8 [N,224,224,3], RGB, to probabilities FP32 [N,1000].

    Raises:
        WeightsInvalidError: the file is no state dict of this network.
    """
    import torch

    architecture = ARCHITECTURES[name]
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        network = architecture.build()
        if weights is None:
            _settle(network)
    if weights is not None:
        try:
            network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except Exception as exc:
            reason = str(exc).strip().splitlines()[0]
            raise WeightsInvalidError(f"{weights.name} is no state dict of {name} ({reason})") from exc
    served = _picture_to_probabilities(network, architecture)
    return served.eval().to(memory_format=torch.channels_last)


def _settle(network: "torch.nn.Module") -> None:
    """Give an untrained network's batch normalisation the averages of noise.

    Without them MobileNetV2's activations vanish on the way: it would answer every picture alike, and no golden sample
    could tell a wrong input.
    """
    import torch

    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # The average of all batches: of the one that follows.
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 112, 112))


def _picture_to_probabilities(network: "torch.nn.Module", architecture: Architecture) -> Any:
    import torch

    class PictureToProbabilities(torch.nn.Module):  # type: ignore[misc]  # torch is in another environment than mypy
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            mean, std = torch.tensor(architecture.mean), torch.tensor(architecture.std)
            self.scale = torch.nn.Buffer((1 / std).view(1, 3, 1, 1))
            self.offset = torch.nn.Buffer((-mean / std).view(1, 3, 1, 1))

        def forward(self, images__0: torch.Tensor) -> torch.Tensor:
            # A view: NHWC bytes are channels_last already, the layout in which the convolutions are fastest.
            nchw = images__0.permute(0, 3, 1, 2).to(torch.float32)
            return torch.softmax(self.network(nchw * self.scale + self.offset), dim=1)

    return PictureToProbabilities()


def probabilities(network: Any, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Eager PyTorch's answer, [N,224,224,3] to [N,1000]."""
    import torch

    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(images)).numpy(), np.float32)


def trace(network: Any) -> Any:
    """Trace and freeze a network: batch normalisation becomes part of the convolutions, and no device is fixed."""
    import torch

    with torch.no_grad(), deprecated_but_served():
        # Its own check runs the network twice more; verify compares the file with the eager network anyway.
        blank = torch.zeros(1, _SIZE, _SIZE, 3, dtype=torch.uint8)
        traced: Any = torch.jit.trace(network, blank, check_trace=False)
        return torch.jit.freeze(traced)


def load_artefact(path: Path) -> Any:
    """Load a TorchScript file for the processor."""
    import torch

    with deprecated_but_served():
        loaded: Any = torch.jit.load(str(path), map_location="cpu")
        return loaded


@contextmanager
def deprecated_but_served() -> Iterator[None]:
    """TorchScript is deprecated; it is still what Triton's PyTorch backend serves without Python."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.", DeprecationWarning)
        yield


def require_device_neutral(scripted: Any) -> None:
    """Refuse a graph that names a device: it would leave a GPU for the processor that it was traced on.

    Raises:
        ArtefactRefusedError: it names one.
    """
    graph = scripted.inlined_graph  # Kept: its nodes are valid only as long as it is.
    for node in graph.findAllNodes("prim::Constant"):
        if str(node.output().type()) == "Device":
            raise ArtefactRefusedError(f"{FILENAME} is bound to a device: {node.s('value')}")


def refuse_dangerous(path: Path) -> None:
    """Refuse a TorchScript file that does more than arithmetic when it is loaded or called.

    Its pickles are read before anything else is: a Python that loads them would do what they name.

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
    """The operations of a graph and all blocks in it."""
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from _nodes(inner)


def identity(path: Path) -> str:
    """A digest of a file's graph and weights, equal for the same network.

    Left out are the numbers that TorchScript gives to classes in the order in which a process meets them, the places of
    the source lines, and the stamp on every file.
    """
    graph = load_artefact(path).inlined_graph
    digest = hashlib.sha256(_MANGLED.sub("", graph.str(False)).encode())
    for node in graph.findAllNodes("prim::Constant"):
        if node.hasAttribute("value") and node.kindOf("value") == "t":
            digest.update(node.t("value").contiguous().numpy().tobytes())
    return digest.hexdigest()


def verify(path: Path, golden: Golden) -> None:
    """Check that a TorchScript file is harmless, bound to no device and answers as its network.

    Raises:
        ArtefactRefusedError: it is not, is, or does not.
    """
    refuse_dangerous(path)
    loaded = load_artefact(path)
    require_device_neutral(loaded)
    answer = probabilities(loaded, golden.inputs[_INPUT.name][np.newaxis].astype(np.uint8))
    require_agreement({_OUTPUT.name: answer}, golden)


def export(model: Model, weights: Weights | None, model_dir: Path) -> Exported:
    """Export a classifier; without weights it is built untrained."""
    network = load(model.name, weights.path(model.files[0].name) if weights else None)
    picture = sample_picture(model.name, _INPUT.name)
    expected = probabilities(network, picture[np.newaxis])[0]
    golden = Golden({_INPUT.name: picture}, {_OUTPUT.name: Expected(expected, probability_tolerance(expected))})
    exported = publish(
        model_dir,
        filename=FILENAME,
        build=lambda target: trace(streamlined(network)).save(str(target)),
        config=Config(
            model.name,
            model.platform,
            (_INPUT,),
            (_OUTPUT,),
            model.parameters,
            placement=model.placement,
            gpu_instances=1,
        ),
        golden=golden,
        provenance=provenance(model, weights),
        labels=labels(),
        verify=lambda target: verify(target, golden),
        identity=identity,
    )
    convert(model_dir / str(exported.version) / FILENAME, [(_INPUT.dims, np.dtype(np.uint8))])
    return exported
