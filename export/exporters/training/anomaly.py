"""Training of anomaly on the clean part of a series; the rest, with a known anomaly, gives its score.

The project's series is InternalBleeding16 of the UCR Anomaly Archive (series 135): arterial pressure, with a clean part
for training and a part with exactly one anomaly, whose position is known. A column of a CSV file can be used instead:
then all of it counts as clean, and there is no score.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import anomaly, tensorflow_runtime
from exporters.catalog import PackageMember, WeightFile
from exporters.errors import TrainingDataError
from exporters.files import content_sha256
from exporters.training import Options
from exporters.training.report import draw_errors, draw_history, save_weights, write_record
from exporters.training_record import TrainingRecord
from exporters.weights import Fetcher

EPOCHS = 300
MARGIN = 1.5
_HELD_OUT = 0.2
_PATIENCE = 30
_LEAST_POINTS = 10 * anomaly.WINDOW
_ARCHIVE = "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409"
_MEMBER = "aeon/datasets/data/KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_"
_TRAIN = WeightFile(
    "ucr135-train.csv",
    "a531b6f4f556b17c0321d144c3f6b4a7bdf5e8464b2218566181702e77962c2b",
    (PackageMember("wheel", "aeon==1.6.0", _ARCHIVE, f"{_MEMBER}TRAIN.csv"),),
)
_TEST = WeightFile(
    "ucr135-test.csv",
    "fe26577b94896943e8205d04d56bf2511fe05c008df535a1ec3826adff3597e2",
    (PackageMember("wheel", "aeon==1.6.0", _ARCHIVE, f"{_MEMBER}TEST.csv"),),
)


@dataclass(frozen=True)
class Judged:
    """The reconstruction errors of the windows of a series with a known anomaly.

    `touching` says which windows contain a point of the anomaly, [N]; `errors` are mean absolute errors, [N].
    """

    touching: npt.NDArray[np.bool_]
    errors: npt.NDArray[np.float32]

    def score(self, threshold: float) -> dict[str, object]:
        """Alarms inside and outside the anomaly, and whether the greatest error lies in it."""
        alarms = self.errors > threshold
        return {
            "windows": len(alarms),
            "anomaly_found": bool(alarms[self.touching].any()),
            "alarms_in_anomaly": int(alarms[self.touching].sum()),
            "windows_touching_anomaly": int(self.touching.sum()),
            "false_alarms": int(alarms[~self.touching].sum()),
            "greatest_error_in_anomaly": bool(self.touching[self.errors.argmax()]),
            "greatest_error_elsewhere": round(float(self.errors[~self.touching].max(initial=0)), 6),
            "greatest_error": round(float(self.errors.max()), 6),
        }


def train(options: Options) -> Path:
    """Train, set the threshold, score, and write anomaly.weights.h5 with its record and report.

    The threshold is 1.5 times the greatest error of all clean windows, including the last fifth of the clean part, on
    which the network is not trained.

    Returns:
        The path of the weights.

    Raises:
        TrainingDataError: the data are missing, damaged or too few.
        WeightsUnavailableError: the public data are unavailable.
    """
    files = {"train": options.data} if options.data is not None else public_files(options.report)
    clean = read_column(files["train"], options.column or (None if options.data is not None else "value"))
    tensorflow_runtime.start(options.seed).config.experimental.enable_op_determinism()
    network = anomaly.network()
    used, held_out = split(clean)
    history = fit(network, used, held_out, options.epochs or EPOCHS)

    errors = {"trained on": _errors(network, used), "held out": _errors(network, held_out)}
    threshold = float(f"{MARGIN * max(float(values.max()) for values in errors.values()):.4g}")
    score: dict[str, object] = {
        "threshold": threshold,
        "clean_windows": len(used) + len(held_out),
        "greatest_error_clean": round(threshold / MARGIN, 6),
    }
    accuracy = "no anomaly known to measure it by"
    if "test" in files:
        judged = judge(network, files["test"], clean)
        score |= judged.score(threshold)
        found = "found" if score["anomaly_found"] else "MISSED"
        accuracy = f"known anomaly {found}, {score['false_alarms']} false alarms in {score['windows']} windows"
        errors |= {"test, clean": judged.errors[~judged.touching], "test, anomaly": judged.errors[judged.touching]}

    weights = options.output / anomaly.WEIGHTS
    save_weights(network, anomaly.network(), weights)
    record = TrainingRecord(
        model="anomaly",
        seed=options.seed,
        epochs=len(history["loss"]),
        accuracy=accuracy,
        data={name: content_sha256(path) for name, path in files.items()},
        score=score,
        parameters={"threshold": f"{threshold:.4g}"},
    )
    reports = options.reports / "anomaly"
    write_record(record, weights, reports, history=history)
    draw_errors(reports / "errors.png", errors, threshold, "unit of the series")
    draw_history(reports / "history.png", history, ("loss",))
    return weights


def public_files(report: Callable[[str], None]) -> dict[str, Path]:
    """The archive's series: "train" is its clean part, "test" all of it, with the anomaly.

    Raises:
        WeightsUnavailableError: they cannot be downloaded.
    """
    with Fetcher((), report=report) as fetcher:
        return {name: fetcher.fetch(file).path for name, file in (("train", _TRAIN), ("test", _TEST))}


def read_column(path: Path, column: str | None) -> npt.NDArray[np.float32]:
    """Read a column of numbers from a CSV file with a header.

    Args:
        path: of the file.
        column: its name; None: the file's only column.

    Raises:
        TrainingDataError: there is no such column, or one of its values is not a finite number.
    """
    if not path.is_file():
        raise TrainingDataError(f"{path} is not a file: DATA must be a CSV file with a header")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = csv.DictReader(stream)
        names = list(rows.fieldnames or ())
        wanted = column or (names[0] if len(names) == 1 else "")
        if wanted not in names:
            raise TrainingDataError(f"{path.name} has the columns {', '.join(names)}: name one of them, COLUMN=...")
        texts = [row[wanted] for row in rows]
    try:
        values = np.array([float(text) for text in texts], np.float32)
    except (TypeError, ValueError) as exc:
        raise TrainingDataError(f"column {wanted} of {path.name} has a value that is not a number ({exc})") from exc
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0]) + 2
        raise TrainingDataError(
            f"line {row} of {path.name}: {texts[row - 2]} is not a finite number: fill or cut the gap"
        )
    return values


def windows_of(series: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """All windows of a series, one step apart: [N] to [N - 63, 64]."""
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(series, anomaly.WINDOW))


def split(series: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Windows of a clean series for training, and of its last fifth for validation; no point is in both.

    Raises:
        TrainingDataError: the series is too short.
    """
    if len(series) < _LEAST_POINTS:
        raise TrainingDataError(f"{len(series)} points are too few to train on: {_LEAST_POINTS} or more are needed")
    cut = int(len(series) * (1 - _HELD_OUT))
    return windows_of(series[:cut]), windows_of(series[cut:])


