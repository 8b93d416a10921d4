"""The Open Inference Protocol (V2) over gRPC: messages to requests and back."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.unknown_fields import UnknownFieldSet

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.parameters import INPUT, OUTPUT, split_parameters, tensor_parameters, timeout_s
from kserve_transformers.protocol.requests import InstanceKind, ServiceRequest, finite_window
from kserve_transformers.protocol.v2 import (
    MODEL_VERSION,
    check_outputs,
    check_shape,
    check_version,
    datatype_of,
    split_bytes,
    split_windows,
    to_raw,
)

# InferParameter's fields in Triton's grpc_service.proto that KServe's does not have, with their wire types: a double is
# 64 bits, an unsigned integer a varint.
_DOUBLE_PARAM, _FIXED_64 = 4, 1
_UINT64_PARAM, _VARINT = 5, 0


def parse_infer_request(kind: InstanceKind, request: Any) -> ServiceRequest:
    """Take a ModelInferRequest apart.

    Args:
        kind: of the instances that the service takes.
        request: the message, of KServe's or of Triton's generated code: one process can only have one of them.

    Raises:
        BadRequestError: it is not a request for this service.
        NotFoundError: it is for another version.
    """
    check_version(request.model_version)
    if len(request.inputs) != 1:
        raise BadRequestError(f"the request must have exactly one input, {kind.value!r}")
    tensor = request.inputs[0]
    shape = check_shape(kind, tensor.name, tensor.datatype, list(tensor.shape))
    own, options = split_parameters(_parameters(request))
    _check_raw_outputs(own.get("binary_data_output"))
    size = tensor_parameters(f"input {kind.value!r}", _parameters(tensor), INPUT).get("binary_data_size")
    if size is not None and size != sum(map(len, request.raw_input_contents)):
        raise BadRequestError(f"binary_data_size is {size}, which is not the size of raw_input_contents")
    for output in request.outputs:
        known = tensor_parameters(f"output {output.name[:40]!r}", _parameters(output), OUTPUT)
        _check_raw_outputs(known.get("binary_data"))
    return ServiceRequest(_instances(kind, request, shape), options, timeout_s(own))


def render_infer_response(
    response: Any, request: Any, tensors: Mapping[str, npt.NDArray[Any]], parameters: Mapping[str, str]
) -> Any:
    """Fill a ModelInferResponse; outputs are raw contents, which all clients read alike.

    Args:
        response: an empty message.
        request: the ModelInferRequest.
        tensors: outputs by name; BYTES as object arrays of bytes.
        parameters: of the answer, such as `warning`.

    Raises:
        BadRequestError: an output was requested that the service does not have.
    """
    wanted = [output.name for output in request.outputs] or list(tensors)
    check_outputs(wanted, tensors)
    response.model_name, response.model_version, response.id = request.model_name, MODEL_VERSION, request.id
    for name in wanted:
        array = tensors[name]
        response.outputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
        response.raw_output_contents.append(to_raw(array))
    for name, value in parameters.items():
        response.parameters[name].string_param = value
    return response


def _check_raw_outputs(binary: bool | None) -> None:
    if binary is False:
        raise BadRequestError("outputs are raw_output_contents over gRPC: leave binary_data_output and binary_data out")


def _parameters(message: Any) -> dict[str, Any]:
    """The parameters of a request, an input or an output."""
    return {name: _parameter(name, value) for name, value in message.parameters.items()}


def _parameter(name: str, value: Any) -> Any:
    """A parameter's value; KServe's proto is older than two of its types, which come as unknown fields."""
    choice = value.WhichOneof("parameter_choice")
    if choice is not None:
        return getattr(value, choice)
    for field in UnknownFieldSet(value):
        if (field.field_number, field.wire_type) == (_DOUBLE_PARAM, _FIXED_64):
            return struct.unpack("<d", field.data.to_bytes(8, "little"))[0]
        if (field.field_number, field.wire_type) == (_UINT64_PARAM, _VARINT):
            return field.data
    raise BadRequestError(f"parameter {name[:40]!r} has no value of a known type")


def _instances(kind: InstanceKind, request: Any, shape: list[int]) -> tuple[Any, ...]:
    contents = request.inputs[0].contents
    if request.raw_input_contents:
        if len(request.raw_input_contents) != 1 or request.inputs[0].HasField("contents"):
            raise BadRequestError("an input has either raw_input_contents or contents, once")
        raw = request.raw_input_contents[0]
        if kind is InstanceKind.WINDOW:
            return split_windows(raw, shape)
        try:
            return split_bytes(raw, shape[0])
        except BadRequestError as exc:
            raise BadRequestError(f"raw_input_contents: {exc}") from None
    values = contents.bytes_contents if kind is InstanceKind.IMAGE else contents.fp32_contents
    if len(values) != int(np.prod(shape)):
        raise BadRequestError(f"the input has {len(values)} elements, shape {shape} needs {int(np.prod(shape))}")
    if kind is InstanceKind.IMAGE:
        return tuple(values)
    return tuple(finite_window(np.array(values, np.float32).reshape(shape)))
