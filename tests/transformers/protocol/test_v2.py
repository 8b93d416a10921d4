"""The Open Inference Protocol: JSON and binary form, written by Triton's own client and by hand."""

import base64

import numpy as np
import orjson
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from kserve_transformers.errors import BadRequestError, NotFoundError
from kserve_transformers.protocol.requests import InstanceKind, ServiceRequest
from kserve_transformers.protocol.v2 import InferRequest, OutputChoice, parse_infer_request, render_infer_response

IMAGE, WINDOW = InstanceKind.IMAGE, InstanceKind.WINDOW
IMAGES = (b"\xff\xd8\xff\x00first", b"second\x80")
TENSORS = {
    "label": np.array([b"cat", "Köter".encode()], object),
    "score": np.array([0.5, 0.25], np.float32),
    "fallback": np.array([True, False]),
    "image_index": np.zeros(0, np.int32),
}


def from_client(inputs, outputs=None):
    """Body and JSON length as Triton's client writes them."""
    return InferenceServerClient.generate_request_body(inputs, outputs=outputs)


def image_input(binary, images=IMAGES):
    tensor = InferInput("image", [len(images)], "BYTES")
    array = np.array(images, object)
    tensor.set_data_from_numpy(array, binary_data=True)
    return tensor


def document(**changes):
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(IMAGES[0]).decode()]}
    return orjson.dumps({"inputs": [tensor | changes]})


def test_binary_images_of_tritons_client():
    body, length = from_client([image_input(binary=True)])
    assert parse_infer_request(IMAGE, body, str(length)).request.instances == IMAGES


def test_json_images_are_base64():
    assert parse_infer_request(IMAGE, document(), None).request.instances == IMAGES[:1]


def test_json_images_may_be_nested_and_shaped_n_by_one():
    data = [[base64.b64encode(image).decode()] for image in IMAGES]
    assert parse_infer_request(IMAGE, document(shape=[2, 1], data=data), None).request.instances == IMAGES


@pytest.mark.parametrize("binary", [True, False])
def test_windows(binary):
    windows = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = InferInput("window", [2, 3], "FP32")
    tensor.set_data_from_numpy(windows, binary_data=binary)
    body, length = from_client([tensor])
    parsed = parse_infer_request(WINDOW, body, str(length) if length else None)
    np.testing.assert_array_equal(np.stack(parsed.request.instances), windows)


def test_options_are_passed_on_and_the_protocols_own_parameters_are_not():
    body = orjson.dumps(orjson.loads(document()) | {"parameters": {"score_threshold": 0.1, "binary_data_output": True}})
    parsed = parse_infer_request(IMAGE, body, None)
    assert parsed.request.parameters == {"score_threshold": 0.1}
    assert parsed.outputs.default_binary


def changed(**keys):
    return orjson.dumps(orjson.loads(document()) | keys)


def test_null_is_absent():
    body = changed(id=None, parameters=None, outputs=None, model_name=None, model_version=None)
    nulls = orjson.loads(document(parameters=None))["inputs"]
    parsed = parse_infer_request(IMAGE, orjson.dumps(orjson.loads(body) | {"inputs": nulls}), None, "digits")
    assert parsed == parse_infer_request(IMAGE, document(), None, "digits")
    assert parsed.outputs == OutputChoice({}, default_binary=False)


@pytest.mark.parametrize("version", ["", "1", 1])
def test_the_body_may_repeat_the_service_and_its_version(version):
    body = changed(model_name="digits", model_version=version)
    assert parse_infer_request(IMAGE, body, None, "digits").request.instances == IMAGES[:1]


def test_another_version():
    with pytest.raises(NotFoundError, match="no version '9'"):
        parse_infer_request(IMAGE, changed(model_version="9"), None, "digits")


def test_the_timeout_of_the_body():
    assert parse_infer_request(IMAGE, changed(parameters={"timeout": 2500}), None).request.timeout_s == 0.0025


@pytest.mark.parametrize("prefix", [b"", len(IMAGES[0]).to_bytes(4, "little")], ids=["bare", "with its length"])
def test_a_raw_binary_request_of_an_image(prefix):
    parsed = parse_infer_request(IMAGE, prefix + IMAGES[0], "0")
    assert parsed.request.instances == IMAGES[:1]
    assert parsed.outputs.default_binary


