"""The local stack as a rendered overlay declares it: `make serve OVERLAY=name`.

Read from the same YAML that `kubectl apply -k` sends: each predictor's transformer command line (service, chain,
thresholds, limits, timeouts, drain, threads) and plain environment variables, and the routes with their shares,
retries, fallback, time limits and buffer, by which a real Envoy stands on PORT. Each predictor (stable, canary,
fallback) is a transformer process of its own.

Replaced by what this machine has:
- addresses and ports: --host, --http_port, --grpc_port, --predictor_host; gRPC does not pass Envoy;
- paths and releases: --model_repository and every storageUri become this repository;
- replicas: one process a predictor; what scales, places or limits pods means nothing here;
- Triton: one for all predictors, with the stack's own options (tests/manifests runs the declared ones);
- host names: without HTTPRoutes, KServe tells services apart by host name, Envoy here by path.
CORS and JWT policies are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from kserve_transformers.settings import Settings, parse_settings
from local_router.envoy import Envoy
from local_router.routes import Route, endpoints, read_routes
from local_stack.errors import StackError
from local_stack.server import LOOPBACK
from local_stack.stack import Stack, StackSettings
from local_stack.transformer_server import TransformerSettings
from manifest_lint.findings import Document, at
from manifest_lint.pods import Pod, pods
from manifest_lint.rendering import RenderError, render

FIRST_PORT = 10  # the transformers' ports begin so far above Envoy's


@dataclass(frozen=True)
class OverlaySettings(StackSettings):
    """A stack whose transformers and routes come from an overlay. Envoy has `http_port`, its admin the next one.

    Args:
        overlay: its name.
    """

    overlay: str = ""

    @cached_property
    def documents(self) -> Sequence[Document]:
        """What the overlay says of the services that are wanted.

        Raises:
            StackError: there is no such overlay, or kubectl refuses it.
        """
        try:
            documents = render(self.overlay)
        except RenderError as error:
            raise StackError(str(error)) from error
        unwanted = {pod.name for pod in pods(documents) if not set(self._parsed(pod).services) & set(self.services)}
        return [
            document
            for document in documents
            if document.get("kind") not in ("InferenceService", "HTTPRoute")
            or at(document, "metadata.name") not in unwanted
        ]

    @cached_property
    def routes(self) -> Sequence[Route]:
        """Where requests go."""
        return read_routes(self.documents)

    @cached_property
    def predictors(self) -> Mapping[str, Pod]:
        """The pod behind each endpoint of the routes."""
        found = dict(chain.from_iterable(map(_predictors, pods(self.documents))))
        return {endpoint: found[endpoint] for endpoint in endpoints(self.routes)}

    @property
    def models(self) -> tuple[str, ...]:
        """The models of all chains."""
        parsed = map(self._parsed, self.predictors.values())
        return tuple(dict.fromkeys(m for one in parsed for service in one.services for m in one.chains[service]))

    @property
    def transformers(self) -> tuple[TransformerSettings, ...]:
        """One for each predictor."""
        return tuple(
            TransformerSettings(
                chains={},
                repository=self.repository,
                log_file=self.logs / f"{endpoint}.log",
                triton_port=self.triton_http_port,
                http_port=self.http_port + FIRST_PORT + 2 * index,
                grpc_port=self.http_port + FIRST_PORT + 2 * index + 1,
                name=endpoint,
                declared=tuple(pod.transformer_arguments()),
                variables={v["name"]: v["value"] for v in pod.transformer.get("env") or [] if "value" in v},
            )
            for index, (endpoint, pod) in enumerate(self.predictors.items())
        )

    @property
    def ports(self) -> tuple[tuple[str, str, int], ...]:
        """Every port: the variable that moves it, its purpose, its number."""
        own = [("PORT", f"{t.name}'s", port) for t in self.transformers for port in (t.http_port, t.grpc_port)]
        return (*super().ports, *own)

    def _parsed(self, pod: Pod) -> Settings:
        return parse_settings([*pod.transformer_arguments(), f"--model_repository={self.repository}"])


class OverlayStack(Stack):
    """Triton, a transformer for each predictor, and Envoy in front."""

    def __init__(self, settings: OverlaySettings) -> None:
        super().__init__(settings)
        addresses = {transformer.name: (LOOPBACK, transformer.http_port) for transformer in settings.transformers}
        envoy = Envoy(settings.documents, addresses, settings.http_port, settings.http_port + 1, settings.logs)
        self.servers = (self.triton, envoy, *self.transformers)


def route_lines(settings: OverlaySettings) -> list[str]:
    """A line for each route: who gets how much of it, and who comes next."""
    lines = []
    for route in settings.routes:
        total = sum(share.weight for share in route.shares)
        shares = ", ".join(f"{share.endpoint} {100 * share.weight / total:g} %" for share in route.shares)
        lines.append(f"{route.matches[0].path}: {shares}" + "".join(f", then {name}" for name in route.fallback))
    return lines


def _predictors(pod: Pod) -> Iterator[tuple[str, Pod]]:
    """A service's stable predictor and its canaries, which take over what they do not say themselves."""
    yield pod.name, pod
    spec: Mapping[str, Any] = pod.service["spec"]
    for canary in spec.get("canary") or []:
        predictor = {**pod.predictor, **canary["predictor"]}
        name = f"{pod.name}-{predictor['name']}"
        yield name, Pod({**pod.service, "spec": {**spec, "predictor": predictor}}, pod.runtime)
    if "canaryTrafficPercent" in pod.predictor:  # Knative: the revision before this one has the rest
        yield f"{pod.name}-canary", pod
