"""Goals, and what was measured: ratios of medians."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modelport.measure.bench.cases import CASES
from modelport.measure.bench.figures import Row, best, saturation

Rows = Sequence[Row]


@dataclass(frozen=True)
class Reach:
    """A figure with its goal.

    The goal is the minimum, or the maximum for figures in AT_MOST; case and figure are keys of CASES and FIGURES.
    """

    case: str
    figure: str
    goal: float


@dataclass(frozen=True)
class Verdict:
    """A figure as measured; nan where something was not measured."""

    reach: Reach
    value: float  # by throughput or time
    # the ratio by processor time per request, which depends little on what else runs on the machine. It has no meaning
    # for a model that cannot use all cores.
    by_cpu: float = math.nan

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None if it was not measured."""
        if math.isnan(self.value):
            return None
        return self.value <= self.reach.goal if self.reach.figure in AT_MOST else self.value >= self.reach.goal


def _of(rows: Rows, case: str, system: str, protocol: str | None = None) -> list[Row]:
    return [r for r in rows if (r.case, r.system) == (case, system) and protocol in (None, r.protocol)]


def first_protocol(case: str) -> str:
    """The protocol that is measured at every concurrency."""
    return "V1" if CASES[case].service == "anomaly" else "raw body"


def _rate(row: Row | None) -> float:
    return row.rate.median if row else math.nan


def _ratio(one: float, other: float) -> float:
    return one / other if other else math.nan


def served_to_raw(rows: Rows, case: str) -> float:
    """Highest throughput of ours, divided by that of the raw model with its best batch size."""
    return _ratio(_rate(best(_of(rows, case, "ours", first_protocol(case)))), _rate(best(_of(rows, case, "raw"))))


def served_to_legacy(rows: Rows, case: str) -> float:
    """Highest throughput of ours, divided by the legacy server's; both by the legacy route."""
    return _ratio(_rate(best(_of(rows, case, "ours", "own"))), _rate(best(_of(rows, case, "legacy"))))


def tail(rows: Rows, case: str) -> float:
    """p99 divided by p50 at saturation."""
    row = saturation(_of(rows, case, "ours", first_protocol(case)))
    return _ratio(row.p99_ms.median, row.p50_ms.median) if row else math.nan


def above_raw_ms(rows: Rows, case: str) -> float:
    """p50 at concurrency 1 minus the raw model's p50, ms."""
    served = [r for r in _of(rows, case, "ours", first_protocol(case)) if r.concurrency == 1]
    raw = _of(rows, case, "raw", "batch 1")
    return served[0].p50_ms.median - raw[0].p50_ms.median if served and raw else math.nan


def _cpu_ratio(other: Row | None, served: Row | None) -> float:
    return _ratio(other.server_cpu_ms.median, served.server_cpu_ms.median) if other and served else math.nan


def raw_to_served_cpu(rows: Rows, case: str) -> float:
    """Processor time per row of the raw model, divided by that per request to ours, each at the highest throughput."""
    return _cpu_ratio(best(_of(rows, case, "raw")), best(_of(rows, case, "ours", first_protocol(case))))


def legacy_to_served_cpu(rows: Rows, case: str) -> float:
    """Processor time per request to the legacy server, divided by that to ours, each at the highest throughput."""
    return _cpu_ratio(best(_of(rows, case, "legacy")), best(_of(rows, case, "ours", "own")))


FIGURES: Mapping[str, Callable[[Rows, str], float]] = {
    "served / raw": served_to_raw,
    "served / legacy": served_to_legacy,
    "p99 / p50": tail,
    "ms above raw": above_raw_ms,
}
BY_CPU: Mapping[str, Callable[[Rows, str], float]] = {
    "served / raw": raw_to_served_cpu,
    "served / legacy": legacy_to_served_cpu,
}
AT_MOST = ("p99 / p50", "ms above raw")
GOALS = (
    Reach("detector", "served / raw", 0.92),
    Reach("detector", "served / legacy", 1.7),
    Reach("detector", "p99 / p50", 2.5),
    Reach("wide_resnet", "served / raw", 1.35),
    Reach("wide_resnet", "served / legacy", 2),
    Reach("lite0", "served / raw", 0.9),
    Reach("lite0", "served / legacy", 3.5),
    Reach("mobilenet", "served / raw", 1),
    Reach("mobilenet", "served / legacy", 2),
    Reach("cars", "served / raw", 1.15),
    Reach("cars", "served / legacy", 2.3),
    Reach("digits", "served / legacy", 40),
    Reach("digits", "ms above raw", 3),
    Reach("anomaly", "served / legacy", 40),
    Reach("anomaly", "ms above raw", 3),
)


def verdicts(rows: Rows) -> list[Verdict]:
    """A verdict for each goal of a case that was measured."""
    measured = {row.case for row in rows}
    return [
        Verdict(
            goal,
            FIGURES[goal.figure](rows, goal.case),
            BY_CPU[goal.figure](rows, goal.case) if goal.figure in BY_CPU else math.nan,
        )
        for goal in GOALS
        if goal.case in measured
    ]
