"""What a training run tells about the weights that it wrote: a JSON file beside them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from exporters.errors import WeightsInvalidError
from exporters.files import content_sha256, replace_file


@dataclass(frozen=True)
class TrainingRecord:
    """A training run. Beside weights from elsewhere, people may write labels and parameters by hand.

    Attributes:
        weights_sha256: of the weights that this record belongs to; empty: of any.
        accuracy: in words, for config.pbtxt and the export table.
        data: sha256 of the data files, by name.
        score: what was measured, by name.
        labels: in the order of the network's outputs; none where it has no classes.
        parameters: what the served model needs beside its weights (anomaly: threshold; cars: scaling).
    """

    model: str = ""
    weights_sha256: str = ""
    seed: int = 0
    epochs: int = 0
    accuracy: str = "not measured"
    data: Mapping[str, str] = field(default_factory=dict)
    score: Mapping[str, object] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


def write(record: TrainingRecord, weights: Path) -> Path:
    """Write MODEL_record.json beside the weights. Returns its path."""
    path = weights.with_name(f"{record.model}_record.json")
    replace_file(path, (json.dumps(asdict(record), indent=1) + "\n").encode())
    return path


def read(model: str, weights: Path) -> TrainingRecord | None:
    """Read MODEL_record.json beside the weights.

    Returns:
        None where there is none, or where it was written for other weights.

    Raises:
        WeightsInvalidError: it is no such record.
    """
    path = weights.with_name(f"{model}_record.json")
    if not path.is_file():
        return None
    try:
        stated = json.loads(path.read_text())
        record = TrainingRecord(**{**stated, "labels": tuple(stated.get("labels", ()))})
    except (ValueError, TypeError, AttributeError) as exc:
        raise WeightsInvalidError(f"{path} is no record of a training run ({exc}): train again or remove it") from exc
    return record if record.weights_sha256 in ("", content_sha256(weights)) else None
