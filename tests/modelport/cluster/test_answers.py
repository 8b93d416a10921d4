"""What is sent to a service in every protocol, and which answers are right."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from kserve_transformers.service_spec import ServiceSpec
from modelport.cluster.answers import GRPC, Best, agreement, judge, sample_of

CUP = Best("cup", 0.6)


def answer(document: Any, status: str = "200") -> dict[str, Any]:
    return {"status": status, "body": base64.b64encode(json.dumps(document).encode()).decode(), "headers": {}}


def v2(**outputs: tuple[str, list[int], list[Any]]) -> dict[str, Any]:
    told = [{"name": name, "datatype": t, "shape": shape, "data": data} for name, (t, shape, data) in outputs.items()]
    return {"outputs": told}


@pytest.mark.parametrize(
    ("document", "best"),
    [
        pytest.param(
            {"detections": [{"label": "cup", "confidence": 0.6, "bbox": [1, 2, 3, 4]}]}, CUP, id="legacy detector"
        ),
        pytest.param({"predictions": [{"detections": [{"label": "cup", "confidence": 0.6}]}]}, CUP, id="V1 detector"),
        pytest.param(
            {"model": "m", "fallback": False, "predictions": [{"label": "cup", "score": 0.6}]},
            CUP,
            id="legacy classifier",
        ),
        pytest.param(
            {"predictions": [{"model": "m", "predictions": [{"label": "cup", "score": 0.6}]}]}, CUP, id="V1 classifier"
        ),
        pytest.param(
            {"status": "success", "predictions": [], "top_prediction": {"class": "cup", "confidence": 60.0}},
            CUP,
            id="cars",
        ),
        pytest.param({"predictions": [{"top_prediction": {"class": "cup", "confidence": 60.0}}]}, CUP, id="V1 cars"),
        pytest.param({"predicted_digit": 5, "confidence": 0.98}, Best("5", 0.98), id="digits"),
        pytest.param(
            {"predictions": [{"mae": 0.2, "threshold": 1, "anomaly": False}]}, Best("False", 0.2), id="anomaly"
        ),
        pytest.param(
            v2(box=("FP32", [1, 4], [0, 0, 1, 1]), score=("FP32", [1], [0.6]), label=("BYTES", [1], ["cup"])),
            Best("cup", 0.6),
            id="V2 detector",
        ),
        pytest.param(
            v2(label=("BYTES", [1, 2], ["cup", "pot"]), score=("FP32", [1, 2], [0.6, 0.1])), CUP, id="V2 classifier"
        ),
        pytest.param(v2(digit=("INT32", [1], [5]), confidence=("FP32", [1], [0.98])), Best("5", 0.98), id="V2 digits"),
        pytest.param(
            v2(mae=("FP32", [1], [0.2]), threshold=("FP32", [1], [1]), anomaly=("BOOL", [1], [False])),
            Best("False", 0.2),
            id="V2 anomaly",
        ),
    ],
)
def test_the_best_result_in_every_form(document, best):
    found = judge(answer(document), "any")
    assert found.label == best.label
    assert found.score == pytest.approx(best.score)


def test_grpc():
    response = service_pb2.ModelInferResponse()
    response.outputs.add(name="label", datatype="BYTES", shape=[1, 2])
    response.outputs.add(name="score", datatype="FP32", shape=[1, 2])
    labels = b"".join(len(text).to_bytes(4, "little") + text for text in (b"cup", b"pot"))
    response.raw_output_contents.extend([labels, np.array([0.6, 0.1], "<f4").tobytes()])
    body = base64.b64encode(response.SerializeToString()).decode()
    assert judge({"status": "200", "body": body}, GRPC).label == "cup"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (answer({"error": "busy"}, "429"), "429"),
        ({"status": "unreachable", "error": "refused", "body": ""}, "unreachable refused"),
        (answer({"predictions": []}), "the answer has no"),
        (answer({"detections": []}), "the answer has no"),
    ],
)
def test_no_answer_and_no_result_are_errors(given, message):
    with pytest.raises(ValueError, match=message):
        judge(given, "V1")


@pytest.mark.parametrize(
    ("found", "expected", "wrong"),
    [
        ({"V1": CUP, "V2": Best("cup", 0.6004)}, CUP, ""),
        ({"V1": CUP, "V2": Best("cup", 0.61)}, CUP, "V2 answers cup 0.6100"),
        ({"V1": CUP, "V2": Best("pot", 0.6)}, None, "V2 answers pot"),
        ({"V1": Best("pot", 0.6)}, CUP, "expected cup"),
        ({"V1": Best("cup", 0.9)}, CUP, "expected 0.6"),
        ({"V1": Best("pot", 0.1)}, None, ""),
    ],
)
def test_protocols_agree_with_one_another_and_with_the_golden_answer(found, expected, wrong):
    assert wrong in agreement(found, expected)
    assert bool(agreement(found, expected)) == bool(wrong)


def write_model(folder: Path, weights: str) -> None:
    (folder / "golden").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(f'parameters {{ key: "weights" value {{ string_value: "{weights}" }} }}\n')
    (folder / "labels.txt").write_text("pot\ncup\n")
    (folder / "golden" / "images__0.png").write_bytes(b"\x89PNG of " + folder.name.encode())
    values = {"probabilities__0": {"values": [0.2, 0.8], "atol": 0.01}}
    (folder / "golden" / "answer.json").write_text(json.dumps({"outputs": values}))


def test_the_sample_is_that_of_the_model_that_answers(tmp_path):
    write_model(tmp_path / "large", "untrained")
    write_model(tmp_path / "small", "trained")
    sample = sample_of(ServiceSpec("things", "classification", ("large", "small")), tmp_path)
    assert sample.model == "small"
    assert sample.expected == Best("cup", 0.8)
    assert set(sample.requests) == {"legacy route", "V1", "V1 image body", "V2", "V2 binary", GRPC}
    assert base64.b64decode(sample.requests["V1 image body"]["body"]) == b"\x89PNG of small"
    untrained = sample_of(ServiceSpec("things", "classification", ("large",)), tmp_path)
    assert untrained.expected is None
