"""A pytest plugin: a bucket of S3 (moto)."""

from collections.abc import Iterator
from typing import Any

import pytest

URL = "s3://modelport-models"
VARIABLES = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The endpoint of an S3 of our own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket at URL, as boto3 has it; the environment names its endpoint and credentials."""
    import boto3

    for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(name, value)
    created = boto3.resource("s3").Bucket(URL.removeprefix("s3://"))
    created.create()
    yield created
    created.objects.all().delete()
    created.delete()
