"""Addresses of Azure's storage, against a server in place of Azure, and credentials that are missing."""

import os
import re

import pytest
from werkzeug import Request, Response

from kserve_transformers.client.storage import StorageError, open_folder

NO_CONTAINER = "<Error><Code>ContainerNotFound</Code><Message>The specified container does not exist.</Message></Error>"


@pytest.fixture
def azure(httpserver, monkeypatch):
    """Keeps blobs of one container, `models`, of an account that the environment names."""
    blobs: dict[str, bytes] = {}

    def answer(request: Request) -> Response:
        if not request.path.startswith("/models/"):
            return Response(NO_CONTAINER, 404, {"x-ms-error-code": "ContainerNotFound"})
        dated = {"etag": '"1"', "last-modified": "Thu, 26 Nov 2026 12:00:00 GMT"}
        if request.method == "PUT":
            blobs[request.path] = request.data
            return Response(status=201, headers=dated)
        return Response(blobs[request.path], headers=dated)

    httpserver.expect_request(re.compile("/.*")).respond_with_handler(answer)
    for name, value in {"ACCOUNT_NAME": "me", "ACCOUNT_KEY": "a2V5", "ENDPOINT": httpserver.url_for("")}.items():
        monkeypatch.setenv(f"AZURE_STORAGE_{name}", value)
    monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
    return httpserver


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("az://models/cars/1", id="container"),
        pytest.param("az://models@me.blob.core.windows.net/cars/1/", id="container and account"),
    ],
)
def test_the_container_comes_first_as_in_adlfs(url, azure):
    folder = open_folder(url)
    folder.write("release.json", b"{}")
    assert folder.read("release.json") == b"{}"
    assert {request.path for request, _ in azure.log} == {"/models/cars/1/release.json"}


@pytest.mark.parametrize(
    ("url", "unset", "message"),
    [
        pytest.param("az://me/models/", "", "there is no such container", id="an account in the container's place"),
        pytest.param("az://models/", "AZURE", "set AZURE_STORAGE_ACCOUNT_NAME", id="no account"),
        pytest.param("s3://models/", "AWS_", "there are no credentials for S3: set AWS_PROFILE", id="no keys of S3"),
        pytest.param("gs://models/", "GOOGLE", "there are no credentials for Google Cloud", id="none of Google"),
    ],
)
def test_what_a_storage_lacks_is_said(url, unset, message, azure, tmp_path, monkeypatch):
    for name in [name for name in os.environ if unset and name.startswith(unset)]:
        monkeypatch.delenv(name)
    for name in ("HOME", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("AWS_EC2_METADATA_DISABLED", "NO_GCE_CHECK"):
        monkeypatch.setenv(name, "true")
    with pytest.raises(StorageError, match=re.escape(message)):
        open_folder(url).write("release.json", b"{}")


@pytest.mark.parametrize("variable", ["AWS_SKIP_SIGNATURE", "GOOGLE_SKIP_SIGNATURE"])
def test_public_buckets_need_no_credentials(variable, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_EC2_METADATA_DISABLED", "NO_GCE_CHECK", variable):
        monkeypatch.setenv(name, "true")
    scheme = {"AWS": "s3", "GOOGLE": "gs"}[variable.partition("_")[0]]
    assert open_folder(f"{scheme}://models/").address == f"{scheme}://models/"
