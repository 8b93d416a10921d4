"""What both releases are asked about: pictures, or windows of a series."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kserve_transformers.settings import CHAINS
from modelport.environment import ROOT
from modelport.releases.errors import ComparisonError

PICTURES = ROOT / "tests" / "data" / "pictures"
SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
PHOTO_SERVICES = frozenset(("detector", "classifier", "cars"))


@dataclass(frozen=True)
class Sample:
    """One thing to ask about: an encoded picture, or a window, FP32 [L]."""

    name: str
    content: bytes | npt.NDArray[np.float32]


def find_samples(service: str, data: Path | None, repositories: Sequence[Path]) -> list[Sample]:
    """What to ask a service about.

    Args:
        service: pictures for all, windows for `anomaly`.
        data: a folder of pictures, or of JSON files with a window or a list of windows; folders in it count, too.
            None: the sample photos of this checkout, and the golden samples.
        repositories: whose golden samples are taken where there is no `data`.

    Raises:
        ComparisonError: there is nothing.
    """
    folders = [data] if data else [folder / model / "golden" for folder in repositories for model in CHAINS[service]]
    if not data and service in PHOTO_SERVICES:
        folders.insert(0, PICTURES)
    read = _windows if service == "anomaly" else _pictures
    found = {_bytes(sample): sample for folder in folders for sample in read(folder)}
    if not found:
        kind = "window (JSON, a list of numbers)" if service == "anomaly" else "picture"
        raise ComparisonError(f"{data or 'this checkout'} holds no {kind}: name a folder that does, DATA=folder")
    return list(found.values())


def _pictures(folder: Path) -> Iterator[Sample]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield Sample(path.relative_to(folder).as_posix(), path.read_bytes())


def _windows(folder: Path) -> Iterator[Sample]:
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).as_posix()
        try:
            document = json.loads(path.read_text())
            if isinstance(document, list) and document:
                rows = document if isinstance(document[0], list) else [document]
                for number, row in enumerate(rows):
                    yield Sample(f"{name}#{number}" if len(rows) > 1 else name, np.array(row, np.float32))
        except (ValueError, TypeError) as exc:
            raise ComparisonError(f"{path} is no list of numbers ({exc}): remove it from the folder") from exc


def _bytes(sample: Sample) -> bytes:
    """What makes two samples the same one."""
    return sample.content if isinstance(sample.content, bytes) else sample.content.tobytes()
