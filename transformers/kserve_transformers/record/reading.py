"""Reads a record back: each request with its answer."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from kserve_transformers.client.storage import Folder, is_url, open_folder
from kserve_transformers.record.events import REQUEST, RESPONSE, WINDOW_TYPE
from kserve_transformers.record.folder import SUFFIX


@dataclass(frozen=True)
class Recorded:
    """A request and its answer.

    Attributes:
        request_id: the caller's, or made up.
        service, protocol: of the request.
        status: an HTTP status, a gRPC code, or gone.
        began: when the request arrived, seconds since 1970.
        seconds: that it took.
        source: of the events: the server and the service.
        model, release: that answered; None where none did.
        instances: what was recorded of each; empty where the request was refused.
        parameters: options that the request named.
        predictions: of the answer, one for each instance; empty where there is none.
    """

    request_id: str
    service: str
    protocol: str
    status: str
    began: float
    seconds: float
    source: str
    model: str | None
    release: str | None
    instances: Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Any]
    predictions: Sequence[Mapping[str, Any]]

    def contents(self) -> list[bytes] | None:
        """The encoded images, or the float32 samples of windows; None where they are not all in the record."""
        found = [one.get("content") for one in self.instances]
        return [base64.b64decode(one) for one in found if one] if found and all(found) else None

    def samples(self) -> list[bytes | npt.NDArray[np.float32]] | None:
        """As the service got them: encoded images, or windows, float32 [L]; None where they are not all there."""
        contents = self.contents()
        if contents is None:
            return None
        windows = [one["type"] == WINDOW_TYPE for one in self.instances]
        return [np.frombuffer(c, "<f4") if w else c for c, w in zip(contents, windows, strict=True)]


@dataclass
class Reader:
    """Reads a record, oldest files first.

    Args:
        place: a folder, or a URL such as s3://bucket/prefix.
        service: of the requests that are read; None: of all.

    Attributes:
        torn: lines that are no whole event, so far: of processes that were killed while they wrote.
        alone: events without the other of their pair, once all was read.
    """

    place: str
    service: str | None = None
    torn: int = 0
    alone: int = 0
    _waiting: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Recorded]:
        """Each request whose both events are there; a file is read when its turn comes.

        Raises:
            OSError: the record cannot be read.
        """
        self.torn = self.alone = 0
        self._waiting.clear()
        for line in self._lines():
            try:
                event = orjson.loads(line)
                key, kind = (event["source"], event["id"]), event["type"]
                other = self._waiting.pop(key, None)
                if other is None or other["type"] == kind:
                    self._waiting[key] = event
                    self.alone += other is not None
                else:
                    yield _recorded(*((other, event) if kind == RESPONSE else (event, other)))
            except (ValueError, KeyError, TypeError):
                self.torn += 1
        self.alone += len(self._waiting)

    def services(self) -> list[str]:
        """The services that the record has files of.

        Raises:
            OSError: the record cannot be read.
        """
        return sorted({name.split("/")[0] for name in self._names(self._bucket())})

    def _bucket(self) -> Folder | None:
        """Where the record is, unless it is in a folder of this machine."""
        return open_folder(self.place) if is_url(self.place) else None

    def _names(self, bucket: Folder | None) -> list[str]:
        if bucket:
            names = bucket.names()
        else:
            folder = Path(self.place)
            if not folder.is_dir():
                raise FileNotFoundError(f"{folder} is not a folder: name the folder of a record")
            names = [path.relative_to(folder).as_posix() for path in folder.rglob(f"*{SUFFIX}")]
        return sorted((name for name in names if name.endswith(SUFFIX)), key=_by_time)

    def _lines(self) -> Iterator[bytes]:
        bucket = self._bucket()
        for name in self._names(bucket):
            if self.service is None or name.split("/")[0] == self.service:
                if bucket:
                    yield from bucket.read(name).splitlines()
                else:
                    with (Path(self.place) / name).open("rb") as file:
                        yield from file


def _by_time(name: str) -> tuple[str, ...]:
    """By date and hour, then by writer and number, whatever the service."""
    return (*name.split("/")[1:], name)


def _recorded(request: Mapping[str, Any], response: Mapping[str, Any]) -> Recorded:
    asked, answered = request.get("data") or {}, response.get("data") or {}
    if request["type"] != REQUEST or response["type"] != RESPONSE:
        raise ValueError("no events of a record")
    return Recorded(
        request["id"],
        request["inferenceservicename"],
        request["protocol"],
        response["status"],
        datetime.fromisoformat(request["time"]).timestamp(),
        response["durationus"] / 1e6,
        request["source"],
        response.get("model"),
        response.get("release"),
        asked.get("instances", ()),
        asked.get("parameters", {}),
        answered.get("predictions", ()),
    )
