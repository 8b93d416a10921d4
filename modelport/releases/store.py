"""Storage by its address: s3://, gs://, az://, file://. Credentials come by the providers' own means:

s3  boto3's chain: AWS_* variables, profiles, web identity, instance roles; AWS_ENDPOINT_URL for what speaks S3
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
CHUNK = 8 << 20  # of uploads in parts, and of what is read back
_CREDENTIALS = "check the credentials, and that they may list, read and write there"
_CURES: Mapping[type[Exception], str] = {
    PermissionDeniedError: _CREDENTIALS,
    UnauthenticatedError: _CREDENTIALS,
    PermissionError: "choose another place or change its owner",
}
_SAID: Mapping[str, str] = {
    "NoSuchBucket": "there is no such bucket: create it first or correct the address",
    "No space left on device": "the disk is full: free some space and run it again",
    "Disk quota exceeded": "the quota is used up: free some space and run it again",
    "Account must be specified": "write az://ACCOUNT/CONTAINER/PREFIX",
    "Permission denied": "choose another place or change its owner",
    "Read-only file system": "choose another place",
}


def open_store(address: str) -> ObjectStore:
    """The storage at an address; paths in it are relative to the address's own path.

    Raises:
        StoreError: the address is none of ours, or there are no credentials for it.
    """
    scheme = urlsplit(address).scheme
    if scheme not in _OPTIONS:
        raise StoreError(f"{address!r} is no storage: write s3://, gs://, az:// or file:///, or oci:/// for a layout")
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
    """Turn the storage's refusals into one line that says what to do.

    Raises:
        StoreError: says it.
    """
    try:
        yield
    except AlreadyExistsError:
        raise
    except (BaseError, OSError, ValueError) as exc:
        said = " ".join(str(exc).partition("\n\nDebug source")[0].split())
        cure = next((cure for words, cure in _SAID.items() if words in said), _CURES.get(type(exc)))
        raise StoreError(f"{address}: {cure or said[:300]}") from exc


class Stored:
    """A release below a store's path, as a source.

    Args:
        store: where.
        prefix: SERVICE/NAME; empty where the store's own address is the release's.
        address: of the release.
    """

    def __init__(self, store: ObjectStore, prefix: str, address: str) -> None:
        self._store = store
        self._prefix = f"{prefix}/" if prefix else ""
        self._address = address

    @property
    def address(self) -> str:
        """The release's own address: what storageUri names."""
        return self._address

    def sizes(self) -> Mapping[str, int]:
        """All files there."""
        with explained(self._address):
            listed = [entry for page in obstore.list(self._store, self._prefix or None) for entry in page]
        return {entry["path"].removeprefix(self._prefix): entry["size"] for entry in listed}

    def chunks(self, path: str) -> Iterator[bytes]:
        """A file's content."""
        with explained(f"{self._address}/{path}"):
            for chunk in obstore.get(self._store, self._prefix + path).stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def put(self, path: str, chunks: Iterator[bytes], size: int) -> None:
        """Write a file, whole or not at all; a large one goes up in parts as they come."""
        content = chunks if size > CHUNK else b"".join(chunks)
        with explained(f"{self._address}/{path}"):
            obstore.put(self._store, self._prefix + path, content, chunk_size=CHUNK)

    def create(self, path: str, content: bytes) -> bool:
        """Write a small file unless there is one. Returns whether it was written."""
        try:
            with explained(f"{self._address}/{path}"):
                obstore.put(self._store, self._prefix + path, content, mode="create")
        except AlreadyExistsError:
            return False
        return True


def names_below(store: ObjectStore, folder: str, address: str) -> list[str]:
    """The names right below a folder of a store."""
    with explained(address):
        found = obstore.list_with_delimiter(store, f"{folder}/")["common_prefixes"]
    return [name.rstrip("/").rpartition("/")[2] for name in found]
