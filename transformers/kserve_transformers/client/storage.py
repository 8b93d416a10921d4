"""Folders that inputs come from and results go to: local ones, and s3://, gs://, az:// and file:// by obstore.

Credentials are found by each provider's own means:

s3  AWS_* variables, web identity, instance roles, and with boto3 also profiles; AWS_ENDPOINT_URL for compatible servers
gs  Google's application default credentials: GOOGLE_APPLICATION_CREDENTIALS, gcloud, workload identity
az  AZURE_STORAGE_ACCOUNT_NAME and others, workload or managed identity; az://CONTAINER/PREFIX
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

SCHEMES = ("s3", "gs", "az", "file")
_CURES = {
    "NoSuchBucket": "there is no such bucket: create it first or correct the URL",
    "PermissionDenied": "check the credentials, and that they may list, read and write there",
    "Unauthenticated": "check the credentials, and that they may list, read and write there",
    "Account must be specified": "set AZURE_STORAGE_ACCOUNT_NAME",
    "metadata.google.internal": "there are no credentials for it: set GOOGLE_APPLICATION_CREDENTIALS",
    "computeMetadata": "there are no credentials for it: set GOOGLE_APPLICATION_CREDENTIALS",
    "169.254.169.254": "there are no credentials for it: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret",
}


class StorageError(OSError):
    """A storage cannot be used; the message is one line that says what to do."""


class Folder(Protocol):
    """A folder, or a prefix of a bucket.

    Attributes:
        address: path or URL, with its slash at the end.
    """

    address: str

    def names(self) -> list[str]:
        """The paths of all files below, sorted."""

    def read(self, name: str) -> bytes:
        """A file's content."""

    def write(self, name: str, content: bytes, overwrite: bool = True) -> None:
        """Write a file completely or not at all.

        Raises:
            FileExistsError: it is there, and is not to be overwritten.
        """

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


def is_url(name: str) -> bool:
    """Whether a name is a URL, and no path."""
    return "://" in name


def open_folder(name: str) -> Folder:
    """The folder at a path or URL; a local one need not be there.

    Raises:
        StorageError: the URL's scheme is not supported, or its library is missing.
    """
    return StoreFolder(name) if is_url(name) else LocalFolder(Path(name))


class LocalFolder:
    """A folder on this machine.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.address = f"{path}/"
        self._path = path

    def names(self) -> list[str]:
        """The names of the files directly in it, sorted."""
        return sorted(one.name for one in self._path.iterdir()) if self._path.is_dir() else []

    def read(self, name: str) -> bytes:
        """A file's content."""
        return (self._path / name).read_bytes()

    def write(self, name: str, content: bytes, overwrite: bool = True) -> None:
        """Write a file completely or not at all. See Folder."""
        self._path.mkdir(parents=True, exist_ok=True)
        made = self._path / f".{uuid.uuid4().hex}"
        try:
            with made.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                made.replace(self._path / name)
            else:
                (self._path / name).hardlink_to(made)  # unlike a rename, never over another file
        finally:
            made.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self._path / name).unlink(missing_ok=True)


class StoreFolder:
    """A prefix of a bucket.

    Args:
        url: such as s3://bucket/prefix/.

    Raises:
        StorageError: the scheme is not supported, obstore is missing, or there are no credentials.
    """

    def __init__(self, url: str) -> None:
        self.address = url.rstrip("/") + "/"
        scheme = urlsplit(url).scheme
        if scheme not in SCHEMES:
            raise StorageError(f"{url}: not a supported storage: write {', '.join(f'{one}://' for one in SCHEMES)}")
        try:
            import obstore
            from obstore.store import from_url
        except ImportError as exc:
            raise StorageError(f"{url}: storage needs the package obstore: pip install obstore") from exc
        self._obstore = obstore
        with self._explained():
            self._store = from_url(self.address, **_options(scheme))

    def names(self) -> list[str]:
        """The keys below the prefix, sorted."""
        with self._explained():
            return sorted(entry["path"] for page in self._obstore.list(self._store) for entry in page)

    def read(self, name: str) -> bytes:
        """A file's content."""
        with self._explained(name):
            return bytes(self._obstore.get(self._store, name).bytes())

    def write(self, name: str, content: bytes, overwrite: bool = True) -> None:
        """Write a file completely or not at all. See Folder."""
        from obstore.exceptions import AlreadyExistsError

        try:
            with self._explained(name):
                self._obstore.put(self._store, name, content, mode="overwrite" if overwrite else "create")
        except StorageError as exc:
            if isinstance(exc.__cause__, AlreadyExistsError):
                raise FileExistsError(f"{self.address}{name} is there already") from exc
            raise

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError), self._explained(name):
            self._obstore.delete(self._store, name)

    @contextlib.contextmanager
    def _explained(self, name: str = "") -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.address}{name} is not there") from None
        except (BaseError, OSError, ValueError) as exc:
            message = f"{type(exc).__name__}: " + " ".join(str(exc).partition("\n\nDebug source")[0].split())
            cure = next((cure for words, cure in _CURES.items() if words in message), message[:300])
            raise StorageError(f"{self.address}{name}: {cure}") from exc


def _options(scheme: str) -> dict[str, Any]:
    if scheme == "file":
        return {"mkdir": True}
    options: dict[str, Any] = {"retry_config": {"max_retries": 4}}
    if scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL", ""))
        options["client_options"] = {"allow_http": endpoint.startswith("http://")}
        with contextlib.suppress(ImportError, ValueError):  # without boto3 or its credentials, obstore looks itself
            from obstore.auth.boto3 import Boto3CredentialProvider

            options["credential_provider"] = Boto3CredentialProvider()
    if scheme == "gs":
        with contextlib.suppress(ImportError):  # without google-auth or its credentials, obstore looks itself
            from google.auth.exceptions import GoogleAuthError
            from obstore.auth.google import GoogleCredentialProvider

            with contextlib.suppress(GoogleAuthError):
                options["credential_provider"] = GoogleCredentialProvider()
    return options
