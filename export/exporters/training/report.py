"""The results of a training run: weights and their record, numbers as JSON, plots as PNG."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import training_record
from exporters.files import replace_file, staged
from exporters.training_record import TrainingRecord

_NUMBERED_CELLS = 30


def save_weights(trained: Any, untrained: Any, path: Path) -> None:
    """Write a network's weights, atomically.

    Args:
        trained: the network.
        untrained: the same network, not compiled: Keras would add the optimiser's state, twice as large as the weights.
        path: of the .weights.h5 file; its folder is made.
    """
    untrained.set_weights(trained.get_weights())
    path.parent.mkdir(parents=True, exist_ok=True)
    with staged(path) as temporary:
        untrained.save_weights(temporary)


def write_record(record: TrainingRecord, weights: Path, folder: Path, **numbers: object) -> None:
    """Write a run's record beside its weights, and report.json: the record and numbers that are too many for it.

    Args:
        record: its weights_sha256 is filled in.
        weights: of the run.
        folder: of the report.
        numbers: JSON values by name.
    """
    report = {**vars(training_record.write(record, weights)), **numbers}
    replace_file(folder / "report.json", (json.dumps(report, indent=1) + "\n").encode())


def confusion_matrix(
    truth: npt.NDArray[np.integer], found: npt.NDArray[np.integer], classes: int
) -> npt.NDArray[np.int64]:
    """Count predictions: row = true class, column = predicted class.

    Args:
        truth: true classes [N], 0 <= class < classes.
        found: predicted classes [N], 0 <= class < classes.
        classes: the number of classes.

    Returns:
        INT64 [classes, classes].
    """
    pairs = truth.astype(np.int64) * classes + found.astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def draw_confusion(path: Path, matrix: npt.NDArray[np.int64], labels: Sequence[str], title: str) -> None:
    """Draw a confusion matrix: colours show the share of the true class, numbers the counts."""
    size = min(20.0, max(5.0, 0.55 * len(labels)))
    figure = _figure(size, size)
    axes = figure.add_subplot()
    axes.imshow(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    axes.set(title=title, xlabel="predicted", ylabel="true")
    if len(labels) <= _NUMBERED_CELLS:
        axes.set_xticks(range(len(labels)), labels, rotation=90 if max(map(len, labels)) > 2 else 0)
        axes.set_yticks(range(len(labels)), labels)
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if count > matrix[row].sum() / 2 else "black"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    figure.savefig(path, dpi=100)


def draw_errors(path: Path, errors: Mapping[str, npt.NDArray[np.float32]], threshold: float, unit: str) -> None:
    """Draw histograms of reconstruction errors, one colour for each group of windows, and the threshold as a line.

    Args:
        path: of the PNG.
        errors: by group, [N] each; empty groups are left out.
        threshold: in the same unit.
        unit: of the errors.
    """
    present = {name: values for name, values in errors.items() if values.size}
    figure = _figure(8, 4.5)
    axes = figure.add_subplot()
    edges = np.histogram_bin_edges(np.concatenate([*present.values(), [threshold]]), bins=80)
    for name, values in present.items():
        axes.hist(values, bins=edges.tolist(), alpha=0.6, label=f"{name} ({len(values)})")
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.4g}")
    axes.set(yscale="log", xlabel=f"mean absolute error of a window [{unit}]", ylabel="windows")
    axes.legend()
    figure.savefig(path, dpi=100)


def draw_history(path: Path, history: Mapping[str, Sequence[float]], titles: Sequence[str]) -> None:
    """Draw the measurements after each epoch: a panel for each title, with the curves of training and validation."""
    figure = _figure(5 * len(titles), 4)
    for axes, title in zip(figure.subplots(1, len(titles), squeeze=False)[0], titles, strict=True):
        for name in (title, f"val_{title}"):
            axes.plot(range(1, len(history[name]) + 1), history[name], marker=".", label=name)
        axes.set(title=title, xlabel="epoch")
        axes.legend()
    figure.savefig(path, dpi=100)


def _figure(width: float, height: float) -> Any:
    """An empty figure, size in inches, without a display and without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
