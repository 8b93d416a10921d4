"""Training of the models that have no maker: mnist and anomaly, and of cars on a user's own pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporters.weights import PROJECT

OUTPUT = PROJECT / "build" / "trained"
REPORTS = PROJECT / "build" / "reports"


@dataclass(frozen=True)
class Options:
    """What a training run can be told.

    Attributes:
        data: the user's own; None: what the project trains on by itself.
        column: of a CSV file.
        epochs: at most; None: as many as suit the model.
        output: where the weights and their record go.
        reports: where the report goes, into a folder of the model's name.
        resume: go on from the last checkpoint.
        report: takes one line of what is going on.
    """

    data: Path | None = None
    column: str | None = None
    epochs: int | None = None
    seed: int = 7
    output: Path = OUTPUT
    reports: Path = REPORTS
    resume: bool = False
    report: Callable[[str], None] = lambda line: None
