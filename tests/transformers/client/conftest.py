"""The client run against services that answer from the bytes that they are sent."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from services import FakeServices, fake_services

from kserve_transformers.client.__main__ import main


@pytest.fixture
def fake(httpserver) -> Iterator[FakeServices]:
    served = fake_services(httpserver)
    yield served
    served.release.set()


@pytest.fixture
def client(fake, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs the client; gives its exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([*map(str, arguments), "--url", fake.url])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder of ten files that the fake services take for images, one of them empty of objects."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.jpg").write_bytes(b"image" + bytes([number]))
    (folder / "empty.png").write_bytes(b"empty")
    return folder
