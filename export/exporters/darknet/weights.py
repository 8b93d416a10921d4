"""Darknet's weights files: a header, then float32 values of the convolutional sections in their order.

Source: load_weights_upto and load_convolutional_weights in Darknet's parser.c.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exporters.darknet.layers import Convolutional, Network, Shape
from exporters.errors import DarknetError

# normalize_cpu in Darknet's blas.c: added to the deviation, not to the variance.
_EPSILON = 1e-6


@dataclass(frozen=True)
class Convolution:
    """Kernel FP32 [filters, channels / groups, size, size] and bias FP32 [filters], batch normalisation included."""

    kernel: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def read_weights(path: Path, network: Network) -> dict[int, Convolution]:
    """Read the convolutions of a network, by the index of their layer.

    Raises:
        DarknetError: wrong header, too few or too many weights, values that are not finite; names the section.
    """
    content = path.read_bytes()
    try:
        return _convolutions(np.frombuffer(content, "<f4", offset=_header_bytes(content)), network)
    except DarknetError as exc:
        raise DarknetError(f"{path.name}: {exc}") from exc


def _header_bytes(content: bytes) -> int:
    """Major, minor, revision as int32, then the number of training images, of 64 bits since version 0.2."""
    version = tuple(np.frombuffer(content[:12], "<i4").tolist()) if len(content) >= 20 else ()
    if version[:2] not in ((0, 1), (0, 2)) or not 0 <= version[2] < 1000:
        raise DarknetError("the header is not that of Darknet weights of version 0.1 or 0.2: is it another file?")
    header = 16 if version[1] == 1 else 20
    if (len(content) - header) % 4:
        raise DarknetError("the file ends within a number: it is damaged")
    return header


def _convolutions(values: npt.NDArray[np.float32], network: Network) -> dict[int, Convolution]:
    found: dict[int, Convolution] = {}
    shapes = network.shapes()
    position = 0
    section = ""
    for index, layer in enumerate(network.layers):
        if not isinstance(layer, Convolutional):
            continue
        section = layer.section
        source = layer.sources[0]
        channels = (shapes[source] if source >= 0 else Shape(3, 0, 0)).channels
        kernel_shape = (layer.filters, channels // layer.groups, layer.size, layer.size)
        vectors = 4 if layer.batch_normalize else 1
        count = vectors * layer.filters + int(np.prod(kernel_shape))
        if len(values) - position < count:
            raise DarknetError(f"{section} needs {count} weights, only {len(values) - position} are left")
        part = values[position : position + count]
        position += count
        head = part[: vectors * layer.filters].reshape(vectors, layer.filters)
        found[index] = _folded(head, part[vectors * layer.filters :].reshape(kernel_shape), section)
    if position < len(values):
        raise DarknetError(f"{len(values) - position} weights are left after the last convolution, {section}")
    return found


def _folded(head: npt.NDArray[np.float32], kernel: npt.NDArray[np.float32], section: str) -> Convolution:
    """Fold batch normalisation, whose rows are bias, scale, mean and variance, into the convolution."""
    bias, *normalisation = head.astype(np.float64)
    factor = np.ones_like(bias)
    if normalisation:
        scale, mean, variance = normalisation
        if not (variance >= 0).all():
            raise DarknetError(f"{section} has a negative variance: the weights are damaged or of another cfg")
        factor = scale / (np.sqrt(variance) + _EPSILON)
        bias = bias - mean * factor
    with np.errstate(over="ignore", invalid="ignore"):
        folded = Convolution(
            (kernel * factor[:, np.newaxis, np.newaxis, np.newaxis]).astype(np.float32), bias.astype(np.float32)
        )
    if not (np.isfinite(folded.kernel).all() and np.isfinite(folded.bias).all()):
        raise DarknetError(f"{section} has weights that are not finite: they are damaged or of another cfg")
    return folded
