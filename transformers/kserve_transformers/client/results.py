"""Results as JSON lines, those of an earlier run, and the summary of this one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any


@dataclass(frozen=True)
class Result:
    """What came of one input.

    Attributes:
        file: the input's name.
        thread: which thread sent the request.
        seconds: from the request to its answer, retries included.
        answer: the service's; None where there is none.
        error: why there is none.
    """

    file: str
    thread: int
    seconds: float
    answer: Any = None
    error: str | None = None

    def line(self) -> str:
        """One line of JSON."""
        outcome = {"answer": self.answer} if self.error is None else {"error": self.error}
        return json.dumps({"file": self.file, "ms": round(self.seconds * 1000, 1), "thread": self.thread, **outcome})


def answered_before(out: Path) -> set[str]:
    """The files that have an answer in an earlier run's results; a line that was cut off is taken away."""
    if not out.exists():
        return set()
    data = out.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        out.write_bytes(whole)
    lines = (json.loads(line) for line in whole.splitlines() if line)
    return {line["file"] for line in lines if "answer" in line}


def summary(results: Sequence[Result], seconds: float) -> Iterator[str]:
    """The run in a few lines: all together, then by thread."""
    errors = sum(result.error is not None for result in results)
    times_ms = sorted(result.seconds * 1000 for result in results)
    p50, p95 = _percentiles(times_ms)
    yield (
        f"{len(results)} requests, {errors} errors, {seconds:.1f} s, {len(results) / seconds:.1f} requests/s, "
        f"p50 {p50:.0f} ms, p95 {p95:.0f} ms"
    )
    for thread in sorted({result.thread for result in results}):
        of_thread = [result.seconds * 1000 for result in results if result.thread == thread]
        mean_ms = sum(of_thread) / len(of_thread)
        yield f"thread {thread}: {len(of_thread)} requests, mean {mean_ms:.0f} ms, longest {max(of_thread):.0f} ms"


def _percentiles(times: Sequence[float]) -> tuple[float, float]:
    if len(times) < 2:
        return (times[0], times[0]) if times else (0.0, 0.0)
    cuts = quantiles(times, n=20, method="inclusive")
    return cuts[9], cuts[18]
