"""A service as a model of KServe's SDK, which calls preprocess, predict and postprocess and times them."""

from collections.abc import Mapping
from typing import Any

import kserve
from kserve.protocol.dataplane import DataPlane

from kserve_transformers.metadata import service_metadata
from kserve_transformers.protocol.requests import ServiceRequest
from kserve_transformers.routes.infer import Infer
from kserve_transformers.service import Inferred, Service, Work
from kserve_transformers.tasks.task import Answered


class ServiceModel(kserve.Model):  # type: ignore[misc]
    """One service.

    Args:
        service: does the work.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(service.name, return_response_headers=True)
        self.service = service

    async def healthy(self) -> bool:
        """The SDK's own repeats what `load` returned once: here readiness follows from the chain's models."""
        return self.service.unready_reason is None

    def load(self) -> bool:
        """The SDK loads whatever is not healthy before each request, and its own then calls it ready."""
        return False

    def validate(self, payload: Work) -> Work:
        """The SDK's own looks for the predictor's protocol in the payload: requests are checked while parsed."""
        return payload

    def get_input_types(self) -> list[dict[str, Any]]:
        """The SDK's own declares no inputs."""
        inputs: list[dict[str, Any]] = service_metadata(self.service)["inputs"]
        return inputs

    def get_output_types(self) -> list[dict[str, Any]]:
        """The SDK's own declares no outputs."""
        outputs: list[dict[str, Any]] = service_metadata(self.service)["outputs"]
        return outputs

    async def preprocess(self, payload: ServiceRequest, headers: Mapping[str, str]) -> Work:
        """The SDK's own returns the payload as it came."""
        return await self.service.preprocess(payload, headers)

    async def predict(self, payload: Work, headers: Mapping[str, str], response_headers: dict[str, str]) -> Inferred:
        """The SDK's own client knows neither deadlines, nor binary tensors, nor another model of the chain."""
        return await self.service.predict(payload)

    async def postprocess(
        self, result: Inferred, headers: Mapping[str, str], response_headers: dict[str, str]
    ) -> Answered[Any]:
        """The SDK's own returns the predictor's answer as it came."""
        answered = await self.service.postprocess(result)
        response_headers["server-timing"] = ", ".join(f"{k};dur={v:.1f}" for k, v in answered.timings_ms.items())
        return answered


def infer_through(dataplane: DataPlane) -> Infer:
    """Carry requests out by the SDK, whose metrics see them."""

    async def infer(
        service: Service, request: ServiceRequest, headers: Mapping[str, str], /
    ) -> tuple[Answered[Any], dict[str, str]]:
        answered, response_headers = await dataplane.infer(service.name, request, dict(headers))
        return answered, response_headers

    return infer
