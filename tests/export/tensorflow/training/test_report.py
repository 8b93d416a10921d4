"""Reports count right and draw what they are given."""

import json

import cv2
import numpy as np
import pytest

from exporters import training_record
from exporters.training.report import confusion_matrix, draw_confusion, draw_errors, draw_history, write_record
from exporters.training_record import TrainingRecord


def test_a_confusion_matrix_has_true_classes_in_rows():
    matrix = confusion_matrix(np.array([0, 0, 1, 2, 2]), np.array([0, 2, 1, 2, 0]), 3)

    np.testing.assert_array_equal(matrix, [[1, 0, 1], [0, 1, 0], [1, 0, 1]])


def test_the_report_is_the_record_and_more_numbers(tmp_path):
    weights = tmp_path / "m.weights.h5"
    weights.write_bytes(b"numbers")

    write_record(TrainingRecord("m", accuracy="50 %"), weights, tmp_path / "new", history={"loss": [1, 0.5]})

    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert report.pop("history") == {"loss": [1, 0.5]}
    assert report == json.loads((tmp_path / "m_record.json").read_text())
    record = training_record.read("m", weights)
    assert record is not None, "it belongs to these weights"
    assert (record.accuracy, record.weights_sha256) == ("50 %", report["weights_sha256"])


@pytest.mark.parametrize("classes", [pytest.param(2, id="with counts"), pytest.param(196, id="too many for counts")])
def test_a_confusion_image_shows_the_diagonal_dark(classes, tmp_path):
    draw_confusion(tmp_path / "c.png", np.eye(classes, dtype=np.int64) * 9, [str(n) for n in range(classes)], "9 of 9")

    pixels = cv2.imread(str(tmp_path / "c.png"), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    height, width = pixels.shape
    corner = pixels[height // 5 : height // 3, 2 * width // 3 : 4 * width // 5]
    assert np.median(corner) > 200, "off the diagonal it is light"
    assert pixels.min() < 100


def test_error_and_history_images_are_drawn(tmp_path):
    errors = {"clean": np.float32([0.1, 0.2, 0.3]), "none": np.float32([])}

    draw_errors(tmp_path / "e.png", errors, threshold=0.45, unit="mmHg")
    draw_history(tmp_path / "h.png", {"loss": [2.0, 1.0], "val_loss": [2.1, 1.5]}, ("loss",))

    for name in ("e.png", "h.png"):
        pixels = cv2.imread(str(tmp_path / name))
        assert pixels is not None
        assert pixels.std() > 5, f"{name} is not blank"