def fit(
    network: Any, used: npt.NDArray[np.float32], held_out: npt.NDArray[np.float32], epochs: int
) -> dict[str, list[float]]:
    """Train the network in place, with early stopping. Returns loss and val_loss of each epoch."""
    import keras

    for name in ("normalise", "restore"):
        network.get_layer(name).adapt(used)
    network.compile(optimizer="adam", loss="mae")
    stop = keras.callbacks.EarlyStopping("val_loss", patience=_PATIENCE, restore_best_weights=True)
    fitted = network.fit(
        used,
        used,
        validation_data=(held_out, held_out),
        epochs=epochs,
        batch_size=32,
        verbose=tensorflow_runtime.verbosity(),
        callbacks=[stop],
    )
    return {name: [round(float(value), 6) for value in values] for name, values in fitted.history.items()}


def judge(network: Any, path: Path, clean: npt.NDArray[np.float32]) -> Judged:
    """Compute the errors of a file with the columns value and is_anomaly.

    Args:
        network: the trained network.
        path: of the file.
        clean: the training series; where the file begins with it, that part is left out.
    """
    values, unusual = read_column(path, "value"), read_column(path, "is_anomaly")
    start = len(clean) if np.array_equal(values[: len(clean)], clean) else 0
    return Judged(np.asarray(windows_of(unusual[start:]).any(axis=1)), _errors(network, windows_of(values[start:])))


def _errors(network: Any, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return anomaly.rebuild(network, windows)[1][:, 0]
