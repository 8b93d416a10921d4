"""What a training run leaves for people to look at: numbers as JSON, pictures as PNG."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exporters.files import replace_file

_NUMBERED_CELLS = 30


def write_numbers(folder: Path, numbers: Mapping[str, object]) -> Path:
    """Write report.json. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "report.json", (json.dumps(numbers, indent=1) + "\n").encode())
    return folder / "report.json"


def confusion_matrix(
    truth: npt.NDArray[np.integer], found: npt.NDArray[np.integer], classes: int
) -> npt.NDArray[np.int64]:
    """Count predictions: row = true class, column = predicted class.

    Args:
        truth: [N], 0 <= class < classes.
        found: [N], likewise.
        classes: how many there are.

    Returns:
        INT64 [classes, classes].
    """
    pairs = truth.astype(np.int64) * classes + found.astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def draw_confusion(path: Path, matrix: npt.NDArray[np.int64], labels: Sequence[str], title: str) -> None:
    """Draw a confusion matrix; the colours show the share of the true class, the numbers counts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = min(20.0, max(5.0, 0.55 * len(labels)))
    figure = Figure(figsize=(size, size), layout="constrained")
    FigureCanvasAgg(figure)
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
    """Draw histograms of reconstruction errors, one colour a group of windows, with the threshold as a line.

    Args:
        path: of the PNG.
        errors: by group, [N] each; N = 0 is left out.
        threshold: in the same unit.
        unit: of the errors.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    present = {name: values for name, values in errors.items() if values.size}
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    edges = np.histogram_bin_edges(np.concatenate([*present.values(), [threshold]]), bins=80)
    for name, values in present.items():
        axes.hist(values, bins=edges.tolist(), alpha=0.6, label=f"{name} ({len(values)})")
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.4g}")
    axes.set(yscale="log", xlabel=f"mean absolute error of a window [{unit}]", ylabel="windows")
    axes.legend()
    figure.savefig(path, dpi=100)


def draw_history(path: Path, history: Mapping[str, Sequence[float]], titles: Sequence[str]) -> None:
    """Draw what was measured after each epoch: one panel a title, the validation's curve beside the training's."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(titles), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, title in zip(figure.subplots(1, len(titles), squeeze=False)[0], titles, strict=True):
        for name in (title, f"val_{title}"):
            axes.plot(range(1, len(history[name]) + 1), history[name], marker=".", label=name)
        axes.set(title=title, xlabel="epoch")
        axes.legend()
    figure.savefig(path, dpi=100)
