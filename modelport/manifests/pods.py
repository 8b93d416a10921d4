"""The pod that KServe's controller builds from an InferenceService and its ServingRuntime."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelport.manifests.findings import Document, at, of

TRANSFORMER = "transformer-container"
TRITON = "kserve-container"
MODE = "serving.kserve.io/deploymentMode"
AUTOSCALER = "serving.kserve.io/autoscalerClass"
SERVER_TYPE = "serving.kserve.io/server-type"


@dataclass(frozen=True)
class Pod:
    """An InferenceService beside the runtime that it names."""

    service: Document  # the InferenceService
    runtime: Document | None  # its ServingRuntime, None where it is not among the documents

    @property
    def name(self) -> str:
        return str(at(self.service, "metadata.name", ""))

    @property
    def mode(self) -> str | None:
        return self._annotation(MODE)

    @property
    def autoscaler(self) -> str | None:
        return self._annotation(AUTOSCALER)

    @property
    def predictor(self) -> Mapping[str, Any]:
        predictor: Mapping[str, Any] = at(self.service, "spec.predictor", {})
        return predictor

    @property
    def triton(self) -> Mapping[str, Any]:
        """The runtime's container, overridden by what the InferenceService says of it."""
        base = _named(at(self.runtime or {}, "spec.containers", []), TRITON)
        model = {key: value for key, value in (self.predictor.get("model") or {}).items() if value is not None}
        merged = {**base, **model, "args": [*base.get("args", []), *model.get("args", [])]}
        merged["resources"] = {
            kind: {**at(base, f"resources.{kind}", {}), **at(model, f"resources.{kind}", {})}
            for kind in ("requests", "limits")
        }
        return merged

    @property
    def transformer(self) -> Mapping[str, Any]:
        """The collocated transformer's container; empty where there is none."""
        return _named(self.predictor.get("containers") or [], TRANSFORMER)

    @property
    def volumes(self) -> list[Mapping[str, Any]]:
        return [*at(self.runtime or {}, "spec.volumes", []), *(self.predictor.get("volumes") or [])]

    def transformer_arguments(self) -> list[str]:
        """The transformer's command line."""
        return list(self.transformer.get("args") or [])

    def _annotation(self, key: str) -> str | None:
        value = (at(self.service, "metadata.annotations") or {}).get(key)
        return None if value is None else str(value)


def pods(documents: Iterable[Document]) -> list[Pod]:
    """The pods of all InferenceServices among documents."""
    documents = list(documents)
    runtimes = {
        at(runtime, "metadata.name"): runtime for runtime in of(documents, "ServingRuntime", "ClusterServingRuntime")
    }
    return [
        Pod(service, runtimes.get(at(service, "spec.predictor.model.runtime")))
        for service in of(documents, "InferenceService")
    ]


def flag(container: Mapping[str, Any], name: str) -> str | None:
    """The value of `--name=value` among a container's arguments, the last if it stands there twice."""
    values = [argument.partition("=")[2] for argument in container.get("args") or [] if argument.split("=")[0] == name]
    return values[-1] if values else None


def _named(containers: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next((container for container in containers if container.get("name") == name), {})
