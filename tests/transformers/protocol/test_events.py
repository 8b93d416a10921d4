"""CloudEvents around V1, made by the library of CloudEvents itself, as KServe's own server takes them."""

import base64

import orjson
import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_http

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.events import answer_event, event_data
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.protocol.v1 import parse_v1

IMAGE = b"\x89PNG not really"
DOCUMENT = {"instances": [base64.b64encode(IMAGE).decode()], "parameters": {"score_threshold": 0.5}}
ATTRIBUTES = {"type": "a.type", "source": "a.source"}
PLAIN = {"content-type": "application/json"}


def request_of(headers, body):
    data, described = event_data(body, {name.lower(): value for name, value in headers.items()})
    return parse_v1(InstanceKind.IMAGE, data, described)


@pytest.mark.parametrize("mode", [to_structured, to_binary], ids=lambda mode: mode.__name__)
@pytest.mark.parametrize(
    ("attributes", "data", "parameters"),
    [
        pytest.param({}, DOCUMENT, DOCUMENT["parameters"], id="V1's JSON"),
        pytest.param({"datacontenttype": "image/png"}, IMAGE, {}, id="an image's own bytes"),
    ],
)
def test_events(mode, attributes, data, parameters):
    headers, body = mode(CloudEvent(ATTRIBUTES | attributes, data))
    request = request_of(headers, body)
    assert request.instances == (IMAGE,)
    assert request.parameters == parameters


def test_an_event_that_came_as_plain_json():
    event = {**ATTRIBUTES, "id": "1", "specversion": "1.0", "time": "2026-01-01T00:00:00Z", "data": DOCUMENT}
    assert request_of(PLAIN, orjson.dumps(event)).instances == (IMAGE,)
    assert answer_event("digits", {}, PLAIN) is None


@pytest.mark.parametrize("mode", [to_structured, to_binary], ids=lambda mode: mode.__name__)
def test_the_answer_is_an_event_in_the_same_mode(mode):
    asked, _ = mode(CloudEvent(ATTRIBUTES, DOCUMENT))
    headers, body = answer_event("digits", {"predictions": [1]}, asked)
    answer = from_http(headers, body)
    assert answer.data == {"predictions": [1]}
    assert answer["type"] == "io.kserve.inference.response"
    assert answer["source"] == "io.kserve.inference.digits"
    assert ("ce-id" in headers) == (mode is to_binary)
    assert headers["content-type"] == ("application/json" if mode is to_binary else "application/cloudevents+json")


@pytest.mark.parametrize(
    ("headers", "event", "message"),
    [
        ({}, [], "must be an object"),
        ({}, {"id": "1", "source": "s", "specversion": "1.0", "data": {}}, "no attribute 'type'"),
        ({}, {"id": "1", "source": "s", "specversion": "2.0", "type": "t", "data": {}}, "specversion 0.3 or 1.0"),
        ({}, {"id": "1", "source": "s", "specversion": "1.0", "type": "t"}, "no data"),
        ({}, {"id": "1", "source": "s", "specversion": "1.0", "type": "t", "data_base64": "*"}, "base64"),
        ({"ce-specversion": "1.0", "ce-id": "1", "content-type": "application/json"}, {}, "no attribute 'source'"),
    ],
)
def test_malformed_events(headers, event, message):
    with pytest.raises(BadRequestError, match=message):
        event_data(orjson.dumps(event), {"content-type": "application/cloudevents+json; charset=utf-8", **headers})
