"""What the tests against the real stack share."""

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local_stack.errors import PortTakenError
from local_stack.overlay import OverlaySettings
from local_stack.stack import check_ports


@pytest.fixture(scope="session")
def repository() -> Path:
    """The model repository that the stack serves."""
    return Path(__file__).parents[2] / "model_repository"


@pytest.fixture(scope="session")
def coffee(pictures: Path) -> bytes:
    """A photo of a cup of espresso."""
    return (pictures / "coffee.jpg").read_bytes()


@pytest.fixture
def client(stack) -> Iterator[httpx.Client]:
    """Talks to the transformer server."""
    with httpx.Client(base_url=stack.http, timeout=60) as client:
        yield client


@pytest.fixture
def overlay_settings(tmp_path: Path) -> Callable[..., OverlaySettings]:
    """Makes the settings of an overlay's stack on free ports, with its logs in tmp_path."""

    def make(overlay: str, services: tuple[str, ...], **more: Any) -> OverlaySettings:
        for port in random.sample(range(20000, 30000, 50), 100):
            ports = range(port, port + 5)
            settings = OverlaySettings(services, *ports, logs=tmp_path, overlay=overlay, **more)
            with contextlib.suppress(PortTakenError):
                check_ports(settings)
                return settings
        raise AssertionError("no free ports")

    return make
