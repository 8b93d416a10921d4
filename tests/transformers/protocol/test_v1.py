"""KServe's V1 protocol."""

import base64

import numpy as np
import orjson
import pytest

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.protocol.v1 import parse_v1

IMAGE = b"\x89PNG not really"
B64 = base64.b64encode(IMAGE).decode()


@pytest.mark.parametrize("instance", [{"image": {"b64": B64}}, {"image": B64}, {"b64": B64}, B64])
def test_the_forms_of_an_image(instance):
    request = parse_v1(InstanceKind.IMAGE, {"instances": [instance, instance]}, {})
    assert request.instances == (IMAGE, IMAGE)


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", "application/x-www-form-urlencoded"])
def test_a_raw_image(content_type):
    assert parse_v1(InstanceKind.IMAGE, IMAGE, {"content-type": content_type}).instances == (IMAGE,)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/x-www-form-urlencoded"])
def test_json_under_other_content_types(content_type):
    body = orjson.dumps({"instances": [B64], "parameters": {"score_threshold": 0.5}})
    request = parse_v1(InstanceKind.IMAGE, body, {"content-type": content_type})
    assert request.instances == (IMAGE,)
    assert request.parameters == {"score_threshold": 0.5}


@pytest.mark.parametrize("instance", [[1, 2.5, -3], {"window": [1, 2.5, -3]}])
def test_windows(instance):
    (window,) = parse_v1(InstanceKind.WINDOW, {"instances": [instance]}, {}).instances
    assert window.dtype == np.float32
    assert window.tolist() == [1, 2.5, -3]


def test_null_is_absent():
    payload = {"instances": [B64], "parameters": None, "signature_name": None}
    assert parse_v1(InstanceKind.IMAGE, payload, {}).parameters == {}


@pytest.mark.parametrize(
    "instance", [{"b64": B64, "nms": 1}, {"image": {"b64": B64, "nms": 1}}, {"image": B64, "nms": 1}]
)
def test_an_option_in_an_instance_is_refused_by_name(instance):
    with pytest.raises(BadRequestError, match="'nms' in an instance"):
        parse_v1(InstanceKind.IMAGE, {"instances": [instance]}, {})


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        pytest.param("image", {"inputs": []}, id="no instances"),
        pytest.param("image", {"instances": {}}, id="instances not a list"),
        pytest.param("image", {"instances": []}, id="no instance"),
        pytest.param("image", {"instances": [7]}, id="a number for an image"),
        pytest.param("image", {"instances": [{"image": {"url": "http://a/b.jpg"}}]}, id="an address for an image"),
        pytest.param("image", {"instances": [B64], "score_threshold": 1}, id="an option beside instances"),
        pytest.param("image", {"instances": [B64], "parameters": [1]}, id="parameters not an object"),
        pytest.param("image", [B64], id="a bare list"),
        pytest.param("window", b"\xff\xd8\xff", id="an image for a series"),
        pytest.param("window", {"instances": [[1, "2"]]}, id="a text in a window"),
        pytest.param("window", {"instances": [[1, True]]}, id="a truth value in a window"),
        pytest.param("window", {"instances": [[[1]]]}, id="a nested window"),
        pytest.param("window", {"instances": [[1e39]]}, id="too large for 32 bits"),
        pytest.param("window", {"instances": [5]}, id="a number for a window"),
    ],
)
def test_malformed(kind, payload):
    with pytest.raises(BadRequestError):
        parse_v1(
            InstanceKind(kind), payload, {"content-type": "application/json"} if isinstance(payload, bytes) else {}
        )


@pytest.mark.parametrize("sample", [3e38, -1.1e30])
def test_samples_that_overflow_inside_a_network_are_refused(sample):
    with pytest.raises(BadRequestError, match=r"a window holds a number beyond 1e\+30: send samples of a smaller"):
        parse_v1(InstanceKind.WINDOW, {"instances": [[0.5, sample]]}, {})


def test_the_largest_samples_are_taken():
    (window,) = parse_v1(InstanceKind.WINDOW, {"instances": [[1e30, -1e30]]}, {}).instances
    assert np.isfinite(window).all()
