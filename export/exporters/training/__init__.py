"""Training of mnist and anomaly on public data, and of cars on the user's images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporters.weights import PROJECT

OUTPUT = PROJECT / "build" / "trained"
REPORTS = PROJECT / "build" / "reports"


@dataclass(frozen=True)
class Options:
    """The options of a training run.

    Attributes:
        data: the user's data; None: the public data of the project (mnist and anomaly).
        column: of a CSV file.
        epochs: at most; None: the model's default.
        output: folder of the weights and their record.
        reports: folder of the reports, in which each model has its own.
        resume: continue from the last checkpoint (cars).
        report: receives a line for each step.
    """

    data: Path | None = None
    column: str | None = None
    epochs: int | None = None
    seed: int = 7
    output: Path = OUTPUT
    reports: Path = REPORTS
    resume: bool = False
    report: Callable[[str], None] = lambda line: None
