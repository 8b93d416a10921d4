"""What an overlay declares about traffic, read from its documents: paths, shares, fallback, retries, time limits.

Endpoints are named as people would: `detector`, its canary `detector-canary`, the lighter pods `classifier-light`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelport.manifests.findings import Document, at, of, quantity

INFERENCE_SERVICE = "serving.kserve.io/inferenceservice"
GATEWAY_BUFFER_BYTES = 32 * 1024  # Envoy Gateway's default
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class RouteError(Exception):
    """The documents route to something that they do not contain."""


@dataclass(frozen=True)
class Share:
    """One of the endpoints that share a route's requests.

    Args:
        endpoint: its name.
        weight: its part of the sum of all weights.
    """

    endpoint: str
    weight: int


@dataclass(frozen=True)
class Match:
    """A path, or all below it."""

    path: str
    exact: bool


@dataclass(frozen=True)
class Route:
    """Where the requests of some paths go."""

    name: str  # of the HTTPRoute or InferenceService
    matches: tuple[Match, ...]  # any of these
    shares: tuple[Share, ...]  # endpoints by weight, of the first priority
    fallback: tuple[str, ...]  # endpoints that are tried when those of the first priority fail
    timeout_s: float  # of a whole request, retries and all
    policy: Mapping[str, Any]  # `spec` of the BackendTrafficPolicy that targets the route; empty where there is none
    # endpoints that get copies of so many per cent of the requests; no caller gets their answers
    mirrors: tuple[Share, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """All endpoints."""
        return (*(share.endpoint for share in (*self.shares, *self.mirrors)), *self.fallback)


def read_routes(documents: Sequence[Document]) -> list[Route]:
    """The routes of an overlay: its HTTPRoutes, or those that KServe makes where it has none.

    KServe distinguishes services by host name; on one machine the path does, as in our own HTTPRoutes.

    Raises:
        RouteError: a backend is not among the documents.
    """
    declared = [route for document in of(documents, "HTTPRoute") for route in _routes(document, documents)]
    return declared or [_kserve_route(service) for service in of(documents, "InferenceService")]


def buffer_bytes(documents: Sequence[Document]) -> int:
    """How much of a request Envoy keeps, to send it again."""
    limits = [at(policy, "spec.connection.bufferLimit") for policy in of(documents, "ClientTrafficPolicy")]
    return max((int(quantity(limit)) for limit in limits if limit), default=GATEWAY_BUFFER_BYTES)


def endpoints(routes: Sequence[Route]) -> list[str]:
    """Names of all endpoints, each once."""
    return list(dict.fromkeys(name for route in routes for name in route.named))


def seconds(duration: str) -> float:
    """A Gateway API duration: 1h, 35s, 250ms, 1m30s."""
    parts = re.findall(r"(\d+)(ms|[smh])", duration)
    if "".join(number + unit for number, unit in parts) != duration or not parts:
        raise RouteError(f"{duration!r} is no duration")
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)


def _find(documents: Sequence[Document], kind: str, name: str) -> Document:
    for document in of(documents, kind):
        if at(document, "metadata.name") == name:
            return document
    raise RouteError(f"no {kind} {name!r} among the documents")


def _routes(route: Document, documents: Sequence[Document]) -> Iterator[Route]:
    name = at(route, "metadata.name")
    policy = next((p for p in of(documents, "BackendTrafficPolicy") if _targets(p, name)), {})
    for rule in at(route, "spec.rules", []):
        shares: list[Share] = []
        fallback: list[str] = []
        if not rule.get("backendRefs"):  # a redirect to HTTPS, which is not served here
            continue
        for reference in rule["backendRefs"]:
            weight = reference.get("weight", 1)
            if reference.get("kind") == "Backend":
                backend = _find(documents, "Backend", reference["name"])
                names = [
                    _service_of(point["fqdn"]["hostname"], documents) for point in at(backend, "spec.endpoints", [])
                ]
                if at(backend, "spec.fallback"):
                    fallback += names
                else:
                    shares += [Share(name, weight) for name in names]
            else:
                shares += _split(_service(reference["name"], documents), weight)
        limit = at(rule, "timeouts.request") or at(policy, "spec.timeout.http.requestTimeout") or "15s"
        matches = tuple(Match(at(m, "path.value"), at(m, "path.type") == "Exact") for m in rule.get("matches", []))
        mirrors = [one["requestMirror"] for one in rule.get("filters", []) if one.get("type") == "RequestMirror"]
        copies = tuple(
            Share(at(_service(one["backendRef"]["name"], documents), "metadata.name"), one.get("percent", 100))
            for one in mirrors
        )
        policy_spec = at(policy, "spec", {})
        yield Route(name, matches, tuple(shares), tuple(fallback), seconds(limit), policy_spec, copies)


def _targets(policy: Document, route: str) -> bool:
    targets = [(target.get("kind"), target.get("name")) for target in at(policy, "spec.targetRefs", [])]
    return ("HTTPRoute", route) in targets


def _service_of(hostname: str, documents: Sequence[Document]) -> str:
    return str(at(_service(hostname.split(".")[0], documents), "metadata.name"))


def _service(name: str, documents: Sequence[Document]) -> Document:
    """The InferenceService whose pods a Service selects."""
    selected = at(_find(documents, "Service", name), "spec.selector", {}).get(INFERENCE_SERVICE)
    return _find(documents, "InferenceService", selected)


def _kserve_route(service: Document) -> Route:
    name = at(service, "metadata.name")
    paths = (f"/{name}", f"/v1/models/{name}", f"/v2/models/{name}")
    matches = (Match(f"/v1/models/{name}:predict", exact=True), *(Match(path, exact=False) for path in paths))
    timeout_s = float(at(service, "spec.predictor.timeout", 60))
    return Route(name, matches, tuple(_split(service, 1)), (), timeout_s, {})


def _split(service: Document, weight: int) -> list[Share]:
    """A service's share, parted between its stable pods and its canaries."""
    name = at(service, "metadata.name")
    canaries = [(at(c, "predictor.name"), at(c, "trafficPercent", 0)) for c in at(service, "spec.canary", [])]
    latest = at(service, "spec.predictor.canaryTrafficPercent")
    if latest is not None:
        canaries = [("canary", latest)]
    rest = 100 - sum(percent for _, percent in canaries)
    return [Share(name, weight * rest), *(Share(f"{name}-{canary}", weight * percent) for canary, percent in canaries)]