def test_a_raw_binary_request_of_a_window():
    window = np.arange(5, dtype="<f4")
    np.testing.assert_array_equal(parse_infer_request(WINDOW, window.tobytes(), "0").request.instances, [window])
    with pytest.raises(BadRequestError, match="no multiple of 4"):
        parse_infer_request(WINDOW, window.tobytes()[:-1], "0")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(changed(score_threshold=0.5), "'score_threshold' in the body: .*\"parameters\"", id="option"),
        pytest.param(changed(paramters={}), "'paramters' in the body", id="misspelt"),
        pytest.param(document(score_threshold=0.5), "'score_threshold' in the input", id="option of an input"),
        pytest.param(changed(outputs=[{"name": "label", "classification": 3}]), "in an output", id="misplaced"),
        pytest.param(
            changed(outputs=[{"name": "a", "parameters": {"classification": 3}}]), "not offered", id="classes"
        ),
        pytest.param(document(parameters={"shared_memory_region": "r"}), "shared memory", id="shared memory"),
        pytest.param(changed(model_name="cars"), "the route is of digits", id="another service"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(body, message):
    with pytest.raises(BadRequestError, match=message):
        parse_infer_request(IMAGE, body, None, "digits")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="not json"),
        pytest.param(b"[]", id="not an object"),
        pytest.param(b"{}", id="no inputs"),
        pytest.param(document(name="picture"), id="another name"),
        pytest.param(document(datatype="UINT8"), id="another datatype"),
        pytest.param(document(shape=[2]), id="more elements than data"),
        pytest.param(document(shape=[0], data=[]), id="no elements"),
        pytest.param(document(shape=[-1]), id="negative size"),
        pytest.param(document(shape=[1.0]), id="a size that is no integer"),
        pytest.param(document(shape="1"), id="a shape that is no list"),
        pytest.param(document(shape=[1, 2]), id="another rank"),
        pytest.param(document(data=[5]), id="a number for an image"),
        pytest.param(document(data=["*"]), id="damaged base64"),
        pytest.param(document(data=None), id="no data"),
        pytest.param(document(parameters={"binary_data_size": 4}), id="data and binary size"),
        pytest.param(orjson.dumps({"inputs": [1]}), id="an input that is no object"),
        pytest.param(orjson.dumps(orjson.loads(document()) | {"id": 7}), id="an id that is no string"),
        pytest.param(orjson.dumps(orjson.loads(document()) | {"outputs": [5]}), id="an output that is no object"),
        pytest.param(orjson.dumps(orjson.loads(document()) | {"parameters": 5}), id="parameters that are no object"),
    ],
)
def test_malformed_json(body):
    with pytest.raises(BadRequestError):
        parse_infer_request(IMAGE, body, None)


@pytest.mark.parametrize("length", ["x", "-1", "999999999", "10", "²"])
def test_a_wrong_json_length(length):
    body, _ = from_client([image_input(binary=True)])
    with pytest.raises(BadRequestError):
        parse_infer_request(IMAGE, body, length)


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_binary_data_that_is_cut_off(cut):
    body, length = from_client([image_input(binary=True)])
    with pytest.raises(BadRequestError):
        parse_infer_request(IMAGE, body[:-cut], str(length))


def test_a_bytes_element_that_lies_about_its_length():
    body, length = from_client([image_input(binary=True, images=(b"abcd",))])
    lying = body[:length] + (2**31).to_bytes(4, "little") + body[length + 4 :]
    with pytest.raises(BadRequestError):
        parse_infer_request(IMAGE, lying, str(length))


def respond(outputs, default_binary, request_id=""):
    request = InferRequest(request_id, ServiceRequest(()), OutputChoice(outputs, default_binary))
    body, headers = render_infer_response("classifier", request, TENSORS, {"warning": "careful"})
    return body, headers


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_reads_the_answer(binary):
    body, headers = respond({}, binary, "seven")
    length = headers.get("inference-header-content-length")
    result = InferenceServerClient.parse_response_body(body, header_length=int(length) if length else None)
    answer = result.get_response()
    assert answer["id"] == "seven"
    assert answer["parameters"] == {"warning": "careful"}
    for name, array in TENSORS.items():
        got = result.as_numpy(name)
        expected = array if binary or array.dtype != object else np.array([v.decode() for v in array], object)
        assert got.tolist() == expected.tolist()
        assert got.shape == array.shape


def test_only_the_outputs_asked_for_in_the_form_asked_for():
    body, length = from_client(
        [image_input(binary=True)],
        [InferRequestedOutput("score", binary_data=True), InferRequestedOutput("label", binary_data=False)],
    )
    asked = parse_infer_request(IMAGE, body, str(length))
    answer, headers = render_infer_response("classifier", asked, TENSORS, {})
    document = orjson.loads(answer[: int(headers["inference-header-content-length"])])
    assert [output["name"] for output in document["outputs"]] == ["score", "label"]
    assert document["outputs"][1]["data"] == ["cat", "Köter"]


def test_an_output_that_is_not_there():
    with pytest.raises(BadRequestError, match="no output 'mask': there are label, score"):
        respond({"mask": False}, False)
