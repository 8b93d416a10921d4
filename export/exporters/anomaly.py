"""anomaly: an autoencoder of windows of a series; windows that it reconstructs badly are anomalies."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import saved_model, training_record
from exporters.catalog import Model
from exporters.config import Config, Tensor
from exporters.errors import WeightsInvalidError
from exporters.golden import Golden
from exporters.repository import Exported
from exporters.samples import sample_values
from exporters.weights import Weights, provenance
from kserve_transformers.arrays.golden import Expected

WEIGHTS = "anomaly.weights.h5"
WINDOW = 64
_CODE = 8
_SEED = 7
_INPUT = Tensor("windows", "TYPE_FP32", (WINDOW,))
_OUTPUTS = (Tensor("reconstruction", "TYPE_FP32", (WINDOW,)), Tensor("mae", "TYPE_FP32", (1,)))


def network() -> Any:
    """The autoencoder, untrained: 64 values to a code of 8 and back.

    Its first and last layers contain the mean and deviation of the training series, so that its input and output are in
    the unit of the series. They are the same for all windows: a shifted level is an anomaly too.

    Returns:
        A Keras model that maps windows FP32 [N,64] to their reconstruction FP32 [N,64].
    """
    import keras

    layers = keras.layers
    windows = keras.Input((WINDOW,), name="windows")
    hidden = layers.Normalization(axis=None, name="normalise")(windows)
    hidden = layers.Dense(64, activation="relu")(hidden)
    hidden = layers.Dense(_CODE)(hidden)
    hidden = layers.Dense(64, activation="relu")(hidden)
    hidden = layers.Dense(WINDOW)(hidden)
    return keras.Model(windows, layers.Normalization(axis=None, invert=True, name="restore")(hidden), name="anomaly")


def load(weights: Path) -> Any:
    """The network with weights from a .weights.h5 file."""
    return saved_model.load_network(network, weights, _SEED)


def rebuild(trained: Any, windows: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Keras's answer; no exported graph is involved.

    Args:
        trained: the network.
        windows: [N,64], in the unit of the series.

    Returns:
        The reconstruction [N,64], and its mean absolute error [N,1] in the same unit.
    """
    reconstruction = np.asarray(trained(windows, training=False), np.float32)
    return reconstruction, np.abs(windows - reconstruction).mean(axis=1, keepdims=True)


def export(model: Model, weights: Weights, model_dir: Path) -> Exported:
    """Export the model. Its threshold and accuracy are those of the training record beside the weights.

    Raises:
        WeightsInvalidError: the record with the threshold is missing or belongs to other weights.
    """
    path = weights.path(WEIGHTS)
    trained = load(path)
    record = training_record.read(model.name, path)
    if record is None or "threshold" not in record.parameters:
        raise WeightsInvalidError(
            f"{path} has no anomaly_record.json of its own beside it, which states the threshold: train again"
        )
    window = sample_values(model.name, "windows")
    reconstruction, mae = (rows[0] for rows in rebuild(trained, window[np.newaxis]))
    atol = float(f"{0.01 * float(record.parameters['threshold']):.2g}")
    golden = Golden({"windows": window}, {"reconstruction": Expected(reconstruction, atol), "mae": Expected(mae, atol)})
    return saved_model.publish(
        model_dir,
        lambda windows: _serve(trained, windows),
        Config(model.name, model.platform, (_INPUT,), _OUTPUTS, record.parameters, max_batch_size=64),
        golden,
        provenance(model, weights, record.accuracy),
    )


def _serve(trained: Any, windows: Any) -> dict[str, Any]:
    import tensorflow as tf

    reconstruction = trained(windows)
    return {
        "reconstruction": reconstruction,
        "mae": tf.reduce_mean(tf.abs(windows - reconstruction), axis=1, keepdims=True),
    }
