"""Car classifiers of users: .keras, .weights.h5, or a folder with a TensorFlow checkpoint."""

import re
import tempfile
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import cars_network, tensorflow_runtime
from exporters.errors import WeightsInvalidError, first_line

_ADVICE = "save the whole model instead: model.save('cars.keras')"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
# Keras 2 numbers a model's layers that have weights, in their order: layer_with_weights-0/layer_with_weights-17/gamma.
_LAYER = re.compile(r"layer_with_weights-(\d+)/")
_IN_ORDER = ("kernel", "gamma", "bias", "beta", "moving_mean", "moving_variance")


def load(path: Path, scaling: str | None) -> Any:
    """Load a classifier.

    Args:
        path: of the file or folder.
        scaling: the range that its pixels had in training, a key of cars_network.SCALINGS; None: -1..1, unless the
            model scales them itself.

    Returns:
        A Keras model that maps FP32 [N,224,224,3] in 0..255, RGB, to probabilities FP32 [N,classes].

    Raises:
        WeightsInvalidError: it is not such a classifier.
    """
    if scaling is not None and scaling not in cars_network.SCALINGS:
        raise WeightsInvalidError(f"scaling {scaling!r} is unknown: it is one of {', '.join(cars_network.SCALINGS)}")
    tensorflow_runtime.start(seed=0)
    if path.is_dir():
        return _from_checkpoint(path, scaling or "-1..1")
    if path.name.endswith(".weights.h5"):
        return _from_weights(path, scaling or "-1..1")
    if path.suffix == ".keras":
        return _from_keras(path, scaling)
    raise WeightsInvalidError(f"{path.name} is neither .keras, .weights.h5 nor a folder with a TensorFlow checkpoint")


def _from_keras(path: Path, scaling: str | None) -> Any:
    import keras

    try:
        # Safe mode refuses layers that contain Python code.
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as exc:
        # Keras 3 cannot rebuild most models of Keras 2, but it can read their weights.
        return _from_archive(path, scaling or "-1..1", exc)
    size = cars_network.SIZE
    if model.input_shape != (None, size, size, 3) or len(model.output_shape) != 2:
        raise WeightsInvalidError(
            f"{path.name} takes {model.input_shape} and gives {model.output_shape}: "
            f"it must be {(None, size, size, 3)} and (None, classes)"
        )
    if scaling is None and _scales_itself(model):
        return model
    factor, offset = cars_network.SCALINGS[scaling or "-1..1"]
    images = keras.Input((size, size, 3))
    return keras.Model(images, model(keras.layers.Rescaling(factor, offset=offset)(images)), name="cars")


def _from_archive(path: Path, scaling: str, why: Exception) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                weights = Path(archive.extract("model.weights.h5", folder))
            return _from_weights(weights, scaling)
        except (OSError, KeyError, zipfile.BadZipFile):
            raise WeightsInvalidError(f"{path.name} cannot be loaded: {first_line(why)}") from why
        except WeightsInvalidError as exc:
            raise WeightsInvalidError(f"{path.name} cannot be loaded ({first_line(why)}), and its {exc}") from why


def _scales_itself(model: Any) -> bool:
    """Whether the model has a layer that scales pixels."""
    names = {type(layer).__name__ for layer in model.layers}
    return not names.isdisjoint({"Rescaling", "Normalization", "TrueDivide", "Divide", "Multiply"})


