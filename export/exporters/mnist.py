"""mnist: digits of 28x28 pixels, by a small convolutional network that this project trains itself."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import saved_model, tensorflow_runtime, training_record
from exporters.catalog import Model
from exporters.config import Config, Tensor
from exporters.files import content_sha256
from exporters.golden import Expected, Golden
from exporters.parity import probability_tolerance
from exporters.repository import Exported, publish
from exporters.samples import sample_picture
from exporters.weights import FetchedFile, Weights, provenance

LABELS = tuple("0123456789")
WEIGHTS = "mnist.weights.h5"
SEED = 7
_INPUT = Tensor("images", "TYPE_UINT8", (28, 28, 1))
_OUTPUT = Tensor("probabilities", "TYPE_FP32", (len(LABELS),), labels=True)


def network() -> Any:
    """The network, untrained: three convolutions, two poolings, dense 64, softmax.

    Returns:
        A Keras model of FP32 [N,28,28,1] in 0..255 (white on black) to probabilities FP32 [N,10]. The scaling is its
        first layer; dropout acts in training only.
    """
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(len(LABELS), activation="softmax"),
        ],
        name="mnist",
    )


def load(weights: Path) -> Any:
    """The network with these weights."""
    tensorflow_runtime.start(SEED)
    loaded = network()
    saved_model.load_weights(loaded, weights)
    return loaded


def probabilities(trained: Any, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Keras's own answer, without any exported graph: [N,28,28,1] to [N,10]."""
    return np.asarray(trained(images.astype(np.float32), training=False), np.float32)


def export(model: Model, weights: Weights | None, model_dir: Path) -> Exported:
    """Export the model; without weights it is trained first, which takes minutes."""
    if weights is None:
        from exporters.training import mnist as training

        path = training.train()
        weights = Weights({WEIGHTS: FetchedFile(path, content_sha256(path))})
    path = weights.path(WEIGHTS)
    trained = load(path)
    record = training_record.read(model.name, path)
    picture = sample_picture(model.name, "images")
    expected = probabilities(trained, picture[np.newaxis])[0]
    golden = Golden({"images": picture}, {"probabilities": Expected(expected, probability_tolerance(expected))})
    stated = provenance(model, weights)
    return publish(
        model_dir,
        filename=saved_model.FILENAME,
        build=lambda target: saved_model.build(target, lambda images: {"probabilities": trained(images)}, _INPUT),
        config=Config(model.name, model.platform, (_INPUT,), (_OUTPUT,), max_batch_size=64),
        golden=golden,
        provenance=dataclasses.replace(stated, accuracy=record.accuracy if record else "not measured"),
        labels=LABELS,
        verify=lambda target: saved_model.verify(target, golden),
    )
