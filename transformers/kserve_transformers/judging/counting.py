"""Counts what the pods of a canary and of the stable release answered since a step began, from their metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace

from prometheus_client.parser import text_string_to_metric_families

from kserve_transformers.judging.judge import Counts, Tally
from kserve_transformers.observe import SUCCESS

MIN_STABLE = 100  # answers of the stable side, from which its 95th percentile is taken
_SLOW_SHARE = 0.05


class UnseenError(Exception):
    """Nothing can be counted now; the message says why."""


@dataclass(frozen=True)
class Counted:
    """Requests to a service: of a pod since it started, or of all pods of a side since a step began."""

    total: int = 0  # requests that ended, and good: those with success
    good: int = 0
    # how many took at most so many seconds; cumulative, the last bound is infinity
    within: Mapping[float, int] = field(default_factory=dict)
    crashes: int = 0  # how often a container of the pod ended

    def __add__(self, other: Counted) -> Counted:
        return self._with(other, 1)

    def __sub__(self, other: Counted) -> Counted:
        return self._with(other, -1)

    def _with(self, other: Counted, sign: int) -> Counted:
        bounds = sorted({*self.within, *other.within})
        return Counted(
            self.total + sign * other.total,
            self.good + sign * other.good,
            {bound: self.within.get(bound, 0) + sign * other.within.get(bound, 0) for bound in bounds},
            self.crashes + sign * other.crashes,
        )


@dataclass(frozen=True)
class Pod:
    """A pod at one look."""

    uid: str  # of the pod
    crashes: int = 0  # how often its containers ended
    requests: Counted | None = None  # its counters; None where they cannot be read
    # the largest error of its golden answers as a share of what is allowed; None if unknown
    golden_drift: float | None = None


@dataclass(frozen=True)
class Step:
    """A step of a rollout; a judge that starts again goes on from it."""

    releases: tuple[str, str]  # storage addresses of the stable release and of the canary
    percent: int  # the canary's share
    slow_s: float  # slower than this is slow: the histogram's first bound at or above the stable side's 95th percentile
    # canary, stable: what was counted since the step began
    canary: Counted
    stable: Counted
    # the counters of each pod at the last look, by its uid; pods come and go with the share
    pods: Mapping[str, Counted]

    def to_json(self) -> str:
        """As text, for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Step | None:
        """What was written; None where nothing was, or not by this version."""
        try:
            told = json.loads(text)
            sides = {name: _counted(told[name]) for name in ("canary", "stable")}
            pods = {uid: _counted(one) for uid, one in told["pods"].items()}
            first, second = map(str, told["releases"])
            return cls((first, second), int(told["percent"]), float(told["slow_s"]), pods=pods, **sides)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def read_metrics(text: str, service: str) -> tuple[Counted, float | None]:
    """A pod's counters of a service, and the largest drift of its golden answers, from its metrics."""
    total, good, within, drift = 0, 0, dict[float, int](), list[float]()
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            if one.name == "modelport_golden_drift" and not math.isnan(one.value):
                drift.append(one.value)
            if one.labels.get("service") != service:
                continue
            if one.name == "modelport_requests_total":
                total += int(one.value)
                good += int(one.value) if one.labels["outcome"] in SUCCESS else 0
            elif one.name == "modelport_request_seconds_bucket":
                bound = float(one.labels["le"])
                within[bound] = within.get(bound, 0) + int(one.value)
    return Counted(total, good, within), max(drift, default=None)


def begin(
    releases: tuple[str, str], percent: int, canary: Iterable[Pod], stable: Iterable[Pod], before: Step | None
) -> Step:
    """The step that begins now.

    Args:
        releases: see Step.
        percent: likewise.
        canary: the pods of both sides.
        stable: likewise.
        before: the step before, whose limit of slowness is kept where the stable release is the same and young.

    Raises:
        UnseenError: nobody knows yet how fast the stable release is.
    """
    history = sum((pod.requests for pod in stable if pod.requests), Counted())
    try:
        slow = slow_s(history)
    except UnseenError:
        if before is None or before.releases != releases:
            raise
        slow = before.slow_s
    return Step(releases, percent, slow, Counted(), Counted(), {pod.uid: _now(pod, None) for pod in (*canary, *stable)})


def slow_s(stable: Counted) -> float:
    """The first bound of the histogram at or above the 95th percentile.

    Raises:
        UnseenError: there are fewer than MIN_STABLE answers.
    """
    total = stable.within.get(math.inf, 0)
    if total < MIN_STABLE:
        raise UnseenError(f"the stable release has given {total} answers, of {MIN_STABLE} that tell how fast it is")
    return min(bound for bound, count in stable.within.items() if count >= (1 - _SLOW_SHARE) * total)


def advance(step: Step, canary: Iterable[Pod], stable: Iterable[Pod]) -> Step:
    """The step with what the pods counted since the last look; a pod that started since counts from zero."""
    sides, pods = [], dict(step.pods)
    for side, present in ((step.canary, canary), (step.stable, stable)):
        for pod in present:
            before = pods.get(pod.uid, Counted())
            now = pods[pod.uid] = _now(pod, before)
            if now.total < before.total or now.crashes < before.crashes:  # its server started again
                before = replace(Counted(), crashes=min(before.crashes, now.crashes))
            side += now - before
        sides.append(side)
    return replace(step, canary=sides[0], stable=sides[1], pods=pods)


def counts(step: Step, canary: Iterable[Pod]) -> Counts:
    """What the judge is to judge."""
    drifts = [pod.golden_drift for pod in canary if pod.golden_drift is not None]
    return Counts(
        Tally(step.canary.total - step.canary.good, step.canary.total),
        Tally(step.stable.total - step.stable.good, step.stable.total),
        _slow(step.canary, step.slow_s),
        _slow(step.stable, step.slow_s),
        golden_drift=max(drifts, default=None),
        crashes=max(0, step.canary.crashes - step.stable.crashes),
    )


def _slow(side: Counted, bound: float) -> Tally:
    total = side.within.get(math.inf, 0)
    return Tally(total - side.within.get(bound, 0), total)


def _now(pod: Pod, before: Counted | None) -> Counted:
    """A pod's counters, or where they cannot be read those of the last look."""
    return replace(pod.requests or before or Counted(), crashes=pod.crashes)


def _counted(told: Mapping[str, object]) -> Counted:
    found = Counted(**told)  # type: ignore[arg-type]
    return replace(found, within={float(bound): int(count) for bound, count in found.within.items()})
