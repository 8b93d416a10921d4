"""cars: the user's car classifier, or an untrained one."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporters import cars_checkpoint, cars_network, saved_model, tensorflow_runtime, training_record
from exporters.catalog import Model
from exporters.config import Config, Tensor
from exporters.errors import WeightsInvalidError
from exporters.golden import Expected, Golden
from exporters.parity import probability_tolerance
from exporters.repository import Exported, publish
from exporters.samples import sample_image
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
    image = sample_image(model.name, _INPUT.name)
    expected = probabilities(network, image[np.newaxis])[0]
    golden = Golden({_INPUT.name: image}, {output.name: Expected(expected, probability_tolerance(expected))})
    stated = provenance(model, weights)
    return publish(
        model_dir,
        filename=saved_model.FILENAME,
        build=lambda target: saved_model.build(target, lambda images: _serve(network, images), _INPUT),
        config=Config(
            model.name,
            model.platform,
            (_INPUT,),
            (output,),
            model.parameters,
            placement=model.placement,
            gpu_instances=1,
        ),
        golden=golden,
        provenance=dataclasses.replace(stated, accuracy=record.accuracy) if stated.trained else stated,
        labels=labels,
        verify=lambda target: saved_model.verify(target, golden),
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
