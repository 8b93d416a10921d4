"""Requests to Triton: an inference, or a model's declaration. Each has a timeout, and every answer is checked."""

import asyncio
import logging
import struct
from collections.abc import Mapping
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt
from tritonclient.http import InferInput, InferRequestedOutput, InferResult
from tritonclient.http.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import BadAnswerError, BusyError, NotReadyError, ServingError, TooLateError
from kserve_transformers.observe import forwarded_headers
from kserve_transformers.predictor.declaration import Declaration, TensorSpec

logger = logging.getLogger(__name__)

Outputs = Mapping[str, npt.NDArray[Any]]

# aiohttp accepts gzip by default, and Triton would compress: more work than the few kilobytes are worth.
_UNCOMPRESSED = {"Accept-Encoding": "identity"}
# Triton's words for a model that is being loaded or unloaded, or whose process is dead.
_GONE = ("is not healthy", "unknown model", "not at ready state")
# What the client raises on an answer that is not V2: JSON of another form, or tensors that end early.
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, struct.error)


class NotExecutedError(NotReadyError):
    """The request was certainly not carried out: it was not accepted, or the process that had it is dead."""


class Transport:
    """Talks to Triton.

    Args:
        client: to Triton; bound to the running event loop.
    """

    def __init__(self, client: InferenceServerClient) -> None:
        self._client = client

    async def infer(self, declaration: Declaration, batch: npt.NDArray[Any], deadline: Deadline) -> Outputs:
        """Run one inference.

        Args:
            declaration: of the model.
            batch: [N, ...], of the model's input dtype, 1 <= N <= max_batch_size.
            deadline: for the answer; Triton is told the time that is left.

        Returns:
            All outputs by name, each [N, ...] of the declared shape and dtype.

        Raises:
            BusyError: Triton's queue is full.
            NotReadyError: Triton cannot be reached, has no process for the model, or serves another version of it.
            BadAnswerError: the model answered an error, or not what it declares.
            TooLateError: the deadline passed.
        """
        name = declaration.name
        remaining_s = deadline.remaining_s()
        try:
            async with asyncio.timeout(remaining_s):
                result = await self._client.infer(
                    name,
                    [_input(declaration.input, batch)],
                    outputs=[InferRequestedOutput(output) for output in declaration.outputs],
                    timeout=int(remaining_s * 1_000_000),
                    headers=forwarded_headers() | _UNCOMPRESSED,
                )
        except TimeoutError:
            raise TooLateError(f"model {name} did not answer within {remaining_s:.1f} s") from None
        except InferenceServerException as exc:
            raise _translated(name, exc) from exc
        except aiohttp.ClientError as exc:
            kind = NotExecutedError if isinstance(exc, aiohttp.ClientConnectorError) else NotReadyError
            raise kind(f"model {name} cannot be reached: try again shortly") from exc
        except _MALFORMED as exc:
            raise _unreadable(name, exc) from exc
        try:
            if result.get_response()["model_version"] != declaration.version:
                raise NotReadyError(f"model {name} has a new version that is being checked: try again shortly")
            return _checked(result, declaration, len(batch))
        except _MALFORMED as exc:
            raise _unreadable(name, exc) from exc

    async def declaration(self, name: str) -> Declaration:
        """Read what a model declares: metadata, config, and labels.

        Raises:
            tritonclient.utils.InferenceServerException: the model does not exist or is not ready.
            aiohttp.ClientError: Triton cannot be reached.
            ValueError: the model cannot be served: it has several inputs, none, or no batch dimension.
        """
        metadata = await self._client.get_model_metadata(name)
        config = await self._client.get_model_config(name)
        max_batch_size = int(config["max_batch_size"])
        if len(metadata["inputs"]) != 1 or max_batch_size < 1:
            raise ValueError(f"model {name} must have exactly one input and a batch dimension")
        inputs, outputs = (
            {t["name"]: TensorSpec(t["name"], t["datatype"], tuple(t["shape"])[1:]) for t in metadata[key]}
            for key in ("inputs", "outputs")
        )
        labelled = next((output["name"] for output in config["output"] if output.get("label_filename")), None)
        return Declaration(
            name=name,
            version=max(metadata["versions"], key=int),
            inputs=inputs,
            outputs=outputs,
            max_batch_size=max_batch_size,
            parameters={key: value["string_value"] for key, value in config.get("parameters", {}).items()},
            labels=await self._labels(name, next(iter(inputs.values())), outputs[labelled]) if labelled else (),
        )

    async def _labels(self, name: str, spec: TensorSpec, output: TensorSpec) -> tuple[str, ...]:
        """All labels of an output through Triton's classification extension, which answers `score:index:label`."""
        tensor = _input(spec, np.zeros([1, *spec.shape], spec.dtype))
        wanted = InferRequestedOutput(output.name, class_count=int(np.prod(output.shape)))
        entries: npt.NDArray[Any] = (await self._client.infer(name, [tensor], outputs=[wanted])).as_numpy(output.name)
        split = [entry.decode("utf-8", "replace").split(":", 2) for entry in entries.reshape(-1)]
        # Triton keeps what editors leave in labels.txt: a byte order mark, blanks and carriage returns.
        by_class = {int(fields[1]): fields[2].strip("\ufeff \t\r") for fields in split if len(fields) == 3}
        return tuple(by_class[index] for index in range(len(by_class)) if index in by_class)


def _input(spec: TensorSpec, batch: npt.NDArray[Any]) -> InferInput:
    return InferInput(spec.name, list(batch.shape), spec.datatype).set_data_from_numpy(batch)


def _translated(name: str, exc: InferenceServerException) -> ServingError:
    """Triton's error as one of ours; its text stays in the log."""
    text = str(exc.message() or "")
    if "maximum queue size" in text.lower():
        return BusyError(f"model {name} is busy: its queue in Triton is full")
    if "timeout" in text.lower() and "expired" in text.lower():
        return TooLateError(f"model {name} did not start the request before its deadline")
    if any(words in text for words in _GONE):
        return NotExecutedError(f"model {name} is being loaded again: try again shortly")
    logger.warning("model %s answered %s: %s", name, exc.status(), text[:300])
    return BadAnswerError(f"model {name} answered an error: the request was not carried out")


def _unreadable(name: str, exc: Exception) -> BadAnswerError:
    logger.warning("the answer of model %s cannot be read: %s: %s", name, type(exc).__name__, exc)
    return BadAnswerError(f"model {name} answered something that cannot be read")


def _checked(result: InferResult, declaration: Declaration, count: int) -> Outputs:
    """The outputs, [count, ...] each, if they are what the model declares and finite."""
    name, outputs = declaration.name, {}
    for spec in declaration.outputs.values():
        array = result.as_numpy(spec.name)
        fits = array is not None and array.dtype == spec.dtype and len(array) == count
        shaped = fits and array.ndim == 1 + len(spec.shape)
        if not shaped or any(d not in (-1, s) for d, s in zip(spec.shape, array.shape[1:], strict=True)):
            raise BadAnswerError(f"model {name} answered output {spec.name} in another form than it declares")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadAnswerError(f"model {name} answered numbers that are not finite")
        outputs[spec.name] = array
    return outputs
