"""The protocol's own parameters, which REST and gRPC read by one table."""

import pytest

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.parameters import (
    INPUT,
    OUTPUT,
    REQUEST,
    split_parameters,
    tensor_parameters,
    timeout_s,
)


@pytest.mark.parametrize(
    "given",
    [
        {"timeout": 5, "priority": 2**64 - 1, "sequence_id": 7, "sequence_start": True, "sequence_end": False},
        {"sequence_id": "a"},
        {"binary_data_output": True, "triton_enable_empty_final_response": True},
    ],
)
def test_they_are_kept_apart_from_options(given):
    assert split_parameters({**given, "score_threshold": 0.5}) == (given, {"score_threshold": 0.5})


def test_null_is_absent():
    assert split_parameters(dict.fromkeys(REQUEST)) == ({}, {})
    assert tensor_parameters("input 'image'", {"binary_data_size": None}, INPUT) == {}


@pytest.mark.parametrize(
    "given",
    [
        {"timeout": -1},
        {"timeout": 1.5},
        {"timeout": "5"},
        {"timeout": True},
        {"priority": 2**64},
        {"sequence_id": 1.0},
        {"sequence_start": 1},
        {"binary_data_output": "yes"},
    ],
)
def test_values_that_they_do_not_take(given):
    (name,) = given
    with pytest.raises(BadRequestError, match=f"^{name} must be"):
        split_parameters(given)


@pytest.mark.parametrize(
    ("own", "seconds"), [({}, None), ({"timeout": 0}, None), ({"timeout": 1}, 1e-6), ({"timeout": 2_500_000}, 2.5)]
)
def test_the_timeout_is_in_microseconds(own, seconds):
    assert timeout_s(own) == seconds


@pytest.mark.parametrize(
    ("given", "known", "message"),
    [
        ({"shared_memory_region": "r"}, INPUT, "input 'a' takes no parameter 'shared_memory_region': shared memory is"),
        ({"shared_memory_byte_size": None}, OUTPUT, "shared memory is not offered"),
        ({"classification": 3}, OUTPUT, "the classification extension is not offered"),
        ({"binary_data": True}, INPUT, "there is binary_data_size"),
        ({"content_type": "np"}, INPUT, "takes no parameter 'content_type'"),
        ({"binary_data_size": -4}, INPUT, "binary_data_size must be an integer from 0"),
    ],
)
def test_parameters_of_tensors_that_are_not_honoured_are_refused(given, known, message):
    with pytest.raises(BadRequestError, match=message):
        tensor_parameters("input 'a'", given, known)
