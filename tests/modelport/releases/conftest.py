"""A small release made by hand, and a real one of digits."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from modelport.releases.building import Built, build
from modelport.releases.release import RELEASE_FILE, FileRecord, ModelRecord, Release, content_digest
from modelport.services import choose
from modelport.stack.stack import StackSettings, export_missing

CONTENTS = {
    "toy/config.pbtxt": b'name: "toy"\n',
    "toy/labels.txt": b"cat\ndog\n",
    "toy/1/model.onnx": bytes(range(256)) * 8,
}


@pytest.fixture
def toy(tmp_path) -> Callable[..., Path]:
    """Makes the folder of a release whose weights are trained or untrained."""

    def make(
        weights: str = "trained",
        root: Path = tmp_path,
        day: str = "2026-11-21",
        contents: Mapping[str, bytes] = CONTENTS,
    ) -> Path:
        files = {
            path: FileRecord(hashlib.sha256(content).hexdigest(), len(content)) for path, content in contents.items()
        }
        name = f"{day}-{content_digest(files)[:12]}"
        model = ModelRecord(1, "onnxruntime_onnx", {"weights": weights}, {})
        release = Release("digits", name, f"{day}T10:00:00+00:00", {"toy": model}, files)
        folder = root / "digits" / name
        for path, content in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        (folder / RELEASE_FILE).write_bytes(release.to_json())
        return folder

    return make


@pytest.fixture(scope="session")
def repository() -> Path:
    """The model repository, with the artefacts of the small models."""
    settings = StackSettings(choose("digits", "anomaly"))
    export_missing(settings)
    return settings.repository


@pytest.fixture(scope="session")
def digits(repository, tmp_path_factory) -> Built:
    """The release of digits, which passed the whole gate."""
    return build("digits", repository, tmp_path_factory.mktemp("releases"))
