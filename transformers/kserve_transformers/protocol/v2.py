"""The Open Inference Protocol (V2) over REST: JSON, and the binary form of Triton's binary data extension."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from kserve_transformers.errors import BadRequestError, NotFoundError
from kserve_transformers.protocol.base64 import decode_base64
from kserve_transformers.protocol.documents import check_keys, load_json
from kserve_transformers.protocol.parameters import INPUT, OUTPUT, split_parameters, tensor_parameters, timeout_s
from kserve_transformers.protocol.requests import InstanceKind, ServiceRequest, finite_window

JSON_LENGTH_HEADER = "inference-header-content-length"
# Of every service: its models' versions are in its metadata.
MODEL_VERSION = "1"
REQUEST_KEYS = ("id", "inputs", "outputs", "parameters", "model_name", "model_version")
INPUT_KEYS = ("name", "datatype", "shape", "data", "parameters")
OUTPUT_KEYS = ("name", "parameters")
_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "INT32": np.dtype("<i4"),
    "FP32": np.dtype("<f4"),
    "BYTES": np.dtype(np.object_),
}
_DATATYPES = {dtype: datatype for datatype, dtype in _DTYPES.items()}
_PREFIXED = "each element must follow its length, an integer of 4 bytes, little-endian"
_LENGTH = re.compile(r"[0-9]{1,12}", re.ASCII)
_INPUTS = {InstanceKind.IMAGE: ("BYTES", [-1]), InstanceKind.WINDOW: ("FP32", [-1, -1])}


@dataclass(frozen=True)
class OutputChoice:
    """Which outputs the caller wants, and in which form."""

    binary: Mapping[str, bool]  # output name to whether it goes in the binary form; empty means all outputs
    default_binary: bool  # the form of outputs when none is named


@dataclass(frozen=True)
class InferRequest:
    """A V2 request: the service's own part, and what the answer must repeat or respect."""

    id: str
    request: ServiceRequest
    outputs: OutputChoice


def input_type(kind: InstanceKind) -> dict[str, Any]:
    """The only input of a service, as V2's metadata says it."""
    datatype, shape = _INPUTS[kind]
    return {"name": kind.value, "datatype": datatype, "shape": shape}


def datatype_of(array: npt.NDArray[Any]) -> str:
    """The protocol's name of an array's dtype."""
    return _DATATYPES[array.dtype]


def check_version(version: str) -> None:
    """Check that a service has a version; an empty one means the default.

    Raises:
        NotFoundError: it has not.
    """
    if version not in ("", MODEL_VERSION):
        raise NotFoundError(f"no version {version[:40]!r} of the service: there is {MODEL_VERSION}")


def parse_infer_request(
    kind: InstanceKind, body: bytes, json_length: str | None, service: str | None = None
) -> InferRequest:
    """Take V2's wire format off.

    Args:
        kind: of the instances that the service takes.
        body: JSON, followed by the inputs' binary data where the binary form is used.
        json_length: the header `Inference-Header-Content-Length`, None in the JSON form; "0" says that the body is the
            raw data of the only input: one image, or one window.
        service: its name, which the body may repeat; None: any.

    Raises:
        BadRequestError: the body is not a V2 request for this service.
        NotFoundError: it is for another version.
        TooLargeError: the JSON has more lists, objects or values than any request needs.
    """
    header, binary = _split(body, json_length)
    if not header and json_length is not None:
        return InferRequest("", ServiceRequest((_raw_instance(kind, binary),)), OutputChoice({}, default_binary=True))
    document = load_json(header)
    if not isinstance(document, dict):
        raise BadRequestError("the body must be a JSON object with inputs")
    check_keys(document, REQUEST_KEYS, "the body")
    if service is not None and document.get("model_name") not in (None, service):
        raise BadRequestError(f'"model_name" is {str(document["model_name"])[:40]!r}, but the route is of {service}')
    if document.get("model_version") is not None:
        check_version(str(document["model_version"]))
    own, options = split_parameters(_object(document, "parameters"))
    tensor = _only_input(kind, document.get("inputs"))
    request = ServiceRequest(_instances(kind, tensor, binary), options, timeout_s(own))
    request_id = "" if document.get("id") is None else document["id"]
    if not isinstance(request_id, str):
        raise BadRequestError('"id" must be a string')
    return InferRequest(request_id, request, _output_choice(document, own.get("binary_data_output", False)))


