"""The report of an evaluation: report.json, report.md, and drawings of the samples that were answered worst."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2

from exporters.files import replace_file
from exporters.statistics import MIN_SAMPLES, Estimate
from exporters.table import table
from kserve_transformers.judging.answers import Answer, difference
from modelport.releases.comparison.drawing import caption, draw
from modelport.releases.comparison.samples import Sample
from modelport.releases.errors import EvaluationError
from modelport.releases.evaluation.classification import NO_ANSWER
from modelport.releases.evaluation.labelled import LabelledData
from modelport.releases.evaluation.outcomes import MISSING, REFUSED, Outcome

FORMAT = 1
REPORT_FILE = "report.json"
MAX_DRAWN = 12  # samples
DRAWN_SCORE = 0.3  # of the boxes that count as answered in drawings: the service's default threshold
_MAX_CLASSES = 20  # of which a matrix is still readable
_MAX_NAMES = 3


@dataclass(frozen=True)
class Report:
    """A finished evaluation."""

    service: str
    release: str  # its name; `initial` for a model repository, the URL of a server that ran before
    created: str  # ISO 8601, UTC
    files: Mapping[str, str] | None  # sha256 of every file of the models, by path; None where a running server has them
    data: Mapping[str, str]  # path, form, and the sha256 of names, contents and right answers
    parameters: Mapping[str, Any]  # of every request
    # by model of the chain, its weights and how many samples it answered, where the service says so
    models: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, int]  # samples, answered, missing, refused; boxes where there are some
    remarks: Mapping[str, Sequence[str]]  # what is wrong with the data, with the names of what it is about
    metrics: Mapping[str, Estimate]  # by name
    classes: Mapping[str, Mapping[str, Any]]  # measures of each class, by label
    confusion: Mapping[str, Mapping[str, int]]  # see classification.confusion; empty for detectors
    outcomes: Sequence[Outcome]

    def summary(self) -> dict[str, Any]:
        """What a release records of it: all but lists of samples and classes."""
        kept = ("release", "created", "parameters", "models", "counts")
        data = {"name": Path(self.data["path"]).name, "form": self.data["form"], "sha256": self.data["sha256"]}
        metrics = {name: asdict(estimate) for name, estimate in self.metrics.items()}
        return {**{name: getattr(self, name) for name in kept}, "data": data, "metrics": metrics}

    def to_json(self) -> bytes:
        """The content of report.json, with an outcome a line."""
        head = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "outcomes"}
        text = json.dumps({"format": FORMAT, **head, "metrics": self.summary()["metrics"]}, indent=1).removesuffix(
            "\n}"
        )
        lines = ",\n".join(json.dumps(one.to_json()) for one in self.outcomes)
        return f'{text},\n "outcomes": [\n{lines}\n]}}\n'.encode()


def read(path: Path) -> Report:
    """Read a report.json.

    Raises:
        EvaluationError: it is not one.
    """
    try:
        document = json.loads(path.read_bytes())
        if document.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        document["metrics"] = {name: Estimate(**one) for name, one in document["metrics"].items()}
        document["outcomes"] = [Outcome.from_json(one) for one in document["outcomes"]]
        return Report(**document)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
        raise EvaluationError(
            f"{path} is no report of `modelport evaluate` ({exc}): evaluate the service again"
        ) from exc


def lines(report: Report) -> list[str]:
    """The lines for a terminal: metrics, counts and remarks."""
    rows = [("", "value", "95 % interval", "of")]
    rows += [
        (name, f"{one.value:.4f}", f"{one.low:.4f} to {one.high:.4f}", str(one.count))
        for name, one in report.metrics.items()
    ]
    return [*table(rows).splitlines(), *_remarks(report)]


def write(report: Report, data: LabelledData, folder: Path) -> Path:
    """Write the report into a folder; returns the path of report.json.

    Args:
        report: the report.
        data: what was evaluated, in the order of the report's outcomes; the worst are read again and drawn.
        folder: where; drawings of an earlier report are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("worst-*.jpg"):
        left.unlink()
    text = [f"# {report.service}: {report.release} on {report.data['path']}", ""]
    text += [*(f"    {line}" for line in lines(report)), "", "## Classes", "", *_classes(report), ""]
    if report.confusion:
        text += ["## Confusion", "", *_confusion(report.confusion), ""]
    worst = sorted(zip(report.outcomes, data.samples, strict=True), key=lambda pair: _rank(pair[0]))
    text += ["## Worst samples", ""] * bool(worst and _is_wrong(worst[0][0]))
    for place, (outcome, sample) in enumerate([pair for pair in worst if _is_wrong(pair[0])][:MAX_DRAWN], start=1):
        name, given = f"worst-{place}.jpg", _likely(outcome.given)
        told = caption(given) if given else ": ".join(outcome.problem or ())
        content = b"" if outcome.problem else sample.content()
        image = draw(Sample(outcome.name, content), (("right", outcome.right), ("given", given)))
        cv2.imwrite(str(folder / name), image)
        text += [f"### {outcome.name}", "", f"right: {caption(outcome.right)}; given: {told}", ""]
        text += [f"![{outcome.name}: the right answer in blue, the given one in orange]({name})", ""]
    replace_file(folder / "report.md", "\n".join(text).encode())
    replace_file(folder / REPORT_FILE, report.to_json())
    return folder / REPORT_FILE


