"""Load, at a constant rate or from so many callers who wait for their answers, sent by a process of its own."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass

from modelport.measure.torture.traffic import LIGHT, Record

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
    """A load under way; it has begun when this is made.

    Args:
        url: of the transformer server.
        load: what is sent.
    """

    def __init__(self, url: str, load: Load) -> None:
        command = [sys.executable, "-m", "modelport.measure.torture.sending", url, json.dumps(dataclasses.asdict(load))]
        self._process = subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._process.stdout is not None:
            self._process.stdout.readline()

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
