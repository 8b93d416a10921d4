"""Training of mnist and anomaly on public data, and of cars on the user's images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporters.weights import PROJECT

OUTPUT = PROJECT / "build" / "trained"
REPORTS = PROJECT / "build" / "reports"


@dataclass(frozen=True)
class Options:
    """The options of a training run."""

    data: Path | None = None  # the user's data; None: the public data of the project (mnist and anomaly)
    column: str | None = None  # of a CSV file
    epochs: int | None = None  # at most; None: the model's default
    seed: int = 7
    output: Path = OUTPUT  # folder of the weights and their record
    reports: Path = REPORTS  # folder of the reports, in which each model has its own
    resume: bool = False  # continue from the last checkpoint (cars)
    report: Callable[[str], None] = lambda line: None  # receives a line for each step
