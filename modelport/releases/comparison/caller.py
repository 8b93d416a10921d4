"""Sends samples to a service over V2, one a request, as any caller could."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from tritonclient.http import InferenceServerClient, InferenceServerClientPlugin, InferInput
from tritonclient.utils import InferenceServerException

from kserve_transformers.client.service import API_KEY
from kserve_transformers.judging.answers import Answer, read_answer
from modelport.releases.comparison.samples import Sample
from modelport.releases.errors import ComparisonError

INFER_TIMEOUT_S = 60.0
REFUSALS = ("400", "413", "415", "422")  # status codes that blame the sample
BUSY = ("429", "503")
PATIENCE_S = 60.0


class RefusedError(Exception):
    """The service does not accept this sample; the message is the service's."""


@dataclass(frozen=True)
class Caller:
    """A service of a server that runs. `name` is what messages call the server or the release that it serves."""

    name: str
    service: str
    client: InferenceServerClient

    def infer(self, sample: Sample, parameters: Mapping[str, Any] | None = None) -> tuple[Answer, float]:
        """Send a sample to the transformer; returns its answer and the latency of the last try in seconds.

        While the service is busy or not ready, the request is repeated, for at most PATIENCE_S.

        Raises:
            RefusedError: the service does not accept the sample.
            ComparisonError: there was no answer.
        """
        if isinstance(sample.content, bytes):
            tensor = InferInput("image", [1], "BYTES")
            tensor.set_data_from_numpy(np.array([sample.content], object))
        else:
            tensor = InferInput("window", [1, len(sample.content)], "FP32")
            tensor.set_data_from_numpy(sample.content[np.newaxis])
        until = time.monotonic() + PATIENCE_S
        while True:
            began = time.perf_counter()
            try:
                result = self.client.infer(self.service, [tensor], parameters=parameters)
                break
            except InferenceServerException as exc:
                if exc.status() in REFUSALS:
                    raise RefusedError(str(exc.message())) from exc
                if exc.status() not in BUSY or time.monotonic() > until:
                    raise ComparisonError(f"{self.name} did not answer {sample.name}: {exc.message()}") from exc
            except OSError as exc:
                raise ComparisonError(f"{self.name} did not answer {sample.name} ({exc!r}): see its logs") from exc
            time.sleep(1)
        seconds = time.perf_counter() - began
        outputs = {output["name"]: result.as_numpy(output["name"]) for output in result.get_response()["outputs"]}
        return read_answer(outputs), seconds

    def models(self) -> dict[str, Any]:
        """The state of the service's models, by name.

        Raises:
            ComparisonError: nothing answers there, or it has no such service.
        """
        try:
            metadata = self.client.get_model_metadata(self.service)
            return dict(metadata["parameters"]["models"])
        except InferenceServerException as exc:
            raise ComparisonError(f"{self.name} does not serve {self.service}: {exc.message()}") from exc
        except OSError as exc:
            raise ComparisonError(f"{self.name} cannot be reached ({exc}): is the server running?") from exc
        except (KeyError, TypeError, ValueError) as exc:
            raise ComparisonError(f"{self.name} is not a Modelport server: its metadata is another's") from exc


class _ApiKey(InferenceServerClientPlugin):  # type: ignore[misc]
    """Sends the key of a server that requires one."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._headers = {"authorization": f"Bearer {key}"}

    def __call__(self, request: Any) -> None:
        request.headers = {**(request.headers or {}), **self._headers}


@contextlib.contextmanager
def connect(url: str) -> Iterator[InferenceServerClient]:
    """A client of the server at a URL, http or https; MODELPORT_API_KEY holds its key where it requires one."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2] + parts.path.rstrip("/")
    with InferenceServerClient(address, network_timeout=INFER_TIMEOUT_S, ssl=parts.scheme == "https") as client:
        if key := os.environ.get(API_KEY):
            client.register_plugin(_ApiKey(key))
        yield client
