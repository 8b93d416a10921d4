"""The sinks of a record by their addresses: a folder, a bucket, or an HTTP server that takes batches of CloudEvents."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx

from kserve_transformers.client.storage import Folder, open_folder
from kserve_transformers.record.folder import SUFFIX, FolderSink
from kserve_transformers.record.recorder import Sink
from kserve_transformers.settings import RecordSettings

BATCH = "application/cloudevents-batch+json"
_HTTP_TIMEOUT_S = 10.0


class BucketSink:
    """Objects of JSON lines in a bucket, named as the files of a folder; the bucket's own rules remove old ones.

    Args:
        url: such as s3://bucket/prefix. It is opened with the first write: a server starts without it.
    """

    interval_s = 30.0  # each write is an object
    batch_bytes = 8 * 1024 * 1024

    def __init__(self, url: str) -> None:
        self._url = url
        self._store: Folder | None = None
        self._writer = uuid.uuid4().hex[:8]
        self._number = 0

    def write(self, service: str, events: Sequence[bytes]) -> None:
        """Write one object. See Sink."""
        date, hour = datetime.now(UTC).strftime("%Y-%m-%d %H").split()
        self._store = self._store or open_folder(self._url)
        self._store.write(f"{service}/{date}/{hour}-{self._writer}-{self._number + 1:06}{SUFFIX}", b"".join(events))
        self._number += 1


class HttpSink:
    """A server that takes CloudEvents in batches.

    Args:
        url: that they are posted to.
    """

    interval_s = 1.0
    batch_bytes = 1024 * 1024

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(timeout=_HTTP_TIMEOUT_S)

    def write(self, service: str, events: Sequence[bytes]) -> None:
        """Post one batch. See Sink."""
        body = b"[" + b",".join(line for one in events for line in one.splitlines()) + b"]"
        answer = self._client.post(self._url, content=body, headers={"content-type": BATCH})
        answer.raise_for_status()


def open_sink(settings: RecordSettings) -> Sink:
    """The sink that `settings.to` names."""
    if isinstance(settings.to, Path):
        return FolderSink(settings.to, settings.days, settings.max_bytes)
    assert settings.to is not None  # noqa: S101  (nothing else records)
    return HttpSink(settings.to) if settings.to.startswith(("http://", "https://")) else BucketSink(settings.to)
