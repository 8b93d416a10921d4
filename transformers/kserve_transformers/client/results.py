"""The result of one input, and the summary of a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What came of one input.

    `seconds` are from the request to its answer, retries included; `error` says why there is no answer.
    """

    file: str
    thread: int
    seconds: float
    answer: Any = None
    error: str | None = None


@dataclass(frozen=True)
class Request:
    """What all results of a run have in common: answers of different ones are never mixed in one output.

    `parameters` are the request's, and the column of a series, as given on the command line.
    """

    service: str
    parameters: Mapping[str, Any]

    def __str__(self) -> str:
        """As an error names it."""
        given = ", ".join(f"{name} {value}" for name, value in self.parameters.items())
        return f"{self.service} ({given})" if given else self.service

    def record(self, result: Result) -> Row:
        """A result as JSON has it."""
        outcome = {"answer": result.answer} if result.error is None else {"error": result.error}
        parameters = {"parameters": dict(self.parameters)} if self.parameters else {}
        times = {"ms": round(result.seconds * 1000, 1), "thread": result.thread}
        return {"file": result.file, "service": self.service, **parameters, **times, **outcome}


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
