"""One measurement: a load from a process of its own, and the processor time that it cost the server."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelport.environment import CommandError
from modelport.measure.bench.figures import Point, percentile
from modelport.measure.generator.load import GeneratorError, Report, RunningLoad, Window
from modelport.measure.generator.load import Load as GeneratorLoad
from modelport.measure.generator.requests import Record, Request, counts
from modelport.stack.server import LOOPBACK

WARM_UP_S = 0.5
_STAGE = re.compile(r"(\w+);dur=([\d.]+)")


class BenchError(CommandError):
    """The run cannot continue; the message says why."""


@dataclass(frozen=True)
class Load:
    """What is sent by how many callers, and for how many seconds.

    `concurrency` is how many connections always have a request under way.
    """

    protocol: str
    request: Request
    concurrency: int
    seconds: float


def call(port: int, load: Load, pids: Sequence[int] = ()) -> Report:
    """Send a load to a local server.

    Args:
        port: of REST; the gRPC port is the next one.
        load: what is sent.
        pids: the server's processes, whose processor time is measured.

    Raises:
        BenchError: the load could not be sent.
    """
    sent = GeneratorLoad(
        (load.request,),
        callers=load.concurrency,
        keep_alive=True,
        pause_s=0.0,
        window=Window(WARM_UP_S, load.seconds, tuple(pids)),
    )
    try:
        return RunningLoad(f"http://{LOOPBACK}:{port}", sent).report()
    except GeneratorError as error:
        raise BenchError(f"{load.request.path}: {error}") from None


def _stages_ms(records: Iterable[Record]) -> dict[str, float]:
    stages: defaultdict[str, list[float]] = defaultdict(list)
    for record in records:
        for name, milliseconds in _STAGE.findall(record.server_timing):
            stages[name].append(float(milliseconds))
    return {name: sum(values) / len(values) for name, values in stages.items()}


def measure(case: str, system: str, turn: int, port: int, load: Load, pids: Sequence[int]) -> Point:
    """Send a load to a local server; arguments as for `call` and `point`."""
    return point(case, system, load.protocol, load.concurrency, turn, call(port, load, pids))


def point(case: str, system: str, protocol: str, concurrency: int, turn: int, report: Report) -> Point:
    """A report as a point: what callers saw, and the cost of a request."""
    good = [record for record in report.records if record.outcome == "200"]
    latencies = [1000 * record.seconds for record in good]
    return Point(
        case,
        system,
        protocol,
        concurrency,
        turn,
        requests=len(good),
        failures=counts([record for record in report.records if record.outcome != "200"]),
        seconds=report.seconds,
        p50_ms=percentile(latencies, 0.5),
        p95_ms=percentile(latencies, 0.95),
        p99_ms=percentile(latencies, 0.99),
        server_cpu_ms=1000 * report.used.watched_s / max(1, len(good)),
        caller_cpu=report.used.own_s / report.seconds,
        other_cpu=report.used.others,
        stages_ms=_stages_ms(good),
        pace_ms=report.pace_ms,
    )
