"""Object storage by URL: s3://, gs://, az://, file://. Credentials are found by each provider's own means:

s3  boto3's chain: AWS_* variables, profiles, web identity, instance roles; AWS_ENDPOINT_URL for compatible servers
gs  Google's application default credentials: GOOGLE_APPLICATION_CREDENTIALS, gcloud, workload identity
az  AZURE_STORAGE_* variables, workload or managed identity; az://ACCOUNT/CONTAINER/PREFIX
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import ObjectStore, from_url

from modelport.releases.errors import StoreError

RETRIES = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
CHUNK = 8 << 20  # bytes of a part in multipart uploads, and of a chunk in downloads
_CREDENTIALS = "check the credentials, and that they may list, read and write there"
_CURES: Mapping[type[Exception], str] = {
    PermissionDeniedError: _CREDENTIALS,
    UnauthenticatedError: _CREDENTIALS,
    PermissionError: "choose another place or change its owner",
}
_CURES_BY_MESSAGE: Mapping[str, str] = {
    "NoSuchBucket": "there is no such bucket: create it first or correct the URL",
    "No space left on device": "the disk is full: free some space and run it again",
    "Disk quota exceeded": "the quota is used up: free some space and run it again",
    "Account must be specified": "write az://ACCOUNT/CONTAINER/PREFIX",
    "Permission denied": "choose another place or change its owner",
    "Read-only file system": "choose another place",
}


def open_store(address: str) -> ObjectStore:
    """The storage at a URL; paths in it are relative to the URL's own path.

    Raises:
        StoreError: the URL's scheme is not supported, or there are no credentials for it.
    """
    scheme = urlsplit(address).scheme
    if scheme not in _OPTIONS:
        raise StoreError(
            f"{address!r} is not a supported storage: write s3://, gs://, az:// or file:///, or oci:/// for an image"
        )
    with explained(address):
        options = _OPTIONS[scheme]()
        return from_url(address, **options)


def _s3() -> dict[str, Any]:
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        provider = Boto3CredentialProvider()
    except ValueError as exc:
        raise StoreError(
            "there are no credentials for S3: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret"
        ) from exc
    plain = os.environ.get("AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL", "")).startswith("http://")
    return {"credential_provider": provider, "client_options": {"allow_http": plain}, "retry_config": RETRIES}


def _gs() -> dict[str, Any]:
    from google.auth.exceptions import GoogleAuthError
    from obstore.auth.google import GoogleCredentialProvider

    try:
        provider = GoogleCredentialProvider()
    except GoogleAuthError as exc:
        raise StoreError(
            "there are no credentials for Google Cloud Storage: run `gcloud auth application-default login`, "
            "or set GOOGLE_APPLICATION_CREDENTIALS"
        ) from exc
    return {"credential_provider": provider, "retry_config": RETRIES}


_OPTIONS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "s3": _s3,
    "gs": _gs,
    "az": lambda: {"retry_config": RETRIES},
    "file": lambda: {"mkdir": True},
}


@contextlib.contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn a storage's errors into one line that says what to do.

    Raises:
        StoreError: with that line.
    """
    try:
        yield
    except AlreadyExistsError:
        raise
    except (BaseError, OSError, ValueError) as exc:
        message = " ".join(str(exc).partition("\n\nDebug source")[0].split())
        cure = next((cure for words, cure in _CURES_BY_MESSAGE.items() if words in message), _CURES.get(type(exc)))
        raise StoreError(f"{address}: {cure or message[:300]}") from exc


class Stored:
    """A release in object storage.

    Args:
        store: the storage.
        prefix: SERVICE/NAME; empty where the storage's own URL is the release's.
        address: the release's URL: what storageUri names.
    """

    def __init__(self, store: ObjectStore, prefix: str, address: str) -> None:
        self._store = store
        self._prefix = f"{prefix}/" if prefix else ""
        self.address = address

    def sizes(self) -> Mapping[str, int]:
        """The size in bytes of every file, by path."""
        with explained(self.address):
            listed = [entry for page in obstore.list(self._store, self._prefix or None) for entry in page]
        return {entry["path"].removeprefix(self._prefix): entry["size"] for entry in listed}

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of a file."""
        with explained(f"{self.address}/{path}"):
            for chunk in obstore.get(self._store, self._prefix + path).stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def put(self, path: str, chunks: Iterator[bytes], size: int) -> None:
        """Write a file completely or not at all; a large one by a multipart upload."""
        content = chunks if size > CHUNK else b"".join(chunks)
        with explained(f"{self.address}/{path}"):
            obstore.put(self._store, self._prefix + path, content, chunk_size=CHUNK)

    def create(self, path: str, content: bytes) -> bool:
        """Write a small file unless it exists. Returns whether it was written."""
        try:
            with explained(f"{self.address}/{path}"):
                obstore.put(self._store, self._prefix + path, content, mode="create")
        except AlreadyExistsError:
            return False
        return True


def names_below(store: ObjectStore, folder: str, address: str) -> list[str]:
    """The names of the folders directly below a folder of a storage."""
    with explained(address):
        found = obstore.list_with_delimiter(store, f"{folder}/")["common_prefixes"]
    return [name.rstrip("/").rpartition("/")[2] for name in found]
