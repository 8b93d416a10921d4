"""What answers for a model at present: a release, what it declares, and the golden sample that proves it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt
from tritonclient.http.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from kserve_transformers.assignment import triton_name
from kserve_transformers.errors import ServingError
from kserve_transformers.predictor.asking import Outputs
from kserve_transformers.predictor.declaration import Declaration, learn
from kserve_transformers.predictor.golden import Drift, GoldenSample

# The first inference of a model that was just loaded takes longer.
LEARN_TIMEOUT_S = 20.0
# What keeps a model from being learnt or probed; a TimeoutError is an OSError.
TROUBLES = (ServingError, InferenceServerException, aiohttp.ClientError, ValueError, KeyError, OSError)


@dataclass(frozen=True)
class Served:
    """What answers at present.

    Attributes:
        release: its name; None: the repository's own.
        golden: None where the repository cannot be seen.
    """

    release: str | None
    declaration: Declaration
    golden: GoldenSample | None

    @classmethod
    async def learn(
        cls, client: InferenceServerClient, repository: Path | None, model: str, release: str | None
    ) -> Served:
        """Ask Triton, and read the golden sample.

        Raises:
            Exception: one of `TROUBLES`.
        """
        name = triton_name(model, release)
        async with asyncio.timeout(LEARN_TIMEOUT_S):
            declaration = await learn(client, name)
        golden = GoldenSample.load(repository / name, declaration.input) if repository else None
        return cls(release, declaration, golden)

    @property
    def sample(self) -> npt.NDArray[Any]:
        """A batch of one."""
        spec = self.declaration.input
        return self.golden.batch if self.golden else np.zeros((1, *spec.shape), spec.dtype)

    def drift(self, outputs: Outputs) -> Drift:
        """How far the sample's answer is from the golden one; nothing where that is not known."""
        return self.golden.drift(outputs) if self.golden else Drift(0.0, None)


def why(trouble: Exception) -> str:
    """What people are told of one of `TROUBLES`."""
    if isinstance(trouble, ServingError):
        return str(trouble)
    if isinstance(trouble, InferenceServerException | aiohttp.ClientError | TimeoutError):
        return "does not answer in Triton"
    return f"cannot be checked: {trouble}"
