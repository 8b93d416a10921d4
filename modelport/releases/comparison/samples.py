"""The samples that both releases get: images, or windows of a series."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.images.formats import SUFFIXES
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import TASKS
from modelport.releases.errors import ComparisonError
from modelport.samples import PHOTOS


@dataclass(frozen=True)
class Sample:
    """The input of one request: an encoded image, or a window, FP32 [L]."""

    name: str
    content: bytes | npt.NDArray[np.float32]

    @property
    def bytes(self) -> bytes:
        """The content, for comparison with other samples."""
        return self.content if isinstance(self.content, bytes) else self.content.tobytes()


def find_samples(service: ServiceSpec, data: Path | None, repositories: Sequence[Path]) -> list[Sample]:
    """Collect the samples for a service.

    Args:
        service: its task determines whether it takes images or windows.
        data: a folder, read recursively, of images, or of JSON files with a window or a list of windows.
            None: the sample photos of this checkout and the golden samples.
        repositories: the model repositories whose golden samples are taken where `data` is None.

    Returns:
        The samples without duplicates.

    Raises:
        ComparisonError: there are none.
    """
    task = TASKS[service.task]
    windows = task.kind is InstanceKind.WINDOW
    folders = [data] if data else [folder / model / "golden" for folder in repositories for model in service.models]
    if not data and task.takes_photos:
        folders.insert(0, PHOTOS)
    read = _windows if windows else _images
    found = {sample.bytes: sample for folder in folders for sample in read(folder)}
    if not found:
        kind = "windows (JSON, a list of numbers)" if windows else "images"
        hint = "another folder" if data else "a folder that does: --data DIR (make: DATA=DIR)"
        raise ComparisonError(f"{data or 'this checkout'} contains no {kind}: name {hint}")
    return list(found.values())


def _images(folder: Path) -> Iterator[Sample]:
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
            raise ComparisonError(f"{path} is not a list of numbers ({exc}): remove it from the folder") from exc
