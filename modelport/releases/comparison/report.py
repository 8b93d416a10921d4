"""What a comparison leaves: results.json, report.md, and the samples on which the releases differ most, drawn."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2

from exporters.files import replace_file
from exporters.table import table
from modelport.releases.comparison.drawing import caption, draw
from modelport.releases.comparison.measuring import Compared, Course
from modelport.releases.comparison.statistics import CONFIDENCE, Estimate
from modelport.releases.comparison.verdict import Finding, Rule, Verdict

MOST = 8  # pictures that are drawn
_LABELS = 5


@dataclass(frozen=True)
class Comparison:
    """A finished comparison."""

    service: str
    old: str
    new: str
    course: Course
    measures: Mapping[str, Estimate]
    findings: Mapping[Rule, Finding]
    verdict: Verdict

    @property
    def most_different(self) -> list[Compared]:
        """The samples on which the answers are not the same, worst first."""
        ranked = sorted(self.course.compared, key=lambda one: one.difference.rank)
        return [one for one in ranked if one.difference.rank < (1.0, 0.0)][:MOST]


def lines(comparison: Comparison) -> list[str]:
    """The numbers, the rules and the verdict, as a terminal shows them."""
    rows = [("", "value", "95 % interval", "of", "rule")]
    rules = {rule.measure: f"{found.value}: {rule.text}" for rule, found in comparison.findings.items()}
    for name, estimate in comparison.measures.items():
        value, interval = _number(estimate.value), f"{_number(estimate.low)} to {_number(estimate.high)}"
        rows.append((name, value, interval, str(estimate.count), rules.get(name, "")))
    return [
        *table(rows).splitlines(),
        *_labels(comparison),
        *_remarks(comparison),
        f"verdict: {comparison.verdict.text}",
    ]


def write(comparison: Comparison, folder: Path) -> Path:
    """Write all of it. Returns the path of report.md."""
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
        cv2.imwrite(str(folder / name), draw(compared))
        text += [f"## {compared.sample.name}", "", f"old: {caption(compared.old)}; new: {caption(compared.new)}", ""]
        text += [f"![{compared.sample.name}: the old release's in blue, the new one's in orange]({name})", ""]
    replace_file(folder / "report.md", "\n".join(text).encode())
    return folder / "report.md"


def _labels(comparison: Comparison) -> list[str]:
    """What only one of the two finds."""
    told = []
    for side, name in (("only_old", "old"), ("only_new", "new")):
        found = Counter(label for one in comparison.course.compared for label in getattr(one.difference, side))
        if found:
            most = ", ".join(f"{label} {count}" for label, count in found.most_common(_LABELS))
            told.append(f"only the {name} one says: {most}" + ", ..." * (len(found) > _LABELS))
    return told


def _remarks(comparison: Comparison) -> list[str]:
    course = comparison.course
    told = [
        f"the {side} one's {model} is untrained: its answers mean nothing"
        for side, models in course.models.items()
        for model, state in models.items()
        if state.get("weights") == "untrained"
    ]
    if course.refused:
        name, reason = next(iter(course.refused.items()))
        told.append(f"{len(course.refused)} samples left out, which the service does not take: {name} ({reason}) ...")
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
        "models": comparison.course.models,
        "refused": comparison.course.refused,
        "samples": [
            {
                "name": one.sample.name,
                "old": _answer(one.old.labels, one.old.scores.tolist(), one.old.model),
                "new": _answer(one.new.labels, one.new.scores.tolist(), one.new.model),
                "agreed": one.difference.agreed,
                "count": one.difference.count,
            }
            for one in comparison.course.compared
        ],
    }


def _answer(labels: tuple[str, ...], scores: list[float], model: str | None) -> dict[str, Any]:
    return {"labels": labels, "scores": scores, **({"model": model} if model else {})}


def _finite(numbers: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity."""
    return {key: None if isinstance(n, float) and not math.isfinite(n) else n for key, n in numbers.items()}


def _number(value: float) -> str:
    return "?" if not math.isfinite(value) else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
