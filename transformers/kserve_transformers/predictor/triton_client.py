"""Triton's V2 protocol over HTTP/1.1, with tensors in binary form: no more of both than this server needs.

A general client costs several times as much per request (docs/performance.md).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt
import orjson
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor, triton_to_np_dtype

from kserve_transformers.predictor.connections import Connections, HttpAnswer

# Triton says so, in the head of an answer and of a request, where binary tensors begin.
_JSON_LENGTH = b"inference-header-content-length"


class TritonError(Exception):
    """Triton answered an error; the message is its own."""


@dataclass(frozen=True)
class TritonAnswer:
    """The answer to an inference.

    Attributes:
        version: of the model that gave it.
        outputs: by name, of the shapes and types that the answer states.
    """

    version: str
    outputs: Mapping[str, npt.NDArray[Any]]


class TritonClient:
    """Calls one Triton.

    Args:
        address: HOST or HOST:PORT of Triton's HTTP interface.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(f"//{address}")
        self._connections = Connections(parts.hostname or "", parts.port or 80)
        self._numbers = itertools.count()

    async def metadata(self, model: str) -> dict[str, Any]:
        """The tensors and versions of a model; raises what `infer` raises."""
        return await self._get(f"/v2/models/{quote(model)}")

    async def config(self, model: str) -> dict[str, Any]:
        """A model's config.pbtxt as JSON; raises what `infer` raises."""
        return await self._get(f"/v2/models/{quote(model)}/config")

    async def infer(
        self,
        model: str,
        given: tuple[str, str, npt.NDArray[Any]],
        wanted: Mapping[str, Mapping[str, Any]],
        timeout_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> TritonAnswer:
        """Run one inference.

        Args:
            model: its name.
            given: the input's name, its V2 datatype, and the array, which must not change until the answer is here.
            wanted: the outputs by name, with V2 parameters of each.
            timeout_s: after which Triton drops the request where it did not begin with it.
            headers: to send; names and values that an HTTP header may have.

        Raises:
            TritonError: Triton answered an error.
            NotConnectedError: Triton cannot be reached.
            ConnectionError: the connection was lost before the answer was here.
            ValueError: the answer is not V2 over HTTP, or is one to another request.
        """
        name, datatype, array = given
        data = _bytes(array)
        number = str(next(self._numbers))
        document: dict[str, Any] = {
            "id": number,
            "inputs": [
                {
                    "name": name,
                    "shape": array.shape,
                    "datatype": datatype,
                    "parameters": {"binary_data_size": data.nbytes},
                }
            ],
            "outputs": [{"name": output, "parameters": {**own, "binary_data": True}} for output, own in wanted.items()],
        }
        if timeout_s is not None:
            document["parameters"] = {"timeout": int(timeout_s * 1_000_000)}
        written = orjson.dumps(document)
        lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"{_JSON_LENGTH.decode()}: {len(written)}", f"content-length: {len(written) + data.nbytes}"]
        answer = await self._connections.exchange("POST", f"/v2/models/{quote(model)}/infer", lines, [written, data])
        return _answer(_successful(answer), number)

    def close(self) -> None:
        """Close what is idle."""
        self._connections.close()

    async def _get(self, path: str) -> dict[str, Any]:
        document = orjson.loads(_successful(await self._connections.exchange("GET", path)).body)
        if not isinstance(document, dict):
            raise ValueError("the answer is no JSON object")
        return document


def _bytes(array: npt.NDArray[Any]) -> memoryview:
    """An array's elements as the wire has them: its own memory where that is possible."""
    if array.dtype == np.object_:
        return memoryview(serialize_byte_tensor(array).item())
    return np.ascontiguousarray(array).data.cast("B")


def _answer(answer: HttpAnswer, number: str) -> TritonAnswer:
    """Read an answer: JSON, and behind it the outputs, one after the other.

    Raises:
        ValueError: it is not V2, or not to request `number`.
    """
    body = answer.body
    at = int(answer.headers.get(_JSON_LENGTH, len(body)))
    document = orjson.loads(body[:at])
    try:
        if document.get("id", number) != number:
            raise ValueError(f"the answer is to request {document['id']}, not to {number}")
        outputs = {}
        for output in document["outputs"]:
            end = at + output["parameters"]["binary_data_size"]
            if not at <= end <= len(body):
                raise ValueError("the answer ends before its tensors do")
            outputs[output["name"]] = _array(output["datatype"], body[at:end]).reshape(output["shape"])
            at = end
        return TritonAnswer(document["model_version"], outputs)
    except (LookupError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"the answer is not V2: {error!r}") from error


def _array(datatype: str, data: bytes) -> npt.NDArray[Any]:
    if datatype == "BYTES":
        elements: npt.NDArray[Any] = deserialize_bytes_tensor(data)
        return elements
    dtype = triton_to_np_dtype(datatype)
    if dtype is None:
        raise ValueError(f"{datatype} is no datatype of V2")
    return np.frombuffer(data, dtype)


def _successful(answer: HttpAnswer) -> HttpAnswer:
    """An answer that is no error.

    Raises:
        TritonError: it is one.
    """
    if answer.status == 200:
        return answer
    try:
        text = str(orjson.loads(answer.body)["error"])
    except (ValueError, LookupError, TypeError):
        text = f"HTTP {answer.status}: {answer.body[:300].decode('utf-8', 'replace')}"
    raise TritonError(text)
