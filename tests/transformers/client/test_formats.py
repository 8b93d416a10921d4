"""Formats give back what they were given; tables are flat, and have one schema whatever was answered."""

import csv
import io

import pytest

from kserve_transformers.client.formats import FORMATS, Parquet, answered
from kserve_transformers.client.results import Request, Result

REQUEST = Request("detector", {"score_threshold": 0.5})
COMMON = {"service": "detector", "parameters": '{"score_threshold": 0.5}', "ms": 100.0, "thread": 0}
BOX = {"label": "cup", "confidence": 0.5, "bbox": [1, 2, 3, 4]}
FLAT_BOX = {"label": "cup", "confidence": 0.5, "x": 1, "y": 2, "width": 3, "height": 4}
CLASSES = [{"class": "a", "confidence": 60.5}, {"class": "b", "confidence": 9.0}]
ANSWERS = [
    pytest.param({"detections": [BOX, BOX]}, [FLAT_BOX, FLAT_BOX], id="boxes"),
    pytest.param({"detections": []}, [dict.fromkeys(FLAT_BOX)], id="no boxes"),
    pytest.param(
        {"model": "m", "fallback": True, "predictions": [{"label": "a", "score": 0.5}]},
        [{"model": "m", "fallback": True, "label": "a", "score": 0.5}],
        id="labels",
    ),
    pytest.param(
        {"status": "success", "predictions": CLASSES, "top_prediction": CLASSES[0]},
        [{"status": "success", **one} for one in CLASSES],
        id="cars",
    ),
    pytest.param({"predicted_digit": 5, "confidence": 0.5}, [{"predicted_digit": 5, "confidence": 0.5}], id="a digit"),
    pytest.param(
        [{"start": 0, "mae": 0.5, "anomaly": False, "reconstruction": [1.0]}],
        [{"start": 0, "mae": 0.5, "anomaly": False}],
        id="windows",
    ),
]


def records(*answers):
    return [REQUEST.record(Result(f"{at}.jpg", 0, 0.1, answer)) for at, answer in enumerate(answers)]


@pytest.mark.parametrize(("answer", "flat"), ANSWERS)
def test_tables_are_flat(answer, flat):
    (record,) = records(answer)
    wanted = [{"file": "0.jpg", **COMMON, **one, "error": None} for one in flat]
    assert Parquet().rows(record) == wanted
    assert Parquet().decode(Parquet().encode(wanted)) == wanted
    cells = list(csv.DictReader(io.StringIO(FORMATS["csv"]().encode(wanted).decode())))
    assert [one["file"] for one in cells] == ["0.jpg"] * len(flat)


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_answered_is_known_again(name):
    used = FORMATS[name]()
    failed = REQUEST.record(Result('bad, "quoted"\n.jpg', 1, 0.2, error="415"))
    rows = [
        row for record in [*records({"detections": [BOX]}, {"detections": []}), failed] for row in used.rows(record)
    ]
    assert answered(used.decode(used.encode(rows)), REQUEST) == {"0.jpg", "1.jpg"}


def test_one_schema_in_parts_with_and_without_boxes():
    with_boxes, without = (Parquet().encode(Parquet().rows(records({"detections": one})[0])) for one in ([BOX], []))
    from arro3.io import read_parquet

    schemas = [read_parquet(io.BytesIO(one)).schema for one in (with_boxes, without)]
    assert schemas[0] == schemas[1]
