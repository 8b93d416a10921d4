"""cars: the user's car classifier, or an untrained one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exporters import cars_checkpoint, cars_network, saved_model, tensorflow_runtime, training_record
from exporters.catalog import Model
from exporters.config import Config, Tensor
from exporters.errors import WeightsInvalidError
from exporters.repository import Exported
from exporters.samples import classifier_golden
from exporters.tensorflow_runtime import probabilities
from exporters.training_record import TrainingRecord
from exporters.weights import Weights, provenance

_SEED = 7
_INPUT = Tensor("images", "TYPE_UINT8", (cars_network.SIZE, cars_network.SIZE, 3))
_LABELS = Path(__file__).parent / "stanford_cars.txt"


def stanford_labels() -> tuple[str, ...]:
    """The 196 classes of Stanford Cars in the data set's order; spaces and the one slash are underscores."""
    return tuple(_LABELS.read_text().splitlines())


def load(model: Model, weights: Weights | None) -> tuple[Any, TrainingRecord]:
    """The network with these weights and its training record; without weights an untrained network."""
    if weights is None:
        tensorflow_runtime.start(_SEED)
        return cars_network.network(), TrainingRecord()
    path = weights.path(model.files[0].name)
    record = training_record.read(model.name, path) or TrainingRecord()
    return cars_checkpoint.load(path, record.parameters.get("scaling")), record


def export(model: Model, weights: Weights | None, model_dir: Path) -> Exported:
    """Export the classifier. Without a checkpoint of the user's it is built untrained.

    Raises:
        WeightsInvalidError: the checkpoint is not such a classifier, or the names of its classes are missing.
    """
    network, record = load(model, weights)
    labels = _labels(record.labels, network.output_shape[-1])
    output = Tensor("probabilities", "TYPE_FP32", (len(labels),), labels=True)
    return saved_model.publish(
        model_dir,
        lambda images: _serve(network, images),
        Config(
            model.name,
            model.platform,
            (_INPUT,),
            (output,),
            model.parameters,
            placement=model.placement,
            gpu_instances=1,
        ),
        classifier_golden(model.name, _INPUT, output, lambda images: probabilities(network, images)),
        provenance(model, weights, record.accuracy),
        labels,
    )


def _labels(known: Sequence[str], classes: int) -> Sequence[str]:
    """The classes of a classifier: those of its training record, or else Stanford's."""
    labels = known or stanford_labels()
    if len(labels) != classes:
        raise WeightsInvalidError(
            f"the classifier has {classes} classes, but {len(labels)} names are known: "
            'write {"labels": ["first", "second", ...]}, in the order of its outputs, into cars_record.json beside it'
        )
    return labels


def _serve(network: Any, images: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {"probabilities": network(tf.cast(images, tf.float32), training=False)}
