"""Object storage by URL: s3://, gs://, az:// and file://, by obstore; and folders, local ones or in such a storage.

Credentials are found by each provider's own means:

s3  boto3's chain where it is installed: AWS_* variables, profiles, web identity, instance roles; without it obstore's,
    which knows no profiles; AWS_ENDPOINT_URL for compatible servers
gs  Google's application default credentials: GOOGLE_APPLICATION_CREDENTIALS, gcloud, workload identity
az  AZURE_STORAGE_* variables, workload or managed identity; az://CONTAINER/PREFIX in the account that
    AZURE_STORAGE_ACCOUNT_NAME names, or az://CONTAINER@ACCOUNT.blob.core.windows.net/PREFIX, as in adlfs
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az", "file")
_CREDENTIALS = "check the credentials, and that they may list, read and write there"
_NO_S3 = "there are no credentials for S3: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret"
_NO_GOOGLE = (
    "there are no credentials for Google Cloud Storage: run `gcloud auth application-default login`, "
    "or set GOOGLE_APPLICATION_CREDENTIALS"
)
# By words of the error, which begins with its class.
_CURES = {
    "NoSuchBucket": "there is no such bucket: create it first or correct the URL",
    "ContainerNotFound": "there is no such container: create it first or correct the URL, az://CONTAINER/PREFIX",
    "PermissionDeniedError": _CREDENTIALS,
    "UnauthenticatedError": _CREDENTIALS,
    "Account must be specified": (
        "name the account: set AZURE_STORAGE_ACCOUNT_NAME, or write az://CONTAINER@ACCOUNT.blob.core.windows.net/PREFIX"
    ),
    "metadata.google.internal": _NO_GOOGLE,
    "computeMetadata": _NO_GOOGLE,
    "169.254.169.254": _NO_S3,
    "No space left on device": "the disk is full: free some space and run it again",
    "Disk quota exceeded": "the quota is used up: free some space and run it again",
    "PermissionError": "choose another place or change its owner",
    "Permission denied": "choose another place or change its owner",
    "Read-only file system": "choose another place",
}


class StorageError(OSError):
    """A storage cannot be used; the message is one line that says what to do."""


class Folder(Protocol):
    """A folder, or a prefix of a bucket. `address` is a path or URL, with its slash at the end."""

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
        self._store = open_store(self.address)

    def names(self) -> list[str]:
        """The keys below the prefix, sorted."""
        with self._explained():
            return sorted(entry["path"] for page in self._store.list() for entry in page)

    def read(self, name: str) -> bytes:
        """A file's content."""
        with self._explained(name):
            return bytes(self._store.get(name).bytes())

    def write(self, name: str, content: bytes, overwrite: bool = True) -> None:
        """Write a file completely or not at all. See Folder."""
        with self._explained(name):
            self._store.put(name, content, mode="overwrite" if overwrite else "create")

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError), self._explained(name):
            self._store.delete(name)

    def _explained(self, name: str = "") -> contextlib.AbstractContextManager[None]:
        return explained(f"{self.address}{name}")


def open_store(url: str) -> ObjectStore:
    """The storage at a URL; paths in it are relative to the URL's own path.

    Raises:
        StorageError: the scheme is not supported, obstore is missing, or there are no credentials.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise StorageError(f"{url!r} is not a supported storage: write {', '.join(f'{one}://' for one in SCHEMES)}")
    try:
        from obstore import store
    except ImportError as exc:
        raise StorageError(f"{url}: storage needs the package obstore: pip install obstore") from exc
    with explained(url):
        return store.from_url(url, **_options(scheme))


@contextlib.contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn a storage's errors into one line that says what to do.

    Raises:
        FileNotFoundError, FileExistsError: there is no such file, or there is one already.
        StorageError: anything else.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError

    try:
        yield
    except StorageError:
        raise
    except AlreadyExistsError as exc:
        raise FileExistsError(f"{address} is there already") from exc
    except (BaseError, OSError, ValueError) as exc:
        message = " ".join(str(exc).partition("\n\nDebug source")[0].split())
        named = f"{type(exc).__name__}: {message}"
        cure = next((cure for words, cure in _CURES.items() if words in named), None)
        if isinstance(exc, FileNotFoundError) and not cure:
            raise FileNotFoundError(f"{address} is not there") from None
        raise StorageError(f"{address}: {cure or message[:300]}") from exc


def _options(scheme: str) -> dict[str, Any]:
    if scheme == "file":
        return {"mkdir": True}
    options: dict[str, Any] = {"retry_config": {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}}
    if scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL", ""))
        options["client_options"] = {"allow_http": endpoint.startswith("http://")}
        with contextlib.suppress(ImportError):
            from obstore.auth.boto3 import Boto3CredentialProvider

            try:
                options["credential_provider"] = Boto3CredentialProvider()
            except ValueError as exc:
                _refuse_unless_set(("AWS_SKIP_SIGNATURE",), _NO_S3, exc)
    if scheme == "gs":
        with contextlib.suppress(ImportError):
            from google.auth.exceptions import GoogleAuthError
            from obstore.auth.google import GoogleCredentialProvider

            try:
                options["credential_provider"] = GoogleCredentialProvider()
            except GoogleAuthError as exc:
                _refuse_unless_set(("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SKIP_SIGNATURE"), _NO_GOOGLE, exc)
    return options


def _refuse_unless_set(variables: tuple[str, ...], problem: str, exc: Exception) -> None:
    """Refuse missing credentials, unless a variable says that none are needed, or names some that obstore reads."""
    if not any(name.startswith(variables) for name in os.environ):
        raise StorageError(problem) from exc
