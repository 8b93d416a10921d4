"""PyTorch networks are called: what they take is found by trying, what they answer has names."""

import copy
import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Layout, Task
from exporters.errors import UnclearModelError

# Sides of square inputs, the usual ones first: a network that is fixed to one of them refuses the others.
_SIDES = (
    *(224, 256, 320, 384, 416, 448, 480, 512, 640, 28, 32, 48, 64, 96, 112, 128, 160, 192, 240, 260, 288, 299, 300),
    *(336, 380, 456, 528, 600, 608, 800, 1024),
)
_LENGTHS = (64, 100, 128, 256, 512, 1024, 30, 32, 48, 50, 60, 96, 120, 140, 144, 150, 180, 187, 200, 288, 365, 500)
INPUT = "images"  # the input's name: PyTorch's files name outputs at most
DTYPES = ("float32", "float16", "float64", "uint8")

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Accepted:
    """An input that a network takes."""

    dtype: str  # NumPy's name
    shape: Shape  # with a batch of one; a side that may be any other has been chosen
    any_size: bool = False  # whether other sides are taken, too
    fixed_batch: bool = False  # whether the file says that its batch dimension is fixed
    stated: bool = False  # whether the user or the file states the size

    @property
    def layout(self) -> Layout:
        """Where an image has its channels."""
        return "nchw" if self.shape[1] in (1, 3) else "nhwc"


def call(network: Any, array: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """The network's outputs for one array, by name: those of a dict, or output0, output1 and so on."""
    import torch

    with torch.inference_mode():
        outputs = named(network(torch.from_numpy(array)))
    return {name: value.numpy() for name, value in outputs.items()}


def named(answer: Any) -> dict[str, Any]:
    """Outputs by name. What is nested is flattened; what is no tensor is left out."""
    import torch

    if isinstance(answer, torch.Tensor):
        return {"output0": answer}
    if isinstance(answer, Mapping):
        return {str(name): value for name, value in answer.items() if isinstance(value, torch.Tensor)}
    return {f"output{index}": value for index, value in enumerate(_tensors(answer))}


def _tensors(answer: Any) -> Iterator[Any]:
    import torch

    if isinstance(answer, torch.Tensor):
        yield answer
    elif isinstance(answer, list | tuple):
        for value in answer:
            yield from _tensors(value)


def accepted(network: Any, task: Task | None = None, sides: tuple[int, int] | None = None) -> Accepted:
    """Find an input that a network takes, by trying.

    Args:
        network: of one tensor.
        task: that the user states.
        sides: height and width, where they are stated (the width is a window's length); else usual ones are tried.

    Raises:
        UnclearModelError: it takes nothing that was tried.
    """
    weights = _weights(network)
    shapes = list(_candidates(weights, task, sides))
    dtypes = sorted(DTYPES, key=lambda name: not (weights and str(weights[0].dtype).endswith(name)))
    for dtype in dtypes:
        for shape in shapes:
            if takes(network, dtype, shape):
                # Far enough from it that rounding in the layers does not hide a fixed size.
                wider = tuple(side + 32 * (side > 3) * (index > 0) for index, side in enumerate(shape))
                return Accepted(dtype, shape, takes(network, dtype, wider), stated=sides is not None)
    raise UnclearModelError(
        "the model takes none of the inputs that were tried: one tensor, [N,C,H,W] or [N,H,W,C] with 1 or 3 channels "
        f"and square of {min(_SIDES)} to {max(_SIDES)} pixels, or [N,length]: "
        "export it to ONNX, whose files state shapes"
    )


def takes(network: Any, dtype: str, shape: Shape) -> bool:
    try:
        return bool(call(network, np.zeros(shape, dtype)))
    except Exception:  # PyTorch's errors for a wrong shape have no common base
        return False


def _candidates(weights: list[Any], task: Task | None, sides: tuple[int, int] | None) -> Iterator[Shape]:
    """Shapes with a batch of one, likely ones first. Two-dimensional convolutions are of images."""
    kernels = [weight for weight in weights if weight.ndim == 4]
    if task != "anomaly" and (kernels or not weights or task):
        found = {int(kernels[0].shape[1])} & {1, 3} if kernels else set()
        for channels in found or {3, 1}:
            for height, width in [sides] if sides else zip(_SIDES, _SIDES, strict=True):
                yield (1, channels, height, width)
                yield (1, height, width, channels)
        return
    features = int(weights[0].shape[1]) if weights and weights[0].ndim == 2 else 0
    if features > 3 and not sides:
        for channels in (1, 3):
            side = round((features / channels) ** 0.5)
            if task is None and weights[-1].shape[0] != features and channels * side**2 == features:
                yield (1, channels, side, side)
        yield (1, features)
    for length in [sides[1]] if sides else _LENGTHS:
        yield from ((1, length), (1, 1, length), (1, length, 1))


def _weights(network: Any) -> list[Any]:
    """The matrices and kernels of a network, in order; of a frozen one they are constants of its graph."""
    found = [tensor for name, tensor in network.state_dict().items() if tensor.ndim >= 2]
    if not found and hasattr(network, "inlined_graph"):
        graph = network.inlined_graph  # a reference: its nodes are valid only while it exists
        for node in graph.findAllNodes("prim::Constant"):
            if node.hasAttribute("value") and node.kindOf("value") == "t" and node.t("value").ndim >= 2:
                found.append(node.t("value").clone())
    return found


def in_single_precision(network: Any, accepts: Accepted) -> tuple[Any, str]:
    """A network of half or double precision in single precision where it runs so, and the type that it takes then."""
    if accepts.dtype in ("float16", "float64"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of gradients, which nobody wants
            single = copy.deepcopy(network).float()
        if takes(single, "float32", accepts.shape):
            return single, "float32"
    return network, accepts.dtype
