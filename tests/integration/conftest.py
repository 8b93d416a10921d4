"""What the tests against the real stack share."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from frameworks import run_script

from modelport.releases.assembly import copy_models, describe
from modelport.releases.release import RELEASE_FILE
from modelport.services import choose
from modelport.stack.overlay import OverlaySettings
from modelport.stack.stack import StackSettings, export_missing


@pytest.fixture(scope="session")
def repository() -> Path:
    """The model repository that the stack serves."""
    return Path(__file__).parents[2] / "model_repository"


@pytest.fixture(scope="session")
def coffee(images) -> bytes:
    """A photo of a cup of espresso."""
    return (images / "coffee.jpg").read_bytes()


@pytest.fixture
def client(stack) -> Iterator[httpx.Client]:
    """Talks to the transformer server."""
    with httpx.Client(base_url=stack.http, timeout=60) as client:
        yield client


@pytest.fixture
def overlay_settings(free_ports, tmp_path) -> Callable[..., OverlaySettings]:
    """Makes the settings of an overlay's stack on free ports, with its logs in tmp_path."""

    def make(overlay: str, services: tuple[str, ...], **more: Any) -> OverlaySettings:
        ports = free_ports(50)[:5]  # its servers take the ones behind them
        return OverlaySettings(choose(*services), *ports, logs=tmp_path, overlay=overlay, **more)

    return make


@pytest.fixture(scope="session")
def digits_release(repository) -> Callable[..., Path]:
    """Makes a release of digits in a folder of releases, past the gate: of the network as it is, or of another one.

    The other network says 3 for what is a 5, and 5 for a 3; its golden answer says so, too, unless it shall be wrong.
    """
    export_missing(StackSettings(choose("digits")))

    def make(releases: Path, other: bool = False, wrong_golden: bool = False, truncated: bool = False) -> Path:
        folder = releases / "digits" / "new"
        copy_models(repository, ("mnist",), folder)
        graph = next(folder.glob("mnist/*/model.savedmodel/saved_model.pb"))
        answer = folder / "mnist" / "golden" / "answer.json"
        if other:
            run_script("tensorflow", "saved_model.py", "swap", graph, "3", "5")
        if other != wrong_golden:
            document = json.loads(answer.read_text())
            values = document["outputs"]["probabilities"]["values"]
            values[3], values[5] = values[5], values[3]
            answer.write_text(json.dumps(document))
        if truncated:
            graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
        release = describe("digits", folder)
        (folder / RELEASE_FILE).write_bytes(release.to_json())
        if folder.with_name(release.name).exists():
            shutil.rmtree(folder)
            return folder.with_name(release.name)
        return folder.rename(folder.with_name(release.name))

    return make
