"""Evaluates a service: a release that is served for it, or a server that runs."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import TASKS
from modelport.environment import ROOT
from modelport.releases.assembly import model_files
from modelport.releases.comparison.caller import Caller, connect
from modelport.releases.comparison.side import side
from modelport.releases.evaluation import classification, detection, report
from modelport.releases.evaluation.data import DataOptions, read_data
from modelport.releases.evaluation.labelled import LabelledData
from modelport.releases.evaluation.labels import known_labels
from modelport.releases.evaluation.outcomes import MISSING, REFUSED, Outcome, collect, data_sha256
from modelport.releases.evaluation.report import Report

Say = Callable[[str], object]


def place_of(service: str, release: str) -> Path:
    """The folder of a report, unless the user names another."""
    return ROOT / "build" / "evaluate" / service / release


def evaluate_release(
    service: ServiceSpec, release: str, folder: Path, options: DataOptions, say: Say, out: Path | None = None
) -> Report:
    """Serve a release as `make serve` does, evaluate it, and write the report.

    Args:
        service: the only service that is served.
        release: the name of the release.
        folder: its model repository.
        options: the labelled data.
        say: called with a line for each step.
        out: the folder of the report; None: see place_of.

    Raises:
        ComparisonError: the release cannot be served, or does not answer.
        EvaluationError: the data cannot be used.
    """
    out = out or place_of(service.name, release)
    data = read_data(options, service, known_labels(service, folder))
    files = model_files(folder, service.models)
    say(f"starting Triton and a transformer for {release} (logs: {out}/logs)")
    with side(release, service, folder, out / "logs") as caller:
        return evaluate(caller, service, files, data, options, say, out)


def evaluate_url(service: ServiceSpec, url: str, folder: Path, options: DataOptions, say: Say, out: Path) -> Report:
    """Evaluate a service of a server that runs, and write the report, which does not know the server's files.

    Args:
        service: it has this name there, too.
        url: of the server.
        folder: a model repository with the server's labels.
        options: the labelled data.
        say: called with a line for each step.
        out: the folder of the report.

    Raises:
        ComparisonError: the server cannot be reached, or does not answer.
        EvaluationError: the data cannot be used.
    """
    data = read_data(options, service, known_labels(service, folder))
    with connect(url) as client:
        return evaluate(Caller(url, service.name, client), service, None, data, options, say, out)


@dataclass(frozen=True)
class _Measured:
    """What follows from the outcomes alone."""

    metrics: Mapping[str, Any]
    classes: Mapping[str, Any]
    confusion: Mapping[str, Mapping[str, int]]
    boxes: int | None = None


def _measure(outcomes: list[Outcome]) -> _Measured:
    if outcomes[0].right.boxes is None:
        confusion = classification.confusion(outcomes)
        return _Measured(classification.measures(outcomes), classification.classes(outcomes), confusion)
    boxes = sum(len(one.right.labels) for one in outcomes)
    matches = detection.match(outcomes)
    return _Measured(detection.measures(matches), detection.classes(matches), {}, boxes)


def evaluate(
    caller: Caller,
    service: ServiceSpec,
    files: Mapping[str, str] | None,
    data: LabelledData,
    options: DataOptions,
    say: Say,
    out: Path,
) -> Report:
    """Send labelled data to a service, measure, and write the report.

    Args:
        caller: of the service.
        service: its declaration.
        files: sha256 of the files that answer, where they are known.
        data: the labelled data.
        options: where they come from.
        say: called with a line for each step.
        out: the folder of the report.

    Raises:
        ComparisonError: the service does not answer.
        EvaluationError: it accepts none of the data.
    """
    parameters = {"score_threshold": detection.SCORE_THRESHOLD} if "box" in TASKS[service.task].outputs else {}
    states = caller.models()
    told = "".join(f", with {name} {value}" for name, value in parameters.items())
    say(f"sending {len(data.samples)} samples{told}")
    outcomes = collect(caller, data, parameters)
    measured = _measure(outcomes)
    problems = Counter(one.problem[0] for one in outcomes if one.problem)
    counts = {"samples": len(outcomes), "answered": len(outcomes) - problems.total()}
    counts |= {problem: problems[problem] for problem in (MISSING, REFUSED)}
    by_model = Counter(one.given.model for one in outcomes if one.given and one.given.model)
    only = counts["answered"] if len(states) == 1 else None
    made = Report(
        service=service.name,
        release=caller.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        files=files,
        data={"path": str(options.path), "form": data.form, "sha256": data_sha256(outcomes)},
        parameters=parameters,
        models={
            name: {"weights": state.get("weights"), "answers": by_model[name] if by_model else only}
            for name, state in states.items()
        },
        counts=counts if measured.boxes is None else {**counts, "boxes": measured.boxes},
        remarks=data.remarks,
        metrics=measured.metrics,
        classes=measured.classes,
        confusion=measured.confusion,
        outcomes=outcomes,
    )
    path = report.write(made, data, out)
    for line in (*report.lines(made), f"report: {path} and {path.with_suffix('.md').name}"):
        say(line)
    return made
