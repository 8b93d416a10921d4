"""The layers of a Darknet network and the shapes that flow between them."""

from dataclasses import dataclass
from typing import NamedTuple

from exporters.errors import DarknetError

ACTIVATIONS = ("linear", "leaky", "relu", "logistic", "mish")


class Shape(NamedTuple):
    """The output of a layer for one image."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Layer:
    """One section of a cfg file.

    `section` is its name and line, for messages; `sources` are the layers that it reads, by index; -1 is the image.
    """

    section: str
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Convolutional(Layer):
    """Convolution, batch normalisation where it has one, activation."""

    filters: int
    size: int
    stride: int
    padding: int
    groups: int
    batch_normalize: bool
    activation: str


@dataclass(frozen=True)
class Maxpool(Layer):
    """Maximum over windows; padding is the sum of both sides, and padded values are never the maximum."""

    size: int
    stride: int
    padding: int


@dataclass(frozen=True)
class Upsample(Layer):
    """Each value repeated stride times in both directions."""

    stride: int


@dataclass(frozen=True)
class Route(Layer):
    """Channels of several layers one after another; of each, part `group` of `groups` equal parts."""

    groups: int
    group: int


@dataclass(frozen=True)
class Shortcut(Layer):
    """Sum of two layers, then an activation."""

    activation: str


@dataclass(frozen=True)
class Yolo(Layer):
    """Detections of one scale; anchors are width and height in pixels of the input."""

    classes: int
    anchors: tuple[tuple[float, float], ...]
    scale_x_y: float


@dataclass(frozen=True)
class Network:
    """A detector for RGB images of one size.

    `resize_mode` is how images become its input, `letterbox` or `stretch`; empty where the cfg does not say so.
    """

    height: int
    width: int
    layers: tuple[Layer, ...]
    resize_mode: str = ""

    @property
    def heads(self) -> tuple[tuple[int, Yolo], ...]:
        """The detection layers with their indices."""
        return tuple((index, layer) for index, layer in enumerate(self.layers) if isinstance(layer, Yolo))

    @property
    def classes(self) -> int:
        """The same for all heads."""
        return self.heads[0][1].classes

    def shapes(self) -> tuple[Shape, ...]:
        """The shape of each layer.

        Raises:
            DarknetError: layers do not fit together; names the section.
        """
        shapes: list[Shape] = []
        for layer in self.layers:
            if any(index >= 0 and isinstance(self.layers[index], Yolo) for index in layer.sources):
                raise DarknetError(f"{layer.section}: it reads a [yolo] section, which gives detections alone")
            inputs = [shapes[index] if index >= 0 else Shape(3, self.height, self.width) for index in layer.sources]
            shapes.append(_shape(layer, inputs))
        return tuple(shapes)


def _shape(layer: Layer, inputs: list[Shape]) -> Shape:
    channels, height, width = inputs[0]
    match layer:
        case Convolutional():
            if channels % layer.groups or layer.filters % layer.groups:
                raise DarknetError(f"{layer.section}: {channels} channels do not divide into {layer.groups} groups")
            grown = 2 * layer.padding - layer.size
            shape = Shape(layer.filters, (height + grown) // layer.stride + 1, (width + grown) // layer.stride + 1)
        case Maxpool():
            grown = layer.padding - layer.size
            shape = Shape(channels, (height + grown) // layer.stride + 1, (width + grown) // layer.stride + 1)
        case Upsample():
            shape = Shape(channels, height * layer.stride, width * layer.stride)
        case Route():
            if len({source[1:] for source in inputs}) > 1:
                raise DarknetError(f"{layer.section}: its layers differ in height or width")
            if any(source.channels % layer.groups for source in inputs):
                raise DarknetError(f"{layer.section}: channels do not divide into {layer.groups} groups")
            shape = Shape(sum(source.channels // layer.groups for source in inputs), height, width)
        case Shortcut():
            if inputs[0] != inputs[1]:
                raise DarknetError(f"{layer.section}: it adds layers of different shapes")
            shape = inputs[0]
        case Yolo():
            needed = len(layer.anchors) * (5 + layer.classes)
            if channels != needed:
                raise DarknetError(
                    f"{layer.section}: {len(layer.anchors)} anchors and {layer.classes} classes take {needed} "
                    f"channels, the layer before has {channels} filters"
                )
            shape = inputs[0]
        case _:
            raise TypeError(layer)
    if min(shape) < 1:
        raise DarknetError(f"{layer.section}: no pixels are left here: the input is too small")
    return shape
