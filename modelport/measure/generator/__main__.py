"""The process that sends a load.

Usage: python -m modelport.measure.generator URL

Reads a load from the first line of standard input, prints a line when it begins and, when all outcomes are known, a
report in JSON. A load without a window ends when standard input does.
"""

import asyncio
import dataclasses
import itertools
import json
import random
import sys
import time
from typing import Any

import uvloop

from modelport.measure.generator.caller import Caller
from modelport.measure.generator.load import Load, Window
from modelport.measure.generator.requests import Record
from modelport.measure.metering import Meter, Used, pace_ms

MAX_S = 600.0  # of a load whose parent never ends it
MAX_UNDER_WAY = 1000
# A window lasts until every caller had TURNS answers on average, but not longer than STRETCH times its length.
TURNS, STRETCH = 4, 4


class Measurement:
    """The records of a window, and the processor time in it.

    Args:
        window: what is measured.
        callers: how many callers the load has.
    """

    def __init__(self, window: Window, callers: int) -> None:
        self._window, self._callers = window, callers
        self._pace_ms = pace_ms()
        self._warm_from = time.monotonic() + window.warm_up_s
        self._answered: set[int] = set()
        self._began: float | None = None
        self.records: list[Record] = []
        self.seconds, self.used = 0.0, Used(0.0, 0.0, 0.0)

    def take(self, caller: int, record: Record) -> bool:
        """Take one outcome; returns whether the window has ended."""
        now = time.monotonic()
        if self.seconds:
            return True
        if self._began is None:
            self._answered.add(caller)
            if len(self._answered) == self._callers and now >= self._warm_from:
                self._began, self._meter = now, Meter(self._window.pids)
            return False
        self.records.append(record)
        took, wanted = now - self._began, self._window.seconds
        if took < wanted or (len(self.records) < TURNS * self._callers and took < STRETCH * wanted):
            return False
        self.seconds, self.used = took, self._meter.read()
        return True

    def pace_ms(self) -> float:
        """The machine's speed, before and after."""
        return (self._pace_ms + pace_ms()) / 2


async def send(url: str, load: Load) -> dict[str, Any]:
    """Send a load to its end; returns the document of a `Report`."""
    records: list[Record] = []
    requests = itertools.cycle(load.requests)
    measurement = Measurement(load.window, load.callers) if load.window else None
    over = asyncio.Event()

    async def until_input_ends() -> None:
        await asyncio.to_thread(sys.stdin.read)
        over.set()

    async def one(number: int, caller: Caller) -> Record:
        record = await caller.send(next(requests))
        records.append(record)
        if measurement and measurement.take(number, record):
            over.set()
        return record

    async def in_turn(number: int) -> None:
        caller = Caller(url, load.keep_alive)
        while not over.is_set():
            if (await one(number, caller)).outcome != "200":
                await asyncio.sleep(load.pause_s)
            elif load.think_s:
                await asyncio.sleep(load.think_s * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
        await caller.close()

    async def at_a_rate() -> None:
        under_way: set[asyncio.Task[Record]] = set()
        due = time.monotonic()
        while not over.is_set():
            if len(under_way) < MAX_UNDER_WAY:
                task = asyncio.create_task(one(0, Caller(url, keep_alive=False)))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            due += 1 / load.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*under_way)

    print("begins", flush=True)
    asyncio.get_running_loop().call_later(MAX_S, over.set)
    waiting = None if measurement else asyncio.create_task(until_input_ends())
    await (at_a_rate() if load.rate else asyncio.gather(*map(in_turn, range(load.callers))))
    if waiting:
        await waiting
    if measurement:
        found, pace = measurement, measurement.pace_ms()
        return _document(found.records, found.seconds, found.used, pace)
    return _document(records, 0.0, Used(0.0, 0.0, 0.0), 0.0)


def _document(records: list[Record], seconds: float, used: Used, pace: float) -> dict[str, Any]:
    rows = [dataclasses.astuple(record) for record in records]
    return {"records": rows, "seconds": seconds, "used": dataclasses.asdict(used), "pace_ms": pace}


if __name__ == "__main__":
    given = Load.from_json(sys.stdin.readline())
    runner = asyncio.run if any(request.over_grpc for request in given.requests) else uvloop.run
    report = json.dumps(runner(send(sys.argv[1], given)))
    # where PYTHONUNBUFFERED is set, as in images, sys.stdout drops what an interrupted write leaves
    with open(sys.stdout.fileno(), "w", closefd=False) as output:
        print(report, file=output)
