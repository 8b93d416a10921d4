"""ImageNet classifiers as TorchScript: from UINT8 images to probabilities."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from exporters.catalog import Model
from exporters.config import Config, Tensor
from exporters.conversion import convert_newest
from exporters.errors import WeightsInvalidError, first_line
from exporters.golden import Golden
from exporters.parity import require_agreement
from exporters.repository import Exported, publish
from exporters.samples import classifier_golden
from exporters.streamlining import streamlined
from exporters.torchscript import (
    FILENAME,
    call,
    deprecated_but_served,
    identity,
    load_artefact,
    refuse_dangerous,
    require_device_neutral,
)
from exporters.weights import Weights, provenance

if TYPE_CHECKING:
    import torch

_SEED = 7
SIZE = 224  # of the images, in pixels
_INPUT = Tensor("images__0", "TYPE_UINT8", (SIZE, SIZE, 3))
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

    Its compiled operators need the CUDA libraries that it was built with. The networks use none of these operators, but
    the import fails unless two of them are declared.
    """
    import torch

    try:
        import torchvision as module
    except RuntimeError:
        operators: Any = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision as module

        module.declared_operators = operators  # their declaration ends with this object
    return module


def labels() -> list[str]:
    """The 1,000 classes of ImageNet, in the order of the outputs, as torchvision names them."""
    return list(torchvision().models.MobileNet_V2_Weights.DEFAULT.meta["categories"])


def load(name: str, weights: Path | None) -> Any:
    """Build a classifier of the catalog, with normalisation and softmax in its graph.

    Args:
        name: of the model.
        weights: file with a state dict; None: random weights from a fixed seed.

    Returns:
        A module in evaluation mode that maps images__0 UINT8 [N,224,224,3], RGB, to probabilities FP32 [N,1000].

    Raises:
        WeightsInvalidError: the file is not a state dict of this network.
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
            raise WeightsInvalidError(f"{weights.name} is not a state dict of {name} ({first_line(exc)})") from exc
    served = _image_to_probabilities(network, architecture)
    return served.eval().to(memory_format=torch.channels_last)


def _settle(network: "torch.nn.Module") -> None:
    """Give an untrained network's batch normalisation the averages of noise.

    Without them MobileNetV2's activations vanish: it would answer every image alike, and a golden sample could not
    detect a wrong input.
    """
    import torch

    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # a plain average over all batches: the one below
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 112, 112))


def _image_to_probabilities(network: "torch.nn.Module", architecture: Architecture) -> Any:
    import torch

    class ImageToProbabilities(torch.nn.Module):  # type: ignore[misc]  # torch is in another environment than mypy
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            mean, std = torch.tensor(architecture.mean), torch.tensor(architecture.std)
            self.scale = torch.nn.Buffer((1 / std).view(1, 3, 1, 1))
            self.offset = torch.nn.Buffer((-mean / std).view(1, 3, 1, 1))

        def forward(self, images__0: torch.Tensor) -> torch.Tensor:
            # A view: NHWC is the memory layout of channels_last, in which convolutions are fastest.
            nchw = images__0.permute(0, 3, 1, 2).to(torch.float32)
            return torch.softmax(self.network(nchw * self.scale + self.offset), dim=1)

    return ImageToProbabilities()


def probabilities(network: Any, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """PyTorch's answer, FP32 [N,1000], to images UINT8 [N,224,224,3]."""
    return np.asarray(call(network, [images])[0], np.float32)


def trace(network: Any) -> Any:
    """Trace and freeze a network. Batch normalisation is folded into the convolutions; no device is fixed."""
    import torch

    with torch.no_grad(), deprecated_but_served():
        # The tracer's own check would run the network twice more; verify compares the file with the eager network.
        blank = torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8)
        traced: Any = torch.jit.trace(network, blank, check_trace=False)
        return torch.jit.freeze(traced)


def verify(path: Path, golden: Golden) -> None:
    """Check that a TorchScript file is harmless, bound to no device, and answers as its network.

    Raises:
        ArtefactRefusedError: one of these does not hold.
    """
    refuse_dangerous(path)
    loaded = load_artefact(path)
    require_device_neutral(loaded)
    answer = probabilities(loaded, golden.inputs[_INPUT.name][np.newaxis].astype(np.uint8))
    require_agreement({_OUTPUT.name: answer}, golden)


def export(model: Model, weights: Weights | None, model_dir: Path) -> Exported:
    """Export a classifier and convert it for OpenVINO. Without weights it is built untrained."""
    network = load(model.name, weights.path(model.files[0].name) if weights else None)
    golden = classifier_golden(model.name, _INPUT, _OUTPUT, lambda images: probabilities(network, images))
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
    convert_newest(model_dir)
    return exported
