"""What serves a model: a release, what it declares, and the golden sample that proves it."""

import asyncio
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aiohttp
import numpy as np
from tritonclient.utils import InferenceServerException

from kserve_transformers.assignment import triton_name
from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import NotReadyError, ServingError, TooLateError
from kserve_transformers.predictor.declaration import Declaration
from kserve_transformers.predictor.golden import Drift, GoldenSample
from kserve_transformers.predictor.model_health import Finding, Observation
from kserve_transformers.predictor.release import ReleaseError
from kserve_transformers.predictor.transport import Transport

# What can go wrong while a model is learned or probed; a TimeoutError is an OSError.
PROBE_ERRORS = (ServingError, InferenceServerException, aiohttp.ClientError, ValueError, KeyError, OSError)


@dataclass(frozen=True)
class Served:
    """What serves a model.

    `release` None is the repository's own model; `golden` is None where the repository cannot be read.
    """

    release: str | None
    declaration: Declaration
    golden: GoldenSample | None

    @classmethod
    async def learn(
        cls, transport: Transport, repository: Path | None, model: str, release: str | None, timeout_s: float
    ) -> Self:
        """Read the declaration from Triton and the golden sample from the repository.

        Raises:
            Exception: one of `PROBE_ERRORS`.
        """
        name = triton_name(model, release)
        async with asyncio.timeout(timeout_s):
            declaration = await transport.declaration(name)
        golden = GoldenSample.load(repository / name, declaration.input, declaration.version) if repository else None
        return cls(release, declaration, golden)

    async def golden_check(self, transport: Transport, timeout_s: float) -> Drift:
        """Infer the golden sample and compare its answer; without one, any answer of the declared form is right.

        Raises:
            Exception: one of `PROBE_ERRORS`.
        """
        spec = self.declaration.input
        batch = self.golden.batch if self.golden else np.zeros((1, *spec.shape), spec.dtype)
        outputs = await transport.infer(self.declaration, batch, Deadline.after(timeout_s))
        drift = self.golden.drift(outputs) if self.golden else Drift(0.0, None)
        if drift.reason is None:
            return drift
        return dataclasses.replace(drift, reason=f"the golden sample's answer is wrong: {drift.reason}")


def observed(error: Exception, timeout_s: float = math.inf) -> Observation:
    """What one of `PROBE_ERRORS` says about the health of the model."""
    if isinstance(error, ServingError):
        kinds = {TooLateError: Finding.LATE, NotReadyError: Finding.LOST}
        finding = next((finding for kind, finding in kinds.items() if isinstance(error, kind)), Finding.ERROR)
        return Observation(finding, str(error), timeout_s)
    if isinstance(error, ReleaseError):
        return Observation(Finding.ERROR, str(error))
    if isinstance(error, InferenceServerException | aiohttp.ClientError | TimeoutError):
        return Observation(Finding.LOST, "does not answer in Triton")
    return Observation(Finding.ERROR, f"cannot be checked: {error}")
