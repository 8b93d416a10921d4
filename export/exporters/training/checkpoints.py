"""Checkpoints of a training run in phases, written after each epoch, from which a killed run can be resumed."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from exporters.errors import TrainingDataError
from exporters.files import replace_file


@dataclass(frozen=True)
class Progress:
    """The progress of a run."""

    fingerprint: str  # of data and settings; a run with others must not resume from here
    phase: int = 0  # index of the current phase
    epoch: int = 0  # number of its completed epochs
    done: bool = False  # the phase has ended
    best: float = float("inf")  # the lowest validation loss of the phase
    best_epoch: int = 0  # the epoch of that loss
    history: Mapping[str, list[float]] = field(default_factory=dict)  # one number for each epoch of all phases

    def after_epoch(self, measured: Mapping[str, list[float]]) -> "Progress":
        """The progress after another epoch with these measurements."""
        history = {name: [*self.history.get(name, []), *map(float, values)] for name, values in measured.items()}
        loss = history["val_loss"][-1]
        ahead = replace(self, epoch=self.epoch + 1, history=history)
        return replace(ahead, best=loss, best_epoch=ahead.epoch) if loss < self.best else ahead


class Checkpoints:
    """A folder with the weights of the last epoch (including the optimiser's), those of the best, and a JSON file.

    Args:
        folder: it is made where it is missing.
        fingerprint: of data and settings.
        resume: continue from the checkpoints in the folder; otherwise they are removed.
    """

    def __init__(self, folder: Path, fingerprint: str, resume: bool) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        if not resume and folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)

    def progress(self) -> Progress:
        """Read the progress of the run; where there is no checkpoint, its beginning.

        Raises:
            TrainingDataError: the checkpoints are of other data or settings.
        """
        path = self._folder / "progress.json"
        if not path.is_file():
            return Progress(self._fingerprint)
        progress = Progress(**json.loads(path.read_text()))
        if progress.fingerprint != self._fingerprint:
            raise TrainingDataError(
                f"{self._folder} has checkpoints of other data or another seed: train without --resume"
            )
        return progress

    def save(self, network: Any, progress: Progress) -> None:
        """Save an epoch. Its weights have a new name, and the JSON file names them once they are complete."""
        network.save_weights(self._last(progress))
        if progress.best_epoch == progress.epoch:
            shutil.copyfile(self._last(progress), self._best(progress))
        self.note(progress)
        kept = {self._last(progress), self._best(progress)}
        for old in set(self._folder.glob("*.weights.h5")) - kept:
            old.unlink()

    def note(self, progress: Progress) -> None:
        """Write the JSON file only."""
        replace_file(self._folder / "progress.json", json.dumps(asdict(progress)).encode())

    def load_last(self, network: Any, progress: Progress) -> None:
        """Load the weights of the last epoch, and the optimiser's state, into a compiled network."""
        network.load_weights(self._last(progress))

    def load_best(self, network: Any, progress: Progress) -> None:
        """Load the weights of the phase's best epoch into a network."""
        network.load_weights(self._best(progress))

    def remove(self) -> None:
        """Remove the checkpoints: the run has ended."""
        shutil.rmtree(self._folder)

    def _last(self, progress: Progress) -> Path:
        return self._folder / f"phase{progress.phase}-epoch{progress.epoch}.weights.h5"

    def _best(self, progress: Progress) -> Path:
        return self._folder / f"phase{progress.phase}-best{progress.best_epoch}.weights.h5"
