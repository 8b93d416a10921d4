"""added.json, tracked beside an added model: where it came from and how its artefact is built again."""

import importlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from exporters.adding.formats import FORMATS
from exporters.adding.plan import Plan, from_json, to_json
from exporters.adding.serving import FILENAMES
from exporters.errors import ExportError, WeightsUnavailableError
from exporters.files import replace_file
from exporters.repository import LABELS, write_version
from exporters.weights import PROJECT, WEIGHTS_DIR, verified

FILENAME = "added.json"


@dataclass(frozen=True)
class Record:
    """What is known of an added model."""

    file: str  # path of the original, from the checkout where it is in it
    sha256: str  # of the original
    format: str  # a key of FORMATS
    plan: Plan  # that the artefact was built by
    service: str  # whose chain it joined
    facts: tuple[str, ...] = ()  # what was found, and what was assumed
    parity: tuple[str, ...] = ()  # a line for each comparison of the artefact with the original


def read(model_dir: Path) -> Record | None:
    """The record of a model; None where it was not added.

    Raises:
        ExportError: the record is damaged.
    """
    try:
        record = from_json(Record, (model_dir / FILENAME).read_bytes())
        labels = (model_dir / LABELS).read_text().splitlines() if record.plan.task != "anomaly" else ()
        return replace(record, plan=replace(record.plan, labels=tuple(labels)))
    except FileNotFoundError:
        return None
    except ValueError as exc:
        raise ExportError(f"{model_dir.name}/{FILENAME} is damaged: restore it (git checkout)") from exc


def write(model_dir: Path, record: Record) -> None:
    """Write a record; labels are in labels.txt alone."""
    bare = replace(record, plan=replace(record.plan, labels=()))
    replace_file(model_dir / FILENAME, (to_json(bare) + "\n").encode())


def original(record: Record) -> Path:
    """The file that a model is built from: in WEIGHTS_DIR, or where it was when it was added.

    Raises:
        WeightsUnavailableError: it is in neither place.
        WeightsInvalidError: it has another content.
    """
    name = Path(record.file).name
    folder = os.environ.get(WEIGHTS_DIR)
    places = [*([Path(folder).expanduser() / name] if folder else []), PROJECT / record.file]
    for place in places:
        if place.exists():
            return verified(place, record.sha256).path
    raise WeightsUnavailableError(
        f"{record.plan.name} was added from {name}, which is not at {record.file}: run "
        f"`make export MODEL={record.plan.name} {WEIGHTS_DIR}=folder` with a folder that holds it"
    )


def rebuild(model_dir: Path) -> None:
    """Build the artefact of an added model again, in the environment of its format.

    Raises:
        ExportError: the original is not to be had, or cannot be built.
    """
    record = read(model_dir)
    if record is None:
        raise WeightsUnavailableError(f"{model_dir} has no {FILENAME}: it was not added by `modelport add`")
    source = original(record)
    module = importlib.import_module(FORMATS[record.format].module)
    write_version(model_dir, FILENAMES[record.plan.platform], lambda path: module.build(source, record.plan, path))
