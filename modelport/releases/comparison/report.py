"""The report of a comparison: results.json, report.md, and drawings of the samples with the largest differences."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2

from exporters.files import replace_file
from exporters.rules import Finding, Rule
from exporters.statistics import CONFIDENCE, Estimate
from exporters.table import table
from modelport.releases.comparison.drawing import caption, draw
from modelport.releases.comparison.measuring import Compared, Observations
from modelport.releases.comparison.verdict import Verdict

MAX_DRAWN = 8  # samples
_MAX_LABELS = 5


@dataclass(frozen=True)
class Comparison:
    """A finished comparison. `accounts` are further lines, of what was not compared and why."""

    service: str
    old: str
    new: str
    observations: Observations
    measures: Mapping[str, Estimate]
    findings: Mapping[Rule, Finding]
    verdict: Verdict
    accounts: tuple[str, ...] = ()

    @property
    def most_different(self) -> list[Compared]:
        """The samples on which the answers differ, most different first."""
        ranked = sorted(self.observations.compared, key=lambda one: one.difference.rank)
        return [one for one in ranked if one.difference.rank < (1.0, 0.0)][:MAX_DRAWN]


def lines(comparison: Comparison) -> list[str]:
    """The lines for a terminal: measures with their rules, differing labels, remarks, and the verdict."""
    rows = [("", "value", "95 % interval", "of", "rule")]
    rules = {rule.measure: f"{found.value}: {rule.text}" for rule, found in comparison.findings.items()}
    for name, estimate in comparison.measures.items():
        value, interval = _number(estimate.value), f"{_number(estimate.low)} to {_number(estimate.high)}"
        rows.append((name, value, interval, str(estimate.count), rules.get(name, "")))
    return [
        *table(rows).splitlines(),
        *_labels(comparison),
        *_remarks(comparison),
        *(line for account in comparison.accounts for line in account.splitlines()),
        f"verdict: {comparison.verdict.text}",
    ]


def write(comparison: Comparison, folder: Path) -> Path:
    """Write the report into a folder; returns the path of report.md."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("differs-*.jpg"):
        left.unlink()
    replace_file(folder / "results.json", (json.dumps(_document(comparison), indent=1) + "\n").encode())
    text = [
        f"# {comparison.service}: {comparison.old} and {comparison.new}",
        "",
        f"**{comparison.verdict.text}**",
        "",
        *(f"    {line}" for line in lines(comparison)[:-1]),
        "",
    ]
    for number, compared in enumerate(comparison.most_different, start=1):
        name = f"differs-{number}.jpg"
        text += [f"## {compared.sample.name}", "", f"old: {caption(compared.old)}; new: {caption(compared.new)}", ""]
        if not len(compared.sample.content):  # a record has its hash alone
            continue
        cv2.imwrite(str(folder / name), draw(compared.sample, (("old", compared.old), ("new", compared.new))))
        text += [f"![{compared.sample.name}: the old release in blue, the new one in orange]({name})", ""]
    replace_file(folder / "report.md", "\n".join(text).encode())
    return folder / "report.md"


def _labels(comparison: Comparison) -> list[str]:
    """The labels that only one release answers."""
    told = []
    for side, name in (("only_old", "old"), ("only_new", "new")):
        found = Counter(label for one in comparison.observations.compared for label in getattr(one.difference, side))
        if found:
            most = ", ".join(f"{label} {count}" for label, count in found.most_common(_MAX_LABELS))
            told.append(f"only the {name} release answers: {most}" + ", ..." * (len(found) > _MAX_LABELS))
    return told


def _remarks(comparison: Comparison) -> list[str]:
    observations = comparison.observations
    told = [
        f"{model} of the {side} release is untrained, so its answers mean nothing"
        for side, models in observations.models.items()
        for model, state in models.items()
        if state.get("weights") == "untrained"
    ]
    if observations.refused:
        name, reason = next(iter(observations.refused.items()))
        told.append(
            f"{len(observations.refused)} samples left out, since the service does not accept them: {name} ({reason})"
        )
    return told


def _document(comparison: Comparison) -> dict[str, Any]:
    return {
        "service": comparison.service,
        "old": comparison.old,
        "new": comparison.new,
        "confidence": CONFIDENCE,
        "verdict": comparison.verdict.text,
        "measures": {name: _finite(asdict(estimate)) for name, estimate in comparison.measures.items()},
        "rules": {rule.text: found.value for rule, found in comparison.findings.items()},
        "accounts": [line for account in comparison.accounts for line in account.splitlines()],
        "models": comparison.observations.models,
        "refused": comparison.observations.refused,
        "samples": [
            {
                "name": one.sample.name,
                "old": _answer(one.old.labels, one.old.scores.tolist(), one.old.model),
                "new": _answer(one.new.labels, one.new.scores.tolist(), one.new.model),
                "agreed": one.difference.agreed,
                "count": one.difference.count,
            }
            for one in comparison.observations.compared
        ],
    }


def _answer(labels: tuple[str, ...], scores: list[float], model: str | None) -> dict[str, Any]:
    return {"labels": labels, "scores": scores, **({"model": model} if model else {})}


def _finite(numbers: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity."""
    return {key: None if isinstance(n, float) and not math.isfinite(n) else n for key, n in numbers.items()}


def _number(value: float) -> str:
    return "?" if not math.isfinite(value) else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