def check_outputs(wanted: Collection[str], tensors: Mapping[str, Any]) -> None:
    """Check that the outputs that a caller names are there.

    Raises:
        BadRequestError: one is not.
    """
    unknown = sorted(set(wanted) - set(tensors))
    if unknown:
        raise BadRequestError(f"no output {unknown[0][:40]!r}: there are {', '.join(tensors)}")


def check_shape(kind: InstanceKind, name: object, datatype: object, shape: object) -> list[int]:
    """Check that a V2 input is the one that the service takes.

    Raises:
        BadRequestError: another name, datatype or rank.
    """
    wanted = f"input {kind.value!r} {_INPUTS[kind][0]} {'[N]' if kind is InstanceKind.IMAGE else '[N,L]'}"
    if name != kind.value or datatype != _INPUTS[kind][0]:
        raise BadRequestError(f"the request must have one {wanted}, found {str(name)[:40]!r} {str(datatype)[:20]}")
    if not isinstance(shape, list) or not all(type(side) is int and 0 <= side < 2**31 for side in shape):
        raise BadRequestError(f"{wanted}: the shape must be a list of sizes")
    fits = len(shape) == 2 if kind is InstanceKind.WINDOW else len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
    if not fits or min(shape) < 1:  # windows of no length would cost nothing to send and much to list
        raise BadRequestError(f"the request must have one {wanted}, found shape {str(shape)[:40]}")
    return shape


def split_bytes(raw: bytes, count: int) -> tuple[bytes, ...]:
    """BYTES elements out of their binary form: each one behind its length in 4 bytes, little-endian.

    Raises:
        BadRequestError: the lengths do not add up to exactly `count` elements.
    """
    elements: list[bytes] = []
    at = 0
    while at < len(raw) and len(elements) < count:
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        if at + 4 > len(raw) or end > len(raw):
            raise BadRequestError(f"a BYTES element is longer than the data that came: {_PREFIXED}")
        elements.append(raw[at + 4 : end])
        at = end
    if at != len(raw) or len(elements) != count:
        raise BadRequestError(
            f"the BYTES data does not hold exactly the {count} elements that the shape says: {_PREFIXED}"
        )
    return tuple(elements)


def split_windows(raw: bytes, shape: list[int]) -> tuple[npt.NDArray[np.float32], ...]:
    """FP32 windows out of their binary form.

    Raises:
        BadRequestError: the data's length is not what the shape says.
    """
    if len(raw) != 4 * shape[0] * shape[1]:
        raise BadRequestError(f"the FP32 data has {len(raw)} bytes, shape {shape} needs {4 * shape[0] * shape[1]}")
    return tuple(finite_window(np.frombuffer(raw, "<f4").reshape(shape)))


def join_bytes(elements: Iterable[bytes]) -> bytes:
    """BYTES elements in their binary form."""
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def to_raw(array: npt.NDArray[Any]) -> bytes:
    """An output's binary form."""
    if array.dtype == np.object_:
        return join_bytes(array.reshape(-1).tolist())
    return np.ascontiguousarray(array).tobytes()


def render_infer_response(
    service: str, request: InferRequest, tensors: Mapping[str, npt.NDArray[Any]], parameters: Mapping[str, str]
) -> tuple[bytes, dict[str, str]]:
    """The answer's body and headers.

    Args:
        service: the name that the answer repeats.
        request: the parsed request.
        tensors: outputs by name; BYTES as object arrays of bytes.
        parameters: of the answer, such as `warning`.

    Raises:
        BadRequestError: an output was requested that the service does not have.
    """
    choice = request.outputs.binary or dict.fromkeys(tensors, request.outputs.default_binary)
    check_outputs(choice, tensors)
    outputs, binary = [], []
    for name, as_binary in choice.items():
        array = tensors[name]
        output: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": list(array.shape)}
        if as_binary:
            raw = to_raw(array)
            output["parameters"] = {"binary_data_size": len(raw)}
            binary.append(raw)
        else:
            flat = array.reshape(-1).tolist()
            output["data"] = [value.decode() for value in flat] if array.dtype == np.object_ else flat
        outputs.append(output)
    document: dict[str, Any] = {"model_name": service, "model_version": MODEL_VERSION, "outputs": outputs}
    if request.id:
        document["id"] = request.id
    if parameters:
        document["parameters"] = dict(parameters)
    header = orjson.dumps(document)
    if not binary:
        return header, {"content-type": "application/json"}
    return b"".join([header, *binary]), {
        "content-type": "application/octet-stream",
        JSON_LENGTH_HEADER: str(len(header)),
    }


