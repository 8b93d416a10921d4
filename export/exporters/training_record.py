"""The record of a training run: a JSON file beside the weights that the run wrote."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from exporters.errors import WeightsInvalidError
from exporters.files import content_sha256, replace_file


@dataclass(frozen=True)
class TrainingRecord:
    """A training run. For weights from elsewhere, users can write a record with labels and parameters by hand."""

    model: str = ""
    weights_sha256: str = ""  # of the weights that the record belongs to; empty: it belongs to any weights
    seed: int = 0
    epochs: int = 0
    accuracy: str = "not measured"  # in words, for config.pbtxt and the export table
    data: Mapping[str, str] = field(default_factory=dict)  # sha256 of the data files, by name
    score: Mapping[str, object] = field(default_factory=dict)  # measurements, by name
    labels: tuple[str, ...] = ()  # in the order of the network's outputs; empty where it has no classes
    # of the served model beside its weights (anomaly: threshold; cars: scaling)
    parameters: Mapping[str, str] = field(default_factory=dict)


def path(model: str, weights: Path) -> Path:
    """MODEL_record.json beside the weights."""
    return weights.with_name(f"{model}_record.json")


def write(record: TrainingRecord, weights: Path) -> TrainingRecord:
    """Write MODEL_record.json beside the weights. Returns the record with their sha256."""
    written = replace(record, weights_sha256=content_sha256(weights))
    replace_file(path(record.model, weights), (json.dumps(asdict(written), indent=1) + "\n").encode())
    return written


def read(model: str, weights: Path) -> TrainingRecord | None:
    """Read MODEL_record.json beside the weights.

    Returns:
        None where it does not exist, or was written for other weights.

    Raises:
        WeightsInvalidError: the file is not a record.
    """
    file = path(model, weights)
    if not file.is_file():
        return None
    try:
        stated = json.loads(file.read_text())
        record = TrainingRecord(**{**stated, "labels": tuple(stated.get("labels", ()))})
    except (ValueError, TypeError, AttributeError) as exc:
        raise WeightsInvalidError(
            f"{file} is not a record of a training run ({exc}): train again or remove it"
        ) from exc
    return record if record.weights_sha256 in ("", content_sha256(weights)) else None
