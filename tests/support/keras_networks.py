"""A small classifier of Keras, and the files that users have of such networks."""

from pathlib import Path
from types import ModuleType
from typing import Any

from exporters import tensorflow_runtime
from exporters.adding import keras_files, saved_models

tensorflow_runtime.start()
import keras  # noqa: E402  (after its log output has been silenced)

L = keras.layers


def classifier(
    *first: Any, side: int | None = 32, channels: int = 3, last: str | None = "softmax", **options: Any
) -> Any:
    tensorflow_runtime.start(5)
    layers = [L.Conv2D(8, 3, strides=2), L.BatchNormalization(), L.ReLU(), L.Dropout(0.2), L.GlobalAveragePooling2D()]
    inputs = keras.Input((side, side, channels), name="photo", **options)
    return keras.Sequential([inputs, *first, *layers, L.Dense(5, activation=last)], name="own")


def keras_file(folder: Path, network: Any) -> tuple[ModuleType, Path]:
    network.save(folder / "own.keras")
    return keras_files, folder / "own.keras"


def exported(folder: Path, network: Any) -> tuple[ModuleType, Path]:
    network.export(folder / "own", verbose=False)
    return saved_models, folder / "own"
