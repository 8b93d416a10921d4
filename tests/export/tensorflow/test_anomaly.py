"""The exported autoencoder answers in the series' own unit, and its config has the threshold of its training."""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from exporters import anomaly, saved_model, training_record
from exporters.catalog import ANOMALY
from exporters.config import read_config
from exporters.errors import WeightsInvalidError
from exporters.repository import REPOSITORY
from exporters.samples import sample_values
from exporters.weights import Fetcher

TRAINED = Path(anomaly.__file__).parent / "trained" / anomaly.WEIGHTS


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository") / "anomaly"
    # over the tracked answer, which export leaves as it is where a processor only rounds otherwise
    shutil.copytree(REPOSITORY / "anomaly" / "golden", folder / "golden")
    with Fetcher([ANOMALY]) as fetcher:
        assert anomaly.export(ANOMALY, fetcher.obtain(ANOMALY), folder).changed
        assert not anomaly.export(ANOMALY, fetcher.obtain(ANOMALY), folder).changed
    return folder


def clean_window() -> npt.NDArray[np.float32]:
    """The golden window without its disturbance of 12 points: a line takes its place."""
    window = sample_values("anomaly", "windows").copy()
    window[25:41] = np.linspace(window[25], window[40], 16)
    return window


def test_the_error_is_the_mean_distance_of_window_and_reconstruction(exported):
    window = sample_values("anomaly", "windows")[np.newaxis]

    found = saved_model.answer(exported / "1" / saved_model.FILENAME, "windows", window)

    assert found["mae"].shape == (1, 1)
    assert found["mae"][0, 0] == pytest.approx(np.abs(window - found["reconstruction"]).mean(), abs=1e-5)


def test_the_golden_window_is_unusual_and_without_its_disturbance_it_is_not(exported):
    record = training_record.read("anomaly", TRAINED)
    assert record is not None
    windows = np.stack([sample_values("anomaly", "windows"), clean_window()])

    mae = saved_model.answer(exported / "1" / saved_model.FILENAME, "windows", windows)["mae"][:, 0]

    assert mae[0] > float(record.parameters["threshold"]) > mae[1]


def test_the_record_tells_a_found_anomaly_and_no_false_alarm():
    record = training_record.read("anomaly", TRAINED)
    assert record is not None
    assert record.score["anomaly_found"] is True
    assert record.score["false_alarms"] == 0


def test_the_tracked_files_are_what_export_writes(exported):
    for name in ("config.pbtxt", "golden/windows.json", "golden/answer.json"):
        assert (exported / name).read_bytes() == (REPOSITORY / "anomaly" / name).read_bytes()
    assert "threshold" in read_config(exported / "config.pbtxt").parameters


def test_weights_without_their_record_are_refused(tmp_path):
    shutil.copy(TRAINED, tmp_path)

    with Fetcher([ANOMALY], user_dir=tmp_path) as fetcher, pytest.raises(WeightsInvalidError, match="anomaly_record"):
        anomaly.export(ANOMALY, fetcher.obtain(ANOMALY), tmp_path / "anomaly")
