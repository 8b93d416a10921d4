"""What the tests against the real stack share."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest


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
