"""anomaly trains on a user's column, sets its threshold by its rule, and then finds what is unusual."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exporters import anomaly, training_record
from exporters.config import read_config
from exporters.errors import TrainingDataError
from exporters.repository import REPOSITORY
from exporters.training import __main__ as command
from exporters.training.anomaly import MARGIN, Judged, read_column, split, windows_of
from exporters.weights import CACHE, PROJECT

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def pressure(points: int) -> np.ndarray:
    return (80 + 20 * np.sin(np.arange(points) / 15)).astype(np.float32)


def write_csv(path: Path, values: np.ndarray) -> Path:
    rows = [f"{second},{value},x\n" for second, value in enumerate(values)]
    path.write_text("second,pressure,note\n" + "".join(rows))
    return path


def test_a_column_is_trained_on_and_a_disturbance_is_found(tmp_path, capsys):
    data = write_csv(tmp_path / "own.csv", pressure(1000))
    arguments = ["--data", str(data), "--column", "pressure", "--epochs", "15"]

    code = command.main(
        ["anomaly", *arguments, "--output", str(tmp_path / "out"), "--reports", str(tmp_path / "reports")]
    )

    assert code == 0
    printed = capsys.readouterr().out
    assert "score:   no anomaly known to measure it by\n" in printed
    assert "WEIGHTS_DIR=" in printed
    weights = tmp_path / "out" / anomaly.WEIGHTS
    record = training_record.read("anomaly", weights)
    assert record is not None
    network, threshold = anomaly.load(weights), float(record.parameters["threshold"])
    clean = np.concatenate([anomaly.rebuild(network, windows)[1] for windows in split(pressure(1000))])
    assert threshold == pytest.approx(MARGIN * clean.max(), rel=1e-3)
    disturbed = pressure(200)[50:114].copy()
    disturbed[20:32] += 30
    assert anomaly.rebuild(network, disturbed[None])[1][0, 0] > threshold
    assert anomaly.rebuild(network, pressure(3000)[-64:][None])[1][0, 0] < threshold
    report = json.loads((tmp_path / "reports" / "anomaly" / "report.json").read_text())
    assert report["accuracy"] == "no anomaly known to measure it by"
    assert (tmp_path / "reports" / "anomaly" / "errors.png").stat().st_size > 5000


def test_alarms_are_counted_in_and_outside_the_anomaly():
    judged = Judged(np.array([False, False, True, True, False]), np.float32([0.1, 0.6, 0.5, 0.9, 0.2]))

    score = judged.score(0.5)

    assert score["anomaly_found"] is True
    assert (score["alarms_in_anomaly"], score["windows_touching_anomaly"], score["false_alarms"]) == (1, 2, 1)
    assert score["greatest_error_in_anomaly"] is True
    assert judged.score(0.9)["anomaly_found"] is False, "an error at the threshold is no alarm"


def test_no_point_is_both_trained_on_and_held_out():
    used, held_out = split(np.arange(1000, dtype=np.float32))

    assert (used.shape, held_out.shape) == ((800 - 63, 64), (200 - 63, 64))
    assert used.max() < held_out.min()
    np.testing.assert_array_equal(windows_of(np.arange(66, dtype=np.float32))[:, 0], [0, 1, 2])


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        pytest.param("a,b\n1,2\n", None, "name one", id="which column"),
        pytest.param("a,b\n1,2\n", "c", "has the columns a, b", id="no such column"),
        pytest.param("a\n1\n\nx\n", None, "not a number", id="a word"),
        pytest.param("a,b\n1\n", "b", "not a number", id="a short line"),
        pytest.param("a\n1\nnan\n", None, "line 3 .* nan is not a finite", id="not a number"),
        pytest.param("a\n1\ninf\n", None, "not a finite number", id="infinite"),
    ],
)
def test_a_damaged_csv_is_refused(text, column, message, tmp_path):
    (tmp_path / "own.csv").write_text(text)

    with pytest.raises(TrainingDataError, match=message):
        read_column(tmp_path / "own.csv", column)


def test_a_short_series_is_an_error_on_one_line(tmp_path, capsys):
    data = write_csv(tmp_path / "own.csv", pressure(100))

    assert command.main(["anomaly", "--data", str(data), "--column", "pressure", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: 100 points are too few to train on: 640 or more are needed\n"


@pytest.mark.slow  # it trains to the end
def test_missing_weights_are_trained_by_the_export(tmp_path):
    """In a copy of the exporters without the tracked weights."""
    exporters = Path("export") / "exporters"
    shutil.copytree(PROJECT / exporters, tmp_path / exporters, ignore=shutil.ignore_patterns("trained", "__pycache__"))
    shutil.copytree(REPOSITORY / "anomaly" / "golden", tmp_path / "model_repository" / "anomaly" / "golden")
    if CACHE.is_dir():
        shutil.copytree(
            CACHE, tmp_path / "build" / "weights", ignore=lambda _, names: [n for n in names if "ucr" not in n]
        )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "export"), "PYTHONSAFEPATH": "1"}

    done = subprocess.run(
        [sys.executable, "-m", "exporters", "anomaly"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    config = read_config(tmp_path / "model_repository" / "anomaly" / "config.pbtxt")
    assert config.parameters["accuracy"].string_value.startswith("known anomaly found, 0 false alarms")
    assert (tmp_path / "build" / "trained" / anomaly.WEIGHTS).is_file()
