"""Releases in object storage: see kserve_transformers.client.storage for the URLs, the credentials and the errors."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from obstore.store import ObjectStore

from kserve_transformers.client import storage
from kserve_transformers.client.storage import explained
from modelport.releases.errors import StoreError

CHUNK = 8 << 20  # bytes of a part in multipart uploads, and of a chunk in downloads


def open_store(address: str) -> ObjectStore:
    """The storage at a URL; paths in it are relative to the URL's own path.

    Raises:
        StoreError: the URL's scheme is not supported.
        StorageError: there are no credentials for it.
    """
    if urlsplit(address).scheme not in storage.SCHEMES:
        raise StoreError(
            f"{address!r} is not a supported storage: write s3://, gs://, az:// or file:///, or oci:/// for an image"
        )
    return storage.open_store(address)


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
            listed = [entry for page in self._store.list(self._prefix or None) for entry in page]
        return {entry["path"].removeprefix(self._prefix): entry["size"] for entry in listed}

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of a file."""
        with explained(f"{self.address}/{path}"):
            for chunk in self._store.get(self._prefix + path).stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def put(self, path: str, chunks: Iterator[bytes], size: int) -> None:
        """Write a file completely or not at all; a large one by a multipart upload."""
        content = chunks if size > CHUNK else b"".join(chunks)
        with explained(f"{self.address}/{path}"):
            self._store.put(self._prefix + path, content, chunk_size=CHUNK)

    def create(self, path: str, content: bytes) -> bool:
        """Write a small file unless it exists. Returns whether it was written."""
        try:
            with explained(f"{self.address}/{path}"):
                self._store.put(self._prefix + path, content, mode="create")
        except FileExistsError:
            return False
        return True


def names_below(store: ObjectStore, folder: str, address: str) -> list[str]:
    """The names of the folders directly below a folder of a storage."""
    with explained(address):
        found = store.list_with_delimiter(f"{folder}/")["common_prefixes"]
    return [name.rstrip("/").rpartition("/")[2] for name in found]