def _split(body: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    if json_length is None:
        return body, b""
    length = int(json_length) if _LENGTH.fullmatch(json_length) else len(body) + 1
    if length > len(body):
        raise BadRequestError("Inference-Header-Content-Length must say how many bytes of the body are JSON")
    return body[:length], body[length:]


def _raw_instance(kind: InstanceKind, raw: bytes) -> bytes | npt.NDArray[np.float32]:
    """The only instance of a raw binary request; an image may follow its length, as in the binary form."""
    if kind is InstanceKind.WINDOW:
        if len(raw) % 4:
            raise BadRequestError(f"the FP32 data has {len(raw)} bytes, which is no multiple of 4")
        return split_windows(raw, [1, len(raw) // 4])[0]
    return raw[4:] if int.from_bytes(raw[:4], "little") == len(raw) - 4 else raw


def _only_input(kind: InstanceKind, inputs: object) -> dict[str, Any]:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadRequestError(f'"inputs" must hold exactly one input, {kind.value!r}')
    check_keys(inputs[0], INPUT_KEYS, "the input")
    return inputs[0]


def _instances(kind: InstanceKind, tensor: dict[str, Any], binary: bytes) -> tuple[Any, ...]:
    shape = check_shape(kind, tensor.get("name"), tensor.get("datatype"), tensor.get("shape"))
    given = _object(tensor, "parameters")
    size = tensor_parameters(f"input {kind.value!r}", given, INPUT).get("binary_data_size")
    if size is not None:
        if tensor.get("data") is not None:
            raise BadRequestError('an input has either "data" or binary_data_size, not both')
        if size != len(binary):
            raise BadRequestError(f"binary_data_size is {str(size)[:20]}, but {len(binary)} bytes follow the JSON")
        return split_bytes(binary, shape[0]) if kind is InstanceKind.IMAGE else split_windows(binary, shape)
    if binary:
        raise BadRequestError("bytes follow the JSON, but no input says binary_data_size")
    data = _flatten(tensor.get("data"))
    count = int(np.prod(shape))
    if len(data) != count:
        raise BadRequestError(f'"data" has {len(data)} elements, shape {shape} needs {count}')
    if kind is InstanceKind.IMAGE:
        if not all(isinstance(text, str) for text in data):
            raise BadRequestError('"data" of image must be base64 texts')
        return tuple(decode_base64(text) for text in data)
    if not all(type(number) in (int, float) for number in data):
        raise BadRequestError('"data" of window must be numbers')
    with np.errstate(over="ignore"):
        return tuple(finite_window(np.array(data, np.float64).astype(np.float32).reshape(shape)))


def _flatten(data: object) -> list[Any]:
    if not isinstance(data, list):
        raise BadRequestError('an input needs "data": a list')
    if not any(isinstance(row, list) for row in data):
        return data
    return [value for row in data for value in (row if isinstance(row, list) else [row])]


def _output_choice(document: dict[str, Any], default_binary: bool) -> OutputChoice:
    outputs = [] if document.get("outputs") is None else document["outputs"]
    if not isinstance(outputs, list) or not all(
        isinstance(output, dict) and isinstance(output.get("name"), str) for output in outputs
    ):
        raise BadRequestError('"outputs" must be a list of {"name": "..."}')
    binary = {}
    for output in outputs:
        check_keys(output, OUTPUT_KEYS, "an output")
        given = tensor_parameters(f"output {output['name'][:40]!r}", _object(output, "parameters"), OUTPUT)
        binary[output["name"]] = given.get("binary_data", default_binary)
    return OutputChoice(binary, default_binary)


def _object(parent: dict[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key)
    if not isinstance(value, dict | None):
        raise BadRequestError(f'"{key}" must be an object')
    return value or {}
