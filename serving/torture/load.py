"""Load from a process of its own: at a constant rate, or from so many callers who wait for their answers.

Usage: python -m torture.load URL SPEC, where SPEC is JSON as `Load` makes it. Ends when standard input closes, waits
for what is still under way, and prints what became of every request.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass

import aiohttp

from torture.traffic import CUT, LIGHT, REFUSED, UNANSWERED, Record, Request, requests

MAX_S = 180.0  # whatever happens
MAX_UNDER_WAY = 1000
PATIENCE_S = 45.0  # longer than any deadline of the server


@dataclass(frozen=True)
class Load:
    """How much is sent, and of what kinds.

    Attributes:
        rate: requests a second; with `callers`, this many wait for their answers instead, each as fast as it gets them.
        timeout_ms: the deadline that each request asks for.
    """

    rate: float = 6.0
    callers: int = 0
    kinds: tuple[str, ...] = LIGHT
    timeout_ms: int = 10_000


class RunningLoad:
    """A load under way.

    Args:
        url: of the transformer server.
        load: what is sent.
    """

    def __init__(self, url: str, load: Load) -> None:
        command = [sys.executable, "-m", "torture.load", url, json.dumps(dataclasses.asdict(load))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end(self) -> None:
        """Send no more."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.stdin = None

    def stop(self) -> list[Record]:
        """Send no more; returns what became of all, once that is known."""
        self.end()
        output, _ = self._process.communicate(timeout=PATIENCE_S + 15)
        return [Record(*record) for record in json.loads(output)]


async def send(session: aiohttp.ClientSession, url: str, kind: str, request: Request, timeout_ms: int) -> Record:
    """One request, on a connection of its own, so that nobody can mistake a closed idle one for a lost request."""
    began, polite = time.monotonic(), True
    headers = {**request.headers, "x-request-timeout-ms": str(timeout_ms), "connection": "close"}
    try:
        async with session.post(f"{url}{request.path}", data=request.body, headers=headers) as response:
            await response.read()
            outcome = str(response.status)
            polite = response.status not in (429, 503) or "retry-after" in response.headers
    except aiohttp.ClientConnectorError:
        outcome = REFUSED
    except TimeoutError:
        outcome = UNANSWERED
    except aiohttp.ClientError:
        outcome = CUT
    return Record(began, kind, outcome, time.monotonic() - began, polite)


async def run(url: str, load: Load) -> Collection[Record]:
    """Send until standard input closes."""
    available, records = requests(), []
    kinds = itertools.cycle(load.kinds)
    closed = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    until = time.monotonic() + MAX_S

    def over() -> bool:
        return closed.done() or time.monotonic() > until

    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def one() -> None:
            kind = next(kinds)
            records.append(await send(session, url, kind, available[kind], load.timeout_ms))

        async def caller() -> None:
            while not over():
                await one()
                if records[-1].outcome != "200":
                    await asyncio.sleep(0.1)

        if load.callers:
            await asyncio.gather(*[caller() for _ in range(load.callers)])
        else:
            under_way: set[asyncio.Task[None]] = set()
            due = time.monotonic()
            while not over():
                if len(under_way) < MAX_UNDER_WAY:
                    task = asyncio.create_task(one())
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                due += 1 / load.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await asyncio.gather(*under_way)
    closed.cancel()
    return records


if __name__ == "__main__":
    found = asyncio.run(run(sys.argv[1], Load(**json.loads(sys.argv[2]))))
    sys.stdout.write(json.dumps([dataclasses.astuple(record) for record in found]))
