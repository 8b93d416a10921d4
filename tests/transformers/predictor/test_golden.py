"""Golden samples: read from the model's folder, compared within their tolerance."""

import json

import numpy as np
import pytest
from PIL import Image

from kserve_transformers.predictor import TensorSpec
from kserve_transformers.predictor.golden import GoldenSample

SPEC = TensorSpec("images", "UINT8", (4, 6, 3))


@pytest.fixture
def model_dir(tmp_path):
    golden = tmp_path / "golden"
    golden.mkdir()
    Image.new("RGB", (6, 4), (1, 2, 3)).save(golden / "images.png")
    answer = {"outputs": {"scores": {"values": [0.9, 0.5], "atol": 0.01}}}
    (golden / "answer.json").write_text(json.dumps(answer))
    return tmp_path


def scores(*values):
    return {"scores": np.array([values], np.float32)}


def test_the_sample_is_a_batch_of_one(model_dir):
    sample = GoldenSample.load(model_dir, SPEC, "1")
    assert sample.batch.shape == (1, 4, 6, 3)
    assert sample.batch.dtype == np.uint8
    assert sample.batch[0, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("found", "precision"),
    [
        pytest.param(scores(0.9, 0.5), "fp32", id="the artefact's"),
        pytest.param(scores(0.8, 0.6), "int8", id="the network's"),
        pytest.param(scores(0.899, 0.501), "fp32", id="nearer to the artefact's"),
        pytest.param(scores(0.85, 0.55), None, id="neither"),
    ],
)
def test_an_answer_is_right_in_either_precision_and_says_in_which(model_dir, found, precision):
    (model_dir / "2" / "int8").mkdir(parents=True)
    answer = {"outputs": {"scores": {"values": [0.8, 0.6], "atol": 0.02}}}
    (model_dir / "2" / "int8" / "answer.json").write_text(json.dumps(answer))
    drift = GoldenSample.load(model_dir, SPEC, "2").drift(found)
    assert (drift.precision, drift.reason is None) == (precision, precision is not None)
    assert GoldenSample.load(model_dir, SPEC, "1").drift(scores(0.8, 0.6)).reason, (
        "another version's network counts not"
    )


def test_both_precisions_may_be_within_tolerance(model_dir):
    (model_dir / "1" / "int8").mkdir(parents=True)
    answer = {"outputs": {"scores": {"values": [0.902, 0.501], "atol": 0.01}}}
    (model_dir / "1" / "int8" / "answer.json").write_text(json.dumps(answer))
    sample = GoldenSample.load(model_dir, SPEC, "1")
    assert [sample.drift(scores(first, 0.5)).precision for first in (0.9002, 0.9018)] == ["fp32", "int8"]


def test_only_leading_rows_count_and_within_the_tolerance(model_dir):
    sample = GoldenSample.load(model_dir, SPEC, "1")
    assert sample.drift(scores(0.9, 0.5, 0.4)).reason is None
    drift = sample.drift(scores(0.909, 0.5))
    assert drift.reason is None
    assert drift.share == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        pytest.param(scores(0.9, 0.52), "off by 0.02, allowed 0.01", id="beyond the tolerance"),
        pytest.param(scores(0.9, np.nan), "off by nan", id="not a number"),
        pytest.param(scores(0.9), "shape", id="too short"),
        pytest.param({"other": np.zeros((1, 2))}, "missing", id="output missing"),
    ],
)
def test_drift_names_the_deviation(model_dir, outputs, reason):
    drift = GoldenSample.load(model_dir, SPEC, "1").drift(outputs)
    assert reason in drift.reason
    assert drift.share == np.inf


def test_a_series_comes_from_json(tmp_path):
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "windows.json").write_text("[1.5, 2.5]")
    (tmp_path / "golden" / "answer.json").write_text('{"outputs": {}}')
    sample = GoldenSample.load(tmp_path, TensorSpec("windows", "FP32", (2,)), "1")
    assert sample.batch.tolist() == [[1.5, 2.5]]


def test_a_sample_of_another_shape_is_refused(model_dir):
    with pytest.raises(ValueError, match="reshape"):
        GoldenSample.load(model_dir, TensorSpec("images", "UINT8", (5, 6, 3)), "1")


def test_a_missing_sample_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        GoldenSample.load(tmp_path, SPEC, "1")
