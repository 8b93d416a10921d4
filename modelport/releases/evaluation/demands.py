"""What an evaluation must show: least values, and no loss against another release on the same samples."""

from collections.abc import Sequence
from dataclasses import dataclass

from exporters.statistics import MIN_SAMPLES
from modelport.releases.errors import EvaluationError
from modelport.releases.evaluation import classification, detection
from modelport.releases.evaluation.report import Report

SIGNIFICANT_P = 0.05


@dataclass(frozen=True)
class Demands:
    """What the user demands. `least` is by metric; `no_worse_than` is the name of a release, or a part of it."""

    least: dict[str, float]
    no_worse_than: str | None = None


@dataclass(frozen=True)
class Judgement:
    """A demand, whether it is met, and why."""

    demand: str
    met: bool
    reason: str

    @property
    def line(self) -> str:
        """The judgement as a line."""
        return f"{self.demand}: {'met' if self.met else 'NOT MET'}: {self.reason}"


def judge(report: Report, demands: Demands, baseline: Report | None) -> list[Judgement]:
    """Judge every demand.

    Args:
        report: of the release that shall meet them.
        demands: what is demanded.
        baseline: the report of the release named in `no_worse_than`.

    Raises:
        EvaluationError: a demand does not fit the service, or the reports are not of the same data.
    """
    found = [_at_least(report, metric, limit) for metric, limit in demands.least.items()]
    return [*found, no_worse(report, baseline)] if baseline else found


def _at_least(report: Report, metric: str, limit: float) -> Judgement:
    """By the measured value; the reason says where the interval leaves room for a lower one."""
    estimate = report.metrics.get(metric)
    if estimate is None:
        raise EvaluationError(f"{report.service} has no {metric}: demand one of {', '.join(report.metrics)}")
    interval = f"{estimate.low:.4f} to {estimate.high:.4f}"
    reason = f"{metric} is {estimate.value:.4f} ({interval}) of {estimate.count} samples"
    met = estimate.value >= limit
    if met and not estimate.low >= limit:
        reason += f"; the interval reaches below {limit:g}: more samples would tell"
    return Judgement(f"{metric} at least {limit:g}", met, reason)


def no_worse(new: Report, old: Report) -> Judgement:
    """Whether the data show a loss: McNemar's exact test, or for detectors the paired bootstrap over images.

    A release is worse where the loss is significant at 5 %, two-sided; without significance it is not.

    Raises:
        EvaluationError: the reports are of other data, or of other parameters.
    """
    if new.data["sha256"] != old.data["sha256"] or new.parameters != old.parameters:
        raise EvaluationError(
            f"the reports of {new.release} and {old.release} are of different data: evaluate both anew"
        )
    demand = f"no worse than {old.release}"
    by_name = {(one.name, one.sha256): one for one in old.outcomes}
    olds = [by_name[one.name, one.sha256] for one in new.outcomes]
    if detection.MAP in new.metrics:
        change = detection.changes(detection.match(new.outcomes), detection.match(olds))[detection.MAP]
        reason = f"{detection.MAP} changed by {change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
        reason += f" over {change.count} images"
        if not change.sure:
            reason += f"; fewer than {MIN_SAMPLES} images tell little"
        return Judgement(demand, not change.high < 0, reason)
    pairs = [
        (classification.is_right(after), classification.is_right(before))
        for after, before in zip(new.outcomes, olds, strict=True)
    ]
    gained, lost = pairs.count((True, False)), pairs.count((False, True))
    p = classification.worse_p(gained, lost)
    reason = f"of {len(pairs)} samples {gained} are right only now and {lost} were right only before (p = {p:.2g})"
    return Judgement(demand, not (lost > gained and p < SIGNIFICANT_P), reason)


def verdict(judgements: Sequence[Judgement]) -> str | None:
    """Why demands are not met, None where all are."""
    return "; ".join(one.line for one in judgements if not one.met) or None