def _remarks(report: Report) -> list[str]:
    counts = report.counts
    told = [f"{counts['answered']} of {counts['samples']} samples answered"]
    for problem in (MISSING, REFUSED):
        found = [one for one in report.outcomes if one.problem and one.problem[0] == problem]
        if found:
            first = f"{found[0].name}: {(found[0].problem or ('', ''))[1]}"
            told.append(f"{problem} samples, counted as answered wrongly: {len(found)} ({first})")
    for kind, names in report.remarks.items():
        told.append(f"{kind}: {len(names)} ({', '.join(names[:_MAX_NAMES])}{', ...' * (len(names) > _MAX_NAMES)})")
    if not all(one.sure for one in report.metrics.values()):
        told.append(f"fewer than {MIN_SAMPLES} samples: the intervals mean little")
    if report.parameters:
        told.append("called with " + ", ".join(f"{name} {value}" for name, value in report.parameters.items()))
    for model, state in report.models.items():
        if state.get("weights") == "untrained" and state["answers"] != 0:
            told.append(f"{model} is untrained, so its answers mean nothing")
        if len(report.models) > 1:
            told.append(f"{state['answers']} samples answered by {model}")
    return told


def _classes(report: Report) -> list[str]:
    columns = list(next(iter(report.classes.values()), {}))
    rows = [("class", *columns)]
    rows += [(label, *map(_cell, one.values())) for label, one in report.classes.items()]
    return [f"    {line}" for line in table(rows).splitlines()]


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _confusion(confusion: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A matrix, right labels down and answers across; of many classes the most frequent errors."""
    given = sorted({label for row in confusion.values() for label in row} - {NO_ANSWER})
    labels = sorted({*confusion, *given})
    if len(labels) > _MAX_CLASSES:
        pairs = [(count, right, label) for right, row in confusion.items() for label, count in row.items()]
        errors = sorted((one for one in pairs if one[1] != one[2]), key=lambda one: -one[0])[:_MAX_CLASSES]
        rows: list[tuple[str, ...]] = [
            ("right", "given", "times"),
            *((right, label, str(count)) for count, right, label in errors),
        ]
    else:
        columns = [*labels, *([NO_ANSWER] if any(NO_ANSWER in row for row in confusion.values()) else [])]
        rows = [("right \\ given", *columns)]
        rows += [(right, *(str(row.get(label, 0)) for label in columns)) for right, row in confusion.items()]
    return [f"    {line}" for line in table(rows).splitlines()]


def _likely(answer: Answer | None) -> Answer | None:
    """An answer without the boxes that a caller does not get by default."""
    if answer is None or answer.boxes is None:
        return answer
    kept = answer.scores >= DRAWN_SCORE
    labels = tuple(label for label, keep in zip(answer.labels, kept, strict=True) if keep)
    return Answer(labels, answer.scores[kept], answer.boxes[kept], answer.measure, answer.model)


def _is_wrong(outcome: Outcome) -> bool:
    return _rank(outcome)[0] < 1


def _rank(outcome: Outcome) -> tuple[float, float]:
    """The lower, the worse: no answer, then few right results, then the surest of the wrong ones."""
    given = _likely(outcome.given)
    if given is None:
        return -1.0, 0.0
    share, _ = difference(outcome.right, given).rank
    return share, -float(max(given.scores, default=0.0))
