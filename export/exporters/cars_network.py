"""The car classifier: ResNet50V2 and a head of dense layers, for transfer learning on Stanford Cars."""

from collections.abc import Mapping, Sequence
from typing import Any

SIZE = 224
CLASSES = 196
HIDDEN = (512,)
DROPOUT = 0.5
FEATURES = 2048
# Factor and offset for pixels in 0..255, by the range that they are mapped to. ResNet50V2 was trained on -1..1.
SCALINGS: Mapping[str, tuple[float, float]] = {"-1..1": (1 / 127.5, -1.0), "0..1": (1 / 255, 0.0), "0..255": (1.0, 0.0)}


def network(
    classes: int = CLASSES,
    hidden: Sequence[int] = HIDDEN,
    scaling: str = "-1..1",
    base_weights: str | None = None,
    nested: bool = True,
) -> Any:
    """The network; its head is untrained.

    Args:
        classes: the number of classes.
        hidden: widths of the dense layers before the last one.
        scaling: the range that the pixels are mapped to, a key of SCALINGS.
        base_weights: "imagenet", a file, or None for random weights.
        nested: whether the base is one layer of the network, or its layers are layers of the network. The answers are
            the same; the names of weights in checkpoints differ.

    Returns:
        A Keras model that maps FP32 [N,224,224,3] in 0..255, RGB, to probabilities FP32 [N,classes]. Its nested base
        normalises by moving averages in training too.
    """
    import keras

    layers, build = keras.layers, keras.applications.ResNet50V2
    factor, offset = SCALINGS[scaling]
    images = keras.Input((SIZE, SIZE, 3), name="images")
    scaled = layers.Rescaling(factor, offset=offset)(images)
    if nested:
        base = build(include_top=False, weights=base_weights, input_shape=(SIZE, SIZE, 3))
        features = base(scaled, training=False)
    else:
        features = build(include_top=False, weights=base_weights, input_tensor=scaled).output
    hidden_values = layers.GlobalAveragePooling2D()(features)
    for width in hidden:
        hidden_values = layers.Dense(width, activation="relu")(hidden_values)
        hidden_values = layers.Dropout(DROPOUT)(hidden_values)
    return keras.Model(images, layers.Dense(classes, activation="softmax")(hidden_values), name="cars")


def base_of(model: Any) -> Any:
    """The ResNet50V2 inside a nested network."""
    return next(layer for layer in model.layers if layer.name.startswith("resnet50v2"))
