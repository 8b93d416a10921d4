"""Answers of every task are read, paired and compared."""

import numpy as np
import pytest

from kserve_transformers.judging.answers import Answer, difference, read_answer, recorded_answer


def boxes(*found: tuple[str, float, tuple[float, float, float, float]]) -> Answer:
    labels, scores, places = zip(*found, strict=True) if found else ((), (), ())
    return Answer(tuple(labels), np.array(scores), np.array(places, np.float32).reshape(-1, 4))


CUP = ("cup", 0.5, (0.0, 0.0, 10.0, 10.0))


@pytest.mark.parametrize(
    ("outputs", "labels", "scores", "measure"),
    [
        pytest.param(
            {"label": [[b"cat", b"dog"]], "score": [[0.6, 0.4]]}, ("cat", "dog"), [0.6, 0.4], "score", id="labels"
        ),
        pytest.param({"digit": [5], "confidence": [0.9]}, ("5",), [0.9], "score", id="digit"),
        pytest.param({"mae": [0.1], "threshold": [1.0], "anomaly": [False]}, ("not anomaly",), [0.1], "error", id="no"),
        pytest.param({"mae": [1.2], "threshold": [1.0], "anomaly": [True]}, ("anomaly",), [1.2], "error", id="anomaly"),
    ],
)
def test_outputs_are_read(outputs, labels, scores, measure):
    arrays = {name: np.array(v, np.float32 if isinstance(v[0], float) else None) for name, v in outputs.items()}
    answer = read_answer(arrays)
    assert (answer.labels, answer.boxes, answer.measure) == (labels, None, measure)
    assert answer.scores == pytest.approx(scores)


def test_detections_are_read_as_corners():
    answer = read_answer({"box": np.array([[1, 2, 3, 4]]), "score": np.array([0.5]), "label": np.array([b"cup"])})
    assert answer.labels == ("cup",)
    assert answer.boxes.tolist() == [[1, 2, 4, 6]]


@pytest.mark.parametrize(
    ("new", "agreed", "count", "ious", "only_old", "only_new"),
    [
        pytest.param([CUP], 2, 2, [1.0], (), (), id="the same box"),
        pytest.param([("cup", 0.5, (0, 0, 10, 5))], 2, 2, [0.5], (), (), id="IoU right at the threshold"),
        pytest.param([("cup", 0.5, (0, 0, 10, 4.9))], 0, 2, [], ("cup",), ("cup",), id="IoU below it"),
        pytest.param([("bowl", 0.5, CUP[2])], 0, 2, [], ("cup",), ("bowl",), id="another label in the same place"),
        pytest.param([], 0, 1, [], ("cup",), (), id="nothing"),
        pytest.param(
            [("cup", 0.9, (0, 0, 10, 6)), CUP],
            2,
            3,
            [1.0],
            (),
            ("cup",),
            id="the box with the larger IoU, not the larger score",
        ),
    ],
)
def test_boxes_are_paired(new, agreed, count, ious, only_old, only_new):
    found = difference(boxes(CUP), boxes(*new))
    assert (found.agreed, found.count) == (agreed, count)
    assert found.ious == pytest.approx(ious)
    assert (found.only_old, found.only_new) == (only_old, only_new)


def test_two_empty_answers_agree():
    found = difference(boxes(), boxes())
    assert (found.count, found.rank) == (0, (1.0, 0.0))


def test_the_best_labels_decide_and_their_scores_shift():
    old = Answer(("cat", "dog"), np.array([0.6, 0.4]))
    assert difference(old, Answer(("cat", "cow"), np.array([0.8, 0.1]))).shifts == (pytest.approx(0.2),)
    other = difference(old, Answer(("dog", "cat"), np.array([0.6, 0.4])))
    assert (other.agreed, other.count, other.shifts) == (0, 1, ())
    assert other.rank < difference(old, old).rank


@pytest.mark.parametrize(
    ("prediction", "labels", "scores", "boxes", "measure"),
    [
        pytest.param(
            {"detections": [{"label": "cup", "confidence": 0.5, "bbox": [1, 2, 3, 4]}], "warning": "untrained"},
            ("cup",),
            [0.5],
            [[1, 2, 4, 6]],
            "score",
            id="detections",
        ),
        pytest.param({"detections": []}, (), [], [], "score", id="no detection"),
        pytest.param(
            {"model": "m", "fallback": False, "predictions": [{"label": "cat", "score": 0.6}]},
            ("cat",),
            [0.6],
            None,
            "score",
            id="classes",
        ),
        pytest.param(
            {"status": "success", "predictions": [{"class": "Audi", "confidence": 60.0}], "top_prediction": {}},
            ("Audi",),
            [0.6],
            None,
            "score",
            id="classes in per cent",
        ),
        pytest.param({"predicted_digit": 5, "confidence": 1.0}, ("5",), [1.0], None, "score", id="digit"),
        pytest.param(
            {"mae": 0.0, "threshold": 0.8, "anomaly": False}, ("not anomaly",), [0.0], None, "error", id="no anomaly"
        ),
        pytest.param({"mae": 1.2, "threshold": 0.8, "anomaly": True}, ("anomaly",), [1.2], None, "error", id="anomaly"),
    ],
)
def test_recorded_predictions_are_read(prediction, labels, scores, boxes, measure):
    answer = recorded_answer(prediction)
    assert (answer.labels, answer.measure, answer.model) == (labels, measure, prediction.get("model"))
    assert answer.scores == pytest.approx(scores)
    assert boxes is None if answer.boxes is None else answer.boxes.tolist() == boxes


@pytest.mark.parametrize("prediction", [{}, {"name": "x"}, {"score": 0.5}, {"detections": [{}]}, {"predictions": [1]}])
def test_predictions_of_no_known_form_are_refused(prediction):
    with pytest.raises(ValueError, match="no label and score"):
        recorded_answer(prediction)
