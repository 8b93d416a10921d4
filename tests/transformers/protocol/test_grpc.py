"""V2 over gRPC: messages of Triton's own client, as KServe's generated code reads them."""

import numpy as np
import pytest
import tritonclient.grpc as triton
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest
from tritonclient.grpc._utils import _get_inference_request

from kserve_transformers.errors import BadRequestError, NotFoundError
from kserve_transformers.protocol.grpc import parse_infer_request
from kserve_transformers.protocol.requests import InstanceKind

IMAGE = b"\xff\xd8\xff\x00first"


def message(outputs=(), version="", parameters=None, **more):
    """What Triton's client sends, in bytes, parsed by the code of KServe's older interface."""
    tensor = triton.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([IMAGE], object))
    defaults = {"request_id": "", "sequence_id": 0, "sequence_start": False, "sequence_end": False, "priority": 0}
    sent = _get_inference_request(
        model_name="digits",
        model_version=version,
        inputs=[tensor],
        outputs=list(outputs),
        parameters=parameters,
        **{**defaults, "timeout": None, **more},
    )
    return ModelInferRequest.FromString(sent.SerializeToString())


def parse(request):
    return parse_infer_request(InstanceKind.IMAGE, request)


@pytest.mark.parametrize("version", ["", "1"])
def test_tritons_own_parameters(version):
    own = {"priority": 2**63, "timeout": 1500, "sequence_id": 5, "sequence_start": True}
    parsed = parse(message(version=version, **own))
    assert parsed.instances == (IMAGE,)
    assert parsed.parameters == {}
    assert parsed.timeout_s == 0.0015


@pytest.mark.parametrize("value", [0.25, 7, True, "text"])
def test_options_of_every_type(value):
    assert parse(message(parameters={"option": value})).parameters == {"option": value}


def test_an_unsigned_option_that_kserves_interface_does_not_know():
    field_5_of_parameter = b"\x28" + b"\xff" * 9 + b"\x01"
    sent = message()
    sent.parameters["option"].MergeFromString(field_5_of_parameter)
    assert parse(sent).parameters == {"option": 2**64 - 1}


def changed(**tensors):
    sent = message()
    for name, value in tensors.items():
        sent.inputs[0].parameters[name].int64_param = value
    return sent


def without_prefix():
    sent = message()
    sent.raw_input_contents[0] = IMAGE
    return sent


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        pytest.param(message([triton.InferRequestedOutput("digit", class_count=2)]), "classification", id="classes"),
        pytest.param(changed(shared_memory_byte_size=4), "shared memory", id="shared memory"),
        pytest.param(changed(binary_data_size=4), "binary_data_size is 4", id="another size"),
        pytest.param(message(timeout=-1), "timeout must be", id="negative timeout"),
        pytest.param(without_prefix(), "raw_input_contents: .*length, an integer of 4 bytes", id="no length prefix"),
    ],
)
def test_what_is_not_honoured_is_refused(sent, text):
    with pytest.raises(BadRequestError, match=text):
        parse(sent)


def test_the_size_that_kserves_client_repeats():
    assert parse(changed(binary_data_size=4 + len(IMAGE))).instances == (IMAGE,)


@pytest.mark.parametrize("asked", [True, False])
def test_outputs_are_raw_or_refused(asked):
    sent = message([triton.InferRequestedOutput("digit")])
    sent.outputs[0].parameters["binary_data"].bool_param = asked
    sent.parameters["binary_data_output"].bool_param = True
    if asked:
        assert parse(sent).parameters == {}
    else:
        with pytest.raises(BadRequestError, match="raw_output_contents over gRPC"):
            parse(sent)


@pytest.mark.parametrize("version", ["7", "9", "01", "latest"])
def test_other_versions(version):
    with pytest.raises(NotFoundError, match="there is 1"):
        parse(message(version=version))
