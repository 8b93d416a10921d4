"""One inference in Triton: asked with a deadline, its answer checked against what the model declares."""

from __future__ import annotations

import asyncio
import logging
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
from kserve_transformers.predictor.declaration import Declaration

logger = logging.getLogger(__name__)

Outputs = Mapping[str, npt.NDArray[Any]]

# aiohttp says by itself that it takes gzip, and Triton compresses then: more work than a few kilobytes are.
_UNCOMPRESSED = {"Accept-Encoding": "identity"}
# What Triton says of a model that it is loading or unloading, or whose process is dead.
_GONE = ("is not healthy", "unknown model", "not at ready state")


class NotTakenError(NotReadyError):
    """The request was surely not carried out: nobody took it, or the process that had it is dead."""


async def ask(
    client: InferenceServerClient, declaration: Declaration, batch: npt.NDArray[Any], deadline: Deadline
) -> Outputs:
    """Ask a model once.

    Args:
        client: to Triton.
        declaration: of the model.
        batch: [N, ...], of the model's input dtype, 1 <= N <= max_batch_size.
        deadline: for the answer; Triton is told.

    Returns:
        All outputs by name, each [N, ...] of the declared shape.

    Raises:
        BusyError: Triton's queue is full.
        NotReadyError: Triton cannot be reached, has no process for the model, or another version of it.
        BadAnswerError: the model answered an error, or not what it declares.
        TooLateError: the deadline passed.
    """
    name = declaration.name
    tensor = InferInput(declaration.input.name, list(batch.shape), declaration.input.datatype)
    tensor.set_data_from_numpy(batch)
    wanted = [InferRequestedOutput(output) for output in declaration.outputs]
    remaining_s = deadline.remaining_s()
    try:
        async with asyncio.timeout(remaining_s):
            result = await client.infer(
                name,
                [tensor],
                outputs=wanted,
                timeout=int(remaining_s * 1_000_000),
                headers=forwarded_headers() | _UNCOMPRESSED,
            )
    except TimeoutError:
        raise TooLateError(f"model {name} did not answer within {remaining_s:.1f} s") from None
    except InferenceServerException as exc:
        raise _refusal(name, exc) from exc
    except aiohttp.ClientError as exc:
        kind = NotTakenError if isinstance(exc, aiohttp.ClientConnectorError) else NotReadyError
        raise kind(f"model {name} cannot be reached: try again shortly") from exc
    if result.get_response()["model_version"] != declaration.version:
        raise NotReadyError(f"model {name} has another version now, which is being checked: try again shortly")
    return _checked(result, declaration, len(batch))


def _refusal(name: str, exc: InferenceServerException) -> ServingError:
    """Triton's error in our terms; its text stays in the log."""
    message = str(exc.message() or "")
    if "maximum queue size" in message.lower():
        return BusyError(f"model {name} is busy: its queue in Triton is full")
    if "timeout" in message.lower() and "expired" in message.lower():
        return TooLateError(f"model {name} did not get to the request before its deadline")
    if any(words in message for words in _GONE):
        return NotTakenError(f"model {name} is being loaded again: try again shortly")
    logger.warning("model %s answered %s: %s", name, exc.status(), message[:300])
    return BadAnswerError(f"model {name} answered an error: the request was not carried out")


def _checked(result: InferResult, declaration: Declaration, count: int) -> Outputs:
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
