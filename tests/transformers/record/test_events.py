"""Events have KServe's types and attributes, and hold an image only by consent; a reader gives back what was kept."""

import hashlib
import json

import cloudevents.http
import numpy as np
import pytest

from kserve_transformers.observe import Ended, Exchange
from kserve_transformers.record.events import REQUEST, RESPONSE, WINDOW_TYPE, Origin, render
from kserve_transformers.record.folder import FolderSink
from kserve_transformers.record.reading import Reader

ORIGIN = Origin("detector-canary-predictor-x1", "vision")
IMAGE = b"\x89PNG\r\n\x1a\n and so on"
PREDICTIONS = [{"predicted_digit": 5, "confidence": 0.98}]
DONE = Ended("digits", "v1", "200", 0.25)


def exchange(instances=(IMAGE,), **told):
    answered = {"model": "mnist", "release": "2026-1", "predictions": lambda: PREDICTIONS, "measured": [{"width": 28}]}
    return Exchange("id-1", {"traceparent": "00-a"}, True, 1.5, instances, {"top": 3}, **{**answered, **told})


def test_both_events_have_the_attributes_of_kserves_logger_and_ours():
    lines = render(exchange(), DONE, ORIGIN, -1).splitlines()
    request, response = (cloudevents.http.from_json(line) for line in lines)
    for event, kind, time in (
        (request, REQUEST, "1970-01-01T00:00:01.5"),
        (response, RESPONSE, "1970-01-01T00:00:01.75"),
    ):
        assert (
            dict(event.get_attributes()).items()
            >= {
                "id": "id-1",
                "type": kind,
                "source": "http://detector-canary-predictor-x1/digits",
                "inferenceservicename": "digits",
                "namespace": "vision",
                "component": "transformer",
                "endpoint": "canary",
                "metadata": '{"traceparent": ["00-a"]}',
                "protocol": "v1",
                "status": "200",
                "durationus": 250_000,
                "model": "mnist",
                "release": "2026-1",
                "datacontenttype": "application/json",
            }.items()
        )
        assert event["time"].startswith(time)
        assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in event.get_attributes())
    digest = hashlib.sha256(IMAGE).hexdigest()
    described = {"sha256": digest, "bytes": len(IMAGE), "type": "image/png", "width": 28}
    assert request.data == {"instances": [described], "parameters": {"top": 3}}
    assert response.data == {"predictions": PREDICTIONS}


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        pytest.param(Ended("digits", "v1", "415", 0.1), {"predictions": None}, id="refused"),
        pytest.param(
            Ended("digits", "grpc", "RESOURCE_EXHAUSTED", 0.1), {"predictions": None, "model": None}, id="busy"
        ),
        pytest.param(Ended("digits", "own", "gone", 0.1), {}, id="answered, but nobody was there"),
    ],
)
def test_a_request_without_an_answer_is_recorded_with_its_status_alone(ended, told):
    events = [json.loads(line) for line in render(exchange(**told), ended, ORIGIN, 10**6).splitlines()]
    assert [event["status"] for event in events] == [ended.outcome] * 2
    assert not [event for event in events if "data" in event]


WINDOW = np.array([0.5, -2.0], np.float32)


@pytest.mark.parametrize(
    ("instances", "limit", "contents"),
    [
        pytest.param((IMAGE,), -1, None, id="no consent"),
        pytest.param((IMAGE,), len(IMAGE), [IMAGE], id="consent"),
        pytest.param((IMAGE,), len(IMAGE) - 1, None, id="too large"),
        pytest.param((b"", IMAGE), 3, None, id="one of two too large"),
        pytest.param((WINDOW,), 8, [WINDOW.tobytes()], id="window"),
        pytest.param((WINDOW,), -1, None, id="window without consent"),
    ],
)
def test_a_reader_gives_back_what_was_recorded(tmp_path, instances, limit, contents):
    measured = [{}] * len(instances)
    FolderSink(tmp_path, 1, 10**6).write(
        "digits", [render(exchange(instances, measured=measured), DONE, ORIGIN, limit)]
    )
    reader = Reader(str(tmp_path), "digits")
    (found,) = reader
    assert found.contents() == contents
    assert (found.request_id, found.status, found.began, found.seconds) == ("id-1", "200", 1.5, 0.25)
    assert (found.model, found.release, found.parameters) == ("mnist", "2026-1", {"top": 3})
    assert found.predictions == PREDICTIONS
    assert (instances[0] is WINDOW) == (found.instances[0]["type"] == WINDOW_TYPE)
    assert (reader.torn, reader.alone) == (0, 0)
    assert not list(Reader(str(tmp_path), "cars"))


@pytest.mark.parametrize("kept", [pytest.param(0.25, id="in the request"), pytest.param(0.75, id="in the answer")])
def test_a_torn_last_line_is_skipped_and_counted(tmp_path, kept):
    whole = render(exchange(), DONE, ORIGIN, 100)
    sink = FolderSink(tmp_path, 1, 10**6)
    sink.write("digits", [whole, whole, whole[: int(len(whole) * kept)]])
    FolderSink(tmp_path, 1, 10**6).write("digits", [whole])
    reader = Reader(str(tmp_path))
    assert len(list(reader)) == 3
    assert (reader.torn, reader.alone) == (1, 0 if kept < 0.5 else 1)


def test_lines_of_something_else_are_counted(tmp_path):
    FolderSink(tmp_path, 1, 10**6).write("digits", [b"[1]\n{}\nno json\n" + render(exchange(), DONE, ORIGIN, -1)])
    reader = Reader(str(tmp_path))
    assert len(list(reader)) == 1
    assert reader.torn == 3


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="name the folder of a record"):
        list(Reader(str(tmp_path / "none")))
