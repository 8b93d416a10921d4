"""mnist: digits of 28x28 pixels, recognised by a small convolutional network that this project trains."""

from pathlib import Path
from typing import Any

from exporters import saved_model, training_record
from exporters.catalog import Model
from exporters.config import Config, Tensor
from exporters.repository import Exported
from exporters.samples import classifier_golden
from exporters.tensorflow_runtime import probabilities
from exporters.weights import Weights, provenance

LABELS = tuple("0123456789")
WEIGHTS = "mnist.weights.h5"
SEED = 7
_INPUT = Tensor("images", "TYPE_UINT8", (28, 28, 1))
_OUTPUT = Tensor("probabilities", "TYPE_FP32", (len(LABELS),), labels=True)


def network() -> Any:
    """The network, untrained: three convolutions, two poolings, dense 64, softmax.

    Returns:
        A Keras model that maps FP32 [N,28,28,1] in 0..255 (white on black) to probabilities FP32 [N,10]. Its first
        layer scales; its dropout is active in training only.
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
    """The network with weights from a .weights.h5 file."""
    return saved_model.load_network(network, weights, SEED)


def export(model: Model, weights: Weights, model_dir: Path) -> Exported:
    """Export the model. Its accuracy is that of the training record beside the weights."""
    path = weights.path(WEIGHTS)
    trained = load(path)
    record = training_record.read(model.name, path)
    return saved_model.publish(
        model_dir,
        lambda images: {"probabilities": trained(images)},
        Config(model.name, model.platform, (_INPUT,), (_OUTPUT,), max_batch_size=64),
        classifier_golden(model.name, _INPUT, _OUTPUT, lambda images: probabilities(trained, images)),
        provenance(model, weights, record.accuracy if record else None),
        LABELS,
    )
