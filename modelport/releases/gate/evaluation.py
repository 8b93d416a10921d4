"""The evaluation in the gate: a report of exactly these files, and the demands that it must meet."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kserve_transformers.service_spec import ServiceSpec
from modelport.releases.assembly import model_files
from modelport.releases.errors import GateError
from modelport.releases.evaluation import report
from modelport.releases.evaluation.data import DataOptions
from modelport.releases.evaluation.demands import Demands, judge, verdict
from modelport.releases.evaluation.evaluating import evaluate_release, place_of
from modelport.releases.evaluation.report import REPORT_FILE, Report
from modelport.releases.release import Release
from modelport.releases.verification import verified_repository


@dataclass(frozen=True)
class Evaluation:
    """How a release is evaluated before it may exist.

    `source` is a report.json, or the data on which the gate evaluates; `releases` has the one in
    `demands.no_worse_than`.
    """

    service: ServiceSpec
    source: Path | DataOptions
    demands: Demands
    releases: Path

    def record(self, folder: Path, release: Release, say: Callable[[str], None]) -> Mapping[str, Any]:
        """What release.json records of the evaluation.

        Args:
            folder: the models.
            release: their description.
            say: called with a line for each step.

        Raises:
            GateError: the report is of other files, or a demand is not met.
            EvaluationError: the data or the report cannot be used.
        """
        if isinstance(self.source, Path):
            found = report.read(self.source)
            _check_files(
                self.source, found, self.service.name, {path: one.sha256 for path, one in release.files.items()}
            )
        else:
            found = evaluate_release(self.service, release.name, folder, self.source, say)
        judgements = judge(found, self.demands, self._baseline(found, say))
        for one in judgements:
            say(one.line)
        if broken := verdict(judgements):
            raise GateError(f"{broken}. Train or choose other weights, or release without this demand")
        return {**found.summary(), "demands": [asdict(one) for one in judgements]}

    def _baseline(self, found: Report, say: Callable[[str], None]) -> Report | None:
        return baseline(self.service, found, self.demands, self.source, self.releases, say)


def baseline(
    service: ServiceSpec,
    new: Report,
    demands: Demands,
    source: Path | DataOptions,
    releases: Path,
    say: Callable[[str], None],
) -> Report | None:
    """The report of the release in `demands.no_worse_than` on the same data: an earlier one, or else a new one.

    Raises:
        NotFoundError: there is no such release.
        GateError: there is no such report, and no data to make one.
    """
    if demands.no_worse_than is None:
        return None
    name, folder = verified_repository(service.name, demands.no_worse_than, releases)
    place = place_of(service.name, name) / REPORT_FILE
    files = model_files(folder, service.models)
    if place.is_file():
        known = report.read(place)
        if known.files == files and known.data["sha256"] == new.data["sha256"] and known.parameters == new.parameters:
            return known
    if isinstance(source, Path):
        raise GateError(
            f"{place} is no report of {name} on the data of {source}: "
            f"run `modelport evaluate {service.name} --release {name} --data {new.data['path']}` first"
        )
    return evaluate_release(service, name, folder, source, say)


def _check_files(path: Path, found: Report, service: str, files: Mapping[str, str]) -> None:
    """Refuse the report of another service, or of models that differ in any file."""
    if found.service != service:
        raise GateError(f"{path} is a report of {found.service}, not of {service}: evaluate {service}")
    if found.files is None:
        raise GateError(
            f"{path} is of a running server ({found.release}), whose files are not known: evaluate without --url"
        )
    differing = sorted(file for file in {*files, *found.files} if files.get(file) != found.files.get(file))
    if differing:
        raise GateError(f"{path} is of other weights: {differing[0]} differs from what is released: evaluate it again")
