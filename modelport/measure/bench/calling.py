"""The process that calls: connections that always have one request under way.

Usage: python -m modelport.measure.bench.calling < SPEC

where SPEC is JSON as `measuring.call` makes it. Prints JSON: what was answered,
how long each answer took, what Server-Timing said, and the processor time that this process took itself.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import grpc
import uvloop

from modelport.measure.bench.metering import Meter, Used, pace_ms

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_STAGES = re.compile(rb"\r\nserver-timing: ([^\r]*)", re.IGNORECASE)
_STAGE = re.compile(rb"(\w+);dur=([\d.]+)")
# How long answers that nobody counts any more are waited for, so that the next load meets an idle server.
LEAVE_S = 30.0
# So often every connection is answered while it is measured, unless that takes PATIENCE times the time asked for.
TURNS, PATIENCE = 4, 4


class Tally:
    """What was answered, from when all connections had their first answer.

    Args:
        concurrency: how many connections there are.
        warm_s: how long answers are not counted, at least.
        seconds: how long they are counted, at least.
        pids: the server's processes.
    """

    def __init__(self, concurrency: int, warm_s: float, seconds: float, pids: Sequence[int] = ()) -> None:
        self._concurrency, self._seconds, self._pids = concurrency, seconds, pids
        self._pace_ms = pace_ms()
        self._warm_until = time.perf_counter() + warm_s
        self._first_answers: set[int] = set()
        self.began: float | None = None
        self.ended = 0.0
        self.used = Used(0.0, 0.0, 0.0)
        self.latencies_s: list[float] = []
        self.failed: Counter[str] = Counter()
        self.stages: defaultdict[str, list[float]] = defaultdict(list)
        self._left: set[int] = set()
        self.over, self._idle = asyncio.Event(), asyncio.Event()

    def take(self, connection: int, sent: float, failure: str | None, head: bytes = b"") -> None:
        """One answer, or none."""
        now = time.perf_counter()
        if self.over.is_set():
            self._leave(connection)
            return
        if self.began is None:
            self._first_answers.add(connection)
            if len(self._first_answers) == self._concurrency and now >= self._warm_until:
                self.began, self._meter = now, Meter(self._pids)
            return
        if failure is None:
            self.latencies_s.append(now - sent)
            stages = _STAGES.search(head)
            for name, milliseconds in _STAGE.findall(stages[1]) if stages else ():
                self.stages[name.decode()].append(float(milliseconds))
        else:
            self.failed[failure] += 1
        took = now - self.began
        answered = len(self.latencies_s) + self.failed.total()
        if took >= self._seconds and (answered >= TURNS * self._concurrency or took >= PATIENCE * self._seconds):
            self.ended, self.used = now, self._meter.read()
            self.over.set()
            self._leave(connection)

    async def end(self) -> None:
        """When enough was counted, and what is still under way is answered."""
        await self.over.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._idle.wait()

    def _leave(self, connection: int) -> None:
        self._left.add(connection)
        if len(self._left) == self._concurrency:
            self._idle.set()

    def report(self) -> dict[str, Any]:
        """For the process that asked for it."""
        return {
            "seconds": self.ended - (self.began or 0.0),
            **dataclasses.asdict(self.used),
            "latencies_s": self.latencies_s,
            "failed": self.failed,
            "pace_ms": (self._pace_ms + pace_ms()) / 2,
            "stages_ms": {name: sum(values) / len(values) for name, values in self.stages.items()},
        }


class Connection(asyncio.Protocol):
    """Sends its request again as soon as it is answered."""

    def __init__(self, number: int, request: bytes, tally: Tally) -> None:
        self._number, self._request, self._tally = number, request, tally
        self._buffer, self._needed, self._sent = bytearray(), 0, 0.0
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first request."""
        self._transport: Any = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        self._buffer += data
        if not self._needed:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = bytes(self._buffer[: end + 2])
            length = _LENGTH.search(self._head)
            self._needed = end + 4 + int(length[1] if length else 0)
        if len(self._buffer) >= self._needed:
            status = self._head[9:12].decode()
            self._tally.take(self._number, self._sent, None if status == "200" else status, self._head)
            if not self._tally.over.is_set() and b"connection: close" not in self._head.lower():
                self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """The seeds' development servers close after every answer: connect anew, which is a part of their price."""
        if self._tally.over.is_set():
            self._tally.take(self._number, self._sent, "cut")
        else:
            if self._needed == 0 or len(self._buffer) < self._needed:
                self._tally.take(self._number, self._sent, "cut")
            peer = self._transport.get_extra_info("peername")
            self._task = asyncio.ensure_future(connect(self._number, peer, self._request, self._tally))

    def _send(self) -> None:
        self._buffer.clear()
        self._needed, self._sent = 0, time.perf_counter()
        self._transport.write(self._request)


async def connect(number: int, address: tuple[str, int], request: bytes, tally: Tally) -> None:
    """One connection; its time counts from here."""
    await asyncio.get_running_loop().create_connection(lambda: Connection(number, request, tally), *address)


async def call_http(spec: dict[str, Any]) -> Tally:
    """Over HTTP/1.1."""
    tally = Tally(spec["concurrency"], spec["warm_s"], spec["seconds"], spec["pids"])
    request = base64.b64decode(spec["request"])
    address = (spec["host"], spec["port"])
    await asyncio.gather(*[connect(number, address, request, tally) for number in range(spec["concurrency"])])
    await tally.end()
    return tally


async def call_grpc(spec: dict[str, Any]) -> Tally:
    """Over gRPC: all calls share one connection, as its clients do."""
    tally = Tally(spec["concurrency"], spec["warm_s"], spec["seconds"], spec["pids"])
    message = base64.b64decode(spec["request"])
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(f"{spec['host']}:{spec['port']}", options) as channel:
        infer = channel.unary_unary(spec["path"])

        async def caller(number: int) -> None:
            while not tally.over.is_set():
                sent, failure = time.perf_counter(), None
                try:
                    await infer(message)
                except grpc.aio.AioRpcError as exc:
                    failure = exc.code().name
                tally.take(number, sent, failure)

        callers = [asyncio.create_task(caller(number)) for number in range(spec["concurrency"])]
        await tally.end()
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    return tally


if __name__ == "__main__":
    told = json.loads(sys.stdin.read())
    found = asyncio.run(call_grpc(told)) if told["path"] else uvloop.run(call_http(told))
    sys.stdout.write(json.dumps(found.report()))
