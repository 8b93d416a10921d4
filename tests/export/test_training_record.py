"""A record belongs to the weights beside it, or it counts for nothing."""

import json

import pytest

from exporters import training_record
from exporters.errors import WeightsInvalidError
from exporters.files import content_sha256
from exporters.training_record import TrainingRecord


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "m.weights.h5"
    path.write_bytes(b"numbers")
    return path


def test_it_comes_back_as_it_was_written(weights):
    record = TrainingRecord(
        "m", content_sha256(weights), 7, 3, "99 %", {"a": "0f"}, {"right": 99}, ("x", "y"), {"t": "1"}
    )

    training_record.write(record, weights)

    assert training_record.read("m", weights) == record


def test_a_record_of_other_weights_is_not_believed(weights):
    training_record.write(TrainingRecord("m", content_sha256(weights), accuracy="99 %"), weights)
    weights.write_bytes(b"other numbers")

    assert training_record.read("m", weights) is None


def test_no_record_is_none(weights):
    assert training_record.read("m", weights) is None


def test_labels_may_be_written_by_hand(weights):
    weights.with_name("m_record.json").write_text('{"labels": ["b", "a"]}')

    assert training_record.read("m", weights) == TrainingRecord(labels=("b", "a"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no JSON"),
        pytest.param(json.dumps(["b", "a"]), id="a list"),
        pytest.param(json.dumps({"label": ["b", "a"]}), id="an unknown key"),
    ],
)
def test_anything_else_is_an_error_that_names_the_file(weights, text):
    weights.with_name("m_record.json").write_text(text)

    with pytest.raises(WeightsInvalidError, match=r"m_record\.json"):
        training_record.read("m", weights)
