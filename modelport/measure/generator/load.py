"""A load, and the process that sends it."""

import base64
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from modelport.measure.generator.requests import Record, Request
from modelport.measure.metering import Used

TIMEOUT_S = 45.0  # of one request: longer than any deadline of the server
FINISH_S = 600.0  # for a load to end; only a fault takes longer


class GeneratorError(Exception):
    """The load generator failed; the message is its last line."""


@dataclass(frozen=True)
class Window:
    """A part of a load that is measured; the load ends with it."""

    warm_up_s: float  # seconds before it, at least; it begins once every caller had an answer
    seconds: float  # its length, at least
    pids: tuple[int, ...] = ()  # processes whose processor time is measured


@dataclass(frozen=True)
class Load:
    """What is sent, in turn, and how much of it."""

    requests: tuple[Request, ...]  # at least one
    rate: float = 0.0  # requests per second, whatever becomes of those before; each has a connection of its own
    callers: int = 0  # with a rate of 0, this many send their next request when the last one was answered
    # whether callers keep their connections. Without it no connection that the server closes while it is idle can be
    # mistaken for a lost request.
    keep_alive: bool = False
    pause_s: float = 0.1  # of a caller after any outcome but 200
    think_s: float = 0.0  # of a caller after a 200, on average: half to one and a half times this long
    window: Window | None = None  # what is measured; without it the load runs until it is ended

    def to_json(self) -> str:
        """For the process that sends it."""
        document = dataclasses.asdict(self)
        for request in document["requests"]:
            request["body"] = base64.b64encode(request["body"]).decode()
        return json.dumps(document)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        document = json.loads(text)
        requests = tuple(Request(**one | {"body": base64.b64decode(one["body"])}) for one in document["requests"])
        window = document["window"] and Window(**document["window"] | {"pids": tuple(document["window"]["pids"])})
        return cls(**document | {"requests": requests, "window": window})


@dataclass(frozen=True)
class Report:
    """What became of a load."""

    records: list[Record]  # of all requests or, with a window, of those whose outcome fell into it
    seconds: float  # the window's length
    used: Used  # processor time in the window
    pace_ms: float  # the machine's own speed around the window, see `metering.pace_ms`

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what the process printed."""
        records = [Record(*record) for record in document["records"]]
        return cls(records, document["seconds"], Used(**document["used"]), document["pace_ms"])


class RunningLoad:
    """A load that is being sent; it has begun when this is constructed.

    Args:
        url: http://HOST:PORT of the server; its gRPC port is the next one.
        load: what is sent.
    """

    def __init__(self, url: str, load: Load) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "modelport.measure.generator", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"GRPC_VERBOSITY": "NONE"},
        )
        if self._process.stdin and self._process.stdout:
            self._process.stdin.write(load.to_json() + "\n")
            self._process.stdin.flush()
            self._process.stdout.readline()

    def end(self) -> None:
        """Send no more requests. A load with a window ends by itself."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.stdin = None

    def report(self) -> Report:
        """End the load, or wait for its window's end, and for the outcomes of all requests.

        Raises:
            GeneratorError: the process failed, or did not end.
        """
        self.end()
        try:
            output, errors = self._process.communicate(timeout=FINISH_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise GeneratorError(f"the load did not end within {FINISH_S:g} s") from None
        except KeyboardInterrupt:
            self._process.kill()
            raise
        if self._process.returncode:
            raise GeneratorError(f"the load generator failed: {errors.strip().splitlines()[-1:]}")
        return Report.from_document(json.loads(output))

    def stop(self) -> list[Record]:
        """End the load; returns the outcomes of all requests."""
        return self.report().records
