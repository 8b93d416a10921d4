"""What a rendered overlay declares, as processes of this machine: `make serve OVERLAY=name`.

Read from the same YAML that `kubectl apply -k` sends: each predictor's transformer command line (service, chain,
thresholds, limits, timeouts, drain, threads) and plain environment variables, the release of its models, and the routes
with their shares, retries, fallback, time limits and buffer, by which a real Envoy stands on PORT.

Replaced by what this machine has:
- addresses and ports: --host, --http_port, --grpc_port, --predictor_host; gRPC does not pass Envoy;
- storage: the release that a storageUri names is a folder of build/releases; `initial` is the model repository;
- a record on a volume: build/record;
- replicas: one process a predictor; what scales, places or limits pods means nothing here;
- Triton: one for each release, with the stack's own options (tests/manifests runs the declared ones);
- host names: without HTTPRoutes, KServe distinguishes services by host name, Envoy here by path.
CORS and JWT policies are left out.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self

from exporters.repository import models
from kserve_transformers.record.events import ORIGIN
from kserve_transformers.settings import Settings, parse_settings
from modelport.environment import ROOT
from modelport.manifests.findings import Document, at
from modelport.manifests.pods import Pod, pods
from modelport.manifests.release_file import FIRST_RELEASE, ReleaseFileError, read, release_file
from modelport.manifests.rendering import MANIFESTS, RenderError, render
from modelport.services import models_of
from modelport.stack.envoy.routes import Route, RouteError, endpoints, read_routes
from modelport.stack.errors import StackError
from modelport.stack.stack import StackSettings
from modelport.stack.transformer_server import TransformerSettings

RELEASES = ROOT / "build" / "releases"
RECORD = ROOT / "build" / "record"
_SERVICE_AND_RELEASE = re.compile(r"/([\w-]+)[/:]([\w.-]+)$")  # the end of a storageUri, an OCI image's too


Stamp = tuple[int, int]  # changes whenever a file is written or replaced


@dataclass(frozen=True)
class Predictor:
    """A pod of an overlay, as far as this machine runs it. Two that are equal are served by the same processes."""

    endpoint: str  # as the routes name it
    release: str  # of its models
    repository: Path  # where those are
    arguments: tuple[str, ...]  # of its transformer
    variables: tuple[tuple[str, str], ...]  # of its transformer's environment

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.endpoint if self.release == FIRST_RELEASE else f"{self.endpoint}@{self.release}"

    def transformer(self, logs: Path, triton_port: int, port: int, options: Sequence[str] = ()) -> TransformerSettings:
        """Its transformer, with REST on a port and gRPC on the next one; `options` come after the declared ones."""
        return TransformerSettings(
            services=(),
            repository=self.repository,
            log_file=logs / f"{self.name}.log",
            triton_port=triton_port,
            http_port=port,
            grpc_port=port + 1,
            name=self.name,
            declared=(*map(_local, self.arguments), *options),
            variables={**dict(self.variables), ORIGIN: f"{self.endpoint}-predictor"},  # as a pod is called
        )


@dataclass(frozen=True)
class Declared:
    """What an overlay says at one time."""

    documents: Sequence[Document]  # of the services that are wanted
    predictors: tuple[Predictor, ...]  # the pod behind each endpoint of the routes
    stamp: Stamp  # of the release file before it was read

    @cached_property
    def routes(self) -> Sequence[Route]:
        """Where requests go."""
        return read_routes(self.documents)

    def lines(self) -> list[str]:
        """A line for each route: who gets how much of it, and who comes next."""
        names = {predictor.endpoint: predictor.name for predictor in self.predictors}
        lines = []
        for route in self.routes:
            total = sum(share.weight for share in route.shares)
            shares = ", ".join(f"{names[share.endpoint]} {100 * share.weight / total:g} %" for share in route.shares)
            then = "".join(f", then {names[endpoint]}" for endpoint in route.fallback)
            copies = "".join(f"; copies of {one.weight} % to {names[one.endpoint]}" for one in route.mirrors)
            lines.append(f"{route.matches[0].path}: {shares}{then}{copies}")
        return lines

    @property
    def shadows(self) -> frozenset[str]:
        """Endpoints that get nothing but copies of requests."""
        copies = {one.endpoint for route in self.routes for one in route.mirrors}
        return frozenset(copies - {share.endpoint for route in self.routes for share in route.shares})

    def without_shadows(self) -> Self:
        """What serves callers."""
        documents = copy.deepcopy([dict(document) for document in self.documents])
        for document in documents:
            for rule in at(document, "spec.rules", []) if document.get("kind") == "HTTPRoute" else []:
                rule["filters"] = [one for one in rule.get("filters", []) if one.get("type") != "RequestMirror"]
        predictors = tuple(one for one in self.predictors if one.endpoint not in self.shadows)
        return type(self)(documents, predictors, self.stamp)


@dataclass(frozen=True)
class OverlaySettings(StackSettings):
    """A stack whose predictors and routes come from an overlay. Envoy has `http_port`, its admin the next one."""

    overlay: str = ""  # its name
    manifests: Path = MANIFESTS  # where it is, and the release file that it is rendered from
    releases: Path = RELEASES  # folders SERVICE/RELEASE

    @cached_property
    def first(self) -> Declared:
        """What the overlay declared when it was first asked.

        Raises:
            StackError: see read.
        """
        return self.read()

    def stamp(self) -> Stamp:
        """Of the release file now."""
        state = release_file(self.manifests).stat()
        return state.st_mtime_ns, state.st_ino

    def read(self) -> Declared:
        """What the overlay declares now of the services that are wanted.

        Raises:
            StackError: there is no such overlay, kubectl refuses it, or a release is not on this machine.
        """
        try:
            stamp = self.stamp()
            documents = self._wanted(render(self.overlay, self.manifests))
            stable = {service: choice.stable for service, choice in read(self.manifests).items()}
            found = dict(chain.from_iterable(_predictors(pod, stable) for pod in pods(documents)))
            routes = read_routes(documents)
        except (RenderError, ReleaseFileError, RouteError, FileNotFoundError) as error:
            raise StackError(str(error)) from error
        return Declared(documents, tuple(self._predictor(name, *found[name]) for name in endpoints(routes)), stamp)

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The models of all chains."""
        parsed = [_parsed(predictor.arguments) for predictor in self.first.predictors]
        return models_of(spec for one in parsed for spec in one.services)

    @property
    def transformers(self) -> tuple[TransformerSettings, ...]:
        """None that is known before the overlay is read."""
        return ()

    def models_of(self, repository: Path) -> tuple[str, ...]:
        """What the Triton over a repository loads: of a release, all that is in it."""
        if repository == self.repository:
            return self.models
        return models(repository)

    def _wanted(self, documents: Sequence[Document]) -> list[Document]:
        wanted = {spec.name for spec in self.services}
        unwanted = {
            pod.name
            for pod in pods(documents)
            if not {spec.name for spec in _parsed(pod.transformer_arguments()).services} & wanted
        }
        return [
            document
            for document in documents
            if document.get("kind") not in ("InferenceService", "HTTPRoute")
            or at(document, "metadata.name", "").removeprefix("modelport-") not in unwanted
        ]

    def _predictor(self, endpoint: str, pod: Pod, stable: str | None) -> Predictor:
        uri = str(at(pod.predictor, "model.storageUri", ""))
        named = _SERVICE_AND_RELEASE.search(uri)
        if named is None:
            raise StackError(f"{endpoint}: {uri!r} does not end in SERVICE/RELEASE")
        service, release = named[1], stable or named[2]
        repository = self.repository if release == FIRST_RELEASE else self.releases / service / release
        if not repository.is_dir():
            raise StackError(
                f"{endpoint} is to serve release {release} of {service}, which is not in {self.releases}: "
                f"build it with `make release SERVICE={service}`, or choose another one (`make releases`)"
            )
        return Predictor(
            endpoint,
            release,
            repository,
            tuple(pod.transformer_arguments()),
            tuple((v["name"], v["value"]) for v in pod.transformer.get("env") or [] if "value" in v),
        )


def _local(argument: str) -> str:
    """A record is written to a folder of the checkout where the pods write it to their volume."""
    return f"--record={RECORD}" if argument.startswith("--record=/") else argument


def _parsed(arguments: Sequence[str]) -> Settings:
    return parse_settings([*arguments, "--model_repository=."])


def _predictors(pod: Pod, stable: Mapping[str, str]) -> Iterator[tuple[str, tuple[Pod, str | None]]]:
    """A service's stable predictor and its canaries, which take over what they do not say themselves.

    With each its release, where the documents do not say it.
    """
    spec: Mapping[str, Any] = pod.service["spec"]
    knative = "canaryTrafficPercent" in pod.predictor  # the documents are the canary; the rest has the revision before
    yield pod.name, (pod, stable[pod.name] if knative else None)
    for canary in spec.get("canary") or []:
        predictor = {**pod.predictor, **canary["predictor"]}
        name = f"{pod.name}-{predictor['name']}"
        yield name, (Pod({**pod.service, "spec": {**spec, "predictor": predictor}}, pod.runtime), None)
    if knative:
        yield f"{pod.name}-canary", (pod, None)
