"""Takes ended requests into a bounded queue; a thread of its own renders them and hands them to a sink.

A request never waits for it, and never fails because of it: what cannot be recorded is counted.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from kserve_transformers.metrics import RECORD_LOSSES, RECORD_LOST, RECORD_QUEUE_BYTES, RECORDED
from kserve_transformers.observe import Ended, Exchange
from kserve_transformers.record.events import Origin, render
from kserve_transformers.settings import RecordSettings

logger = logging.getLogger(__name__)

MAX_WAITING = 10_000
_EVENT_BYTES = 4096  # about what a request takes in the queue beside its instances, and an answer to one of them
_RETRY_AFTER_S = (0.5, 2.0)
_WATCH_S = 60.0  # between turns of the loop where nothing is written

_FULL, _FAILED, _STOPPED, _FAULT = RECORD_LOSSES


Watch = Callable[[Exchange, Ended], None]


class Sink(Protocol):
    """Where events go.

    Events wait for others up to `interval_s`, to be written together, about `batch_bytes` at once.
    """

    interval_s: float
    batch_bytes: int

    def write(self, service: str, events: Sequence[bytes]) -> None:
        """Write events completely or not at all.

        Args:
            service: that all of them are of.
            events: lines of JSON, each with its newline; an element may be several lines.

        Raises:
            Exception: whatever went wrong; it is tried again.
        """


def chosen(request_id: str, percent: float) -> bool:
    """Whether a request belongs to the sample: the same on every server that gets a request of this id."""
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8]) < percent / 100 * 2**64


class Recorder:
    """Records requests.

    Args:
        settings: which of them, and how much of each.
        sink: where to; None: nowhere.
        origin: of the events.
        watch: is shown each of them.
    """

    def __init__(self, settings: RecordSettings, sink: Sink | None, origin: Origin, watch: Watch | None = None) -> None:
        self._settings = settings
        self._sink = sink
        self._origin = origin
        self._watch = watch
        self._interval_s, self._batch_bytes = (sink.interval_s, sink.batch_bytes) if sink else (_WATCH_S, 1)
        self._waiting: deque[tuple[Exchange, Ended, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        RECORD_QUEUE_BYTES.set_function(lambda: float(self._bytes))

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write what waits, as far as that succeeds within the time; the rest is counted as lost."""
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(timeout_s)
        with self._changed:
            while self._waiting:
                self._lose(self._take()[1].service, _STOPPED)

    def wants(self, request_id: str) -> bool:
        """Whether this request is to be recorded."""
        return chosen(request_id, self._settings.percent)

    def keep(self, exchange: Exchange, ended: Ended) -> None:
        """Take a request that ended, if there is room; returns at once."""
        content = sum(len(one) if isinstance(one, bytes) else one.nbytes for one in exchange.instances)
        size = content + _EVENT_BYTES * (1 + len(exchange.instances))
        with self._changed:
            if (
                len(self._waiting) >= MAX_WAITING
                or self._bytes + size > self._settings.queue_bytes
                or self._stopping.is_set()
            ):
                self._lose(ended.service, _STOPPED if self._stopping.is_set() else _FULL)
                return
            self._waiting.append((exchange, ended, size))
            self._bytes += size
            self._changed.notify()

    def _take(self) -> tuple[Exchange, Ended]:
        exchange, ended, size = self._waiting.popleft()
        self._bytes -= size
        return exchange, ended

    def _run(self) -> None:
        while not (self._stopping.is_set() and not self._waiting):
            batch: dict[tuple[Sink, str], list[bytes]] = {}
            size, due = 0, time.monotonic() + self._interval_s
            while size < self._batch_bytes and (taken := self._next(due)) is not None:
                service = taken[1].service
                try:
                    if self._watch is not None:
                        self._watch(*taken)
                    if self._sink is not None:
                        limit = self._settings.image_bytes if service in self._settings.images else -1
                        rendered = render(*taken, self._origin, limit)
                        batch.setdefault((self._sink, service), []).append(rendered)
                        size += len(rendered)
                except Exception:  # a request without a record, not a recorder that ended
                    logger.exception("fault while recording a request of %s", service)
                    self._lose(service, _FAULT)
            for (sink, service), events in batch.items():
                self._write(sink, service, events)

    def _next(self, due: float) -> tuple[Exchange, Ended] | None:
        """The next request; None where none comes in time, or the recorder stops and none is left."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting or self._stopping.is_set(), timeout=max(0.0, due - time.monotonic())
            )
            return self._take() if self._waiting else None

    def _write(self, sink: Sink, service: str, events: Sequence[bytes]) -> None:
        for pause_s in (*_RETRY_AFTER_S, None):
            try:
                sink.write(service, events)
            except Exception as exc:  # libraries raise whatever they like
                if not self._failing:
                    logger.warning("the record cannot be written, requests go on: %s: %s", type(exc).__name__, exc)
                self._failing = True
                if pause_s is None or self._stopping.wait(pause_s):
                    break
            else:
                if self._failing:
                    logger.warning("the record is written again")
                self._failing = False
                RECORDED.labels(service).inc(len(events))
                return
        self._lose(service, _FAILED, len(events))

    def _lose(self, service: str, reason: str, count: int = 1) -> None:
        if self._sink is not None:
            RECORD_LOST.labels(service, reason).inc(count)