def _from_weights(path: Path, scaling: str) -> Any:
    import h5py

    try:
        with h5py.File(path) as file:
            found: dict[str, tuple[int, ...]] = {}
            file.visititems(lambda name, item: found.update({name: item.shape}) if hasattr(item, "shape") else None)
    except OSError as exc:
        raise WeightsInvalidError(f"{path.name} is damaged: {first_line(exc)}") from exc
    # optimizer/ contains tensors of the same shapes.
    kernels = {name: shape for name, shape in found.items() if len(shape) == 2 and not name.startswith("optimizer")}
    hidden, classes = _head([kernels[name] for name in sorted(kernels, key=_natural)], path)
    reasons = []
    for nested in (True, False):
        model = cars_network.network(classes, hidden, scaling, nested=nested)
        # Keras does not change weights that the file lacks: those stay NaN.
        model.set_weights([np.full(weight.shape, np.nan, np.float32) for weight in model.weights])
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Skipping nested container", UserWarning)
                model.load_weights(path)
        except (ValueError, KeyError) as exc:
            reasons.append(first_line(exc))
            continue
        lacking = [weight.path for weight in model.weights if np.isnan(weight.numpy()).any()]
        if not lacking:
            return model
        reasons.append(f"{lacking[0]} is not in it")
    raise WeightsInvalidError(f"{path.name} does not fit ResNet50V2 with dense layers ({reasons[0]}): {_ADVICE}")


def _from_checkpoint(folder: Path, scaling: str) -> Any:
    tf = tensorflow_runtime.start()
    prefix = tf.train.latest_checkpoint(folder) or next(
        (
            str(file.with_suffix(""))
            for file in sorted(folder.glob("*.index"), key=lambda file: _natural(file.name))[-1:]
        ),
        None,
    )
    if prefix is None:
        raise WeightsInvalidError(f"{folder} has no TensorFlow checkpoint: there is no .index file in it")
    try:
        reader = tf.train.load_checkpoint(prefix)
        layers = _layers(reader.get_variable_to_shape_map())
        arrays = [[reader.get_tensor(name) for name in layer] for layer in layers]
    except (tf.errors.OpError, ValueError) as exc:
        raise WeightsInvalidError(f"{prefix} cannot be read: {first_line(exc)}") from exc
    kernels = [layer[0].shape for layer in arrays if layer[0].ndim == 2]
    hidden, classes = _head(kernels, folder)
    model = cars_network.network(classes, hidden, scaling, nested=False)
    _assign(model, arrays, folder)
    return model


def _layers(variables: Mapping[str, object]) -> list[list[str]]:
    """The variables of a Keras 2 checkpoint without the optimiser's, by layer, in the network's order."""
    layers: dict[tuple[int, ...], dict[str, str]] = {}
    for name in variables:
        place = tuple(int(number) for number in _LAYER.findall(name))
        kind = name.removesuffix(_VALUE).rpartition("/")[2]
        if place and kind in _IN_ORDER and name.endswith(_VALUE) and ".OPTIMIZER_SLOT" not in name:
            layers.setdefault(place, {})[kind] = name
    return [[layer[kind] for kind in _IN_ORDER if kind in layer] for _, layer in sorted(layers.items())]


def _assign(model: Any, arrays: Sequence[Sequence[npt.NDArray[np.float32]]], folder: Path) -> None:
    layers = [layer for layer in model.layers if layer.weights]
    for layer, values in zip(layers, arrays, strict=False):
        if [tuple(weight.shape) for weight in layer.weights] != [value.shape for value in values]:
            shapes = [value.shape for value in values]
            raise WeightsInvalidError(f"{folder}: {layer.name} does not take weights of {shapes}; {_ADVICE}")
    if len(layers) != len(arrays):
        raise WeightsInvalidError(f"{folder} has {len(arrays)} layers with weights, not {len(layers)}: {_ADVICE}")
    for layer, values in zip(layers, arrays, strict=True):
        layer.set_weights(list(values))


def _head(kernels: Sequence[tuple[int, ...]], path: Path) -> tuple[tuple[int, ...], int]:
    """The widths of a head's hidden dense layers, and its number of classes."""
    widths = [cars_network.FEATURES, *(shape[1] for shape in kernels)]
    if not kernels or [shape[0] for shape in kernels] != widths[:-1]:
        raise WeightsInvalidError(
            f"{path.name} has dense layers {list(kernels)}, which are not a head of ResNet50V2: {_ADVICE}"
        )
    return tuple(widths[1:-1]), widths[-1]


def _natural(name: str) -> list[int | str]:
    """A sort key for Keras's numbered names: dense, dense_1, ... dense_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
