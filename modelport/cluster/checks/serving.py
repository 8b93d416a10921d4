"""Every route and protocol answers."""

from __future__ import annotations

from collections.abc import Callable

from modelport.cluster import answers, entries
from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.trial import BrokenPromiseError, Trial
from modelport.manifests.findings import at


def _answers(trial: Trial, _: str) -> str:
    """All services by all protocols, through every way that leads to them."""
    seen = []
    for name in trial.specs:
        if name not in trial.samples or trial.is_light(name):
            continue
        sample = trial.samples[name]
        for entry in map(trial.addresses.resolved, entries.entries(trial.documents, name, trial.namespace)):
            protocols = [one for one in sample.requests if one != answers.GRPC or entry.grpc_url]
            found = {}
            for protocol in protocols:
                try:
                    found[protocol] = answers.judge(trial.send(entry, name, protocol), protocol)
                except ValueError as error:
                    raise BrokenPromiseError(f"{name} by {entry.kind}, {protocol}: {error}") from error
            wrong = answers.agreement(found, sample.expected)
            if wrong:
                raise BrokenPromiseError(f"{name} by {entry.kind}: {wrong}")
            best = found[protocols[0]]
            untrained = "" if sample.expected else ", untrained"
            seen.append(f"{name} by {entry.kind} in {len(protocols)} forms: {best.label} {best.score:.4g}{untrained}")
    return "; ".join(seen)


def _metadata(trial: Trial, _: str) -> str:
    """GET /v2/models/SERVICE and its readiness."""
    for name in trial.specs:
        if trial.is_light(name):
            continue
        entry = trial.entry(name)
        for path in ("", "/ready"):
            (answer,) = trial.caller.send([{"url": f"{entry.url}/v2/models/{name}{path}", "headers": entry.headers}])
            if answer["status"] != "200":
                raise BrokenPromiseError(f"GET /v2/models/{name}{path}: {answer['status']} {answer.get('error', '')}")
    return "metadata and readiness of all services"


def _metrics(trial: Trial, service: str) -> str:
    """A pod of a namespace that is labelled for monitoring reads Triton's; the transformer's are read all the time."""
    pods = trial.pods(service)
    trial.answered(pods)
    url = f"http://{at(pods[0], 'status.podIP')}:8002/metrics"
    code = f"import urllib.request as r; print(r.urlopen({url!r}, timeout=10).read().decode())"
    if "nv_inference" not in trial.visitor(f"{trial.namespace}-monitoring").execute("python3", "-c", code):
        raise BrokenPromiseError("Triton's metrics on port 8002 have no nv_inference series")
    return "the transformer's, and Triton's"


def _node_ports(trial: Trial, service: str) -> str:
    node = trial.cluster.items("node")[0]
    address = next(one["address"] for one in at(node, "status.addresses", []) if one["type"] == "InternalIP")
    ports = []
    for document in trial.cluster.items("service", trial.namespace):
        name = at(document, "spec.selector", {}).get(entries.SERVICE_LABEL)
        if at(document, "spec.type") != "NodePort" or name not in trial.samples:
            continue
        port = next(one["nodePort"] for one in at(document, "spec.ports") if one["name"] == "http")
        answer = trial.send(entries.Entry(entries.SERVICE, f"http://{address}:{port}"), name, "V1")
        if answer["status"] != "200":
            raise BrokenPromiseError(f"{name} on node port {port}: {answer['status']} {answer.get('error', '')}")
        ports.append(f"{name} {port}")
    return ", ".join(ports)


def _load_balancers(trial: Trial, service: str) -> str:
    """Each Service that is a load balancer answers at the address that the cluster gave it."""
    seen = []
    for document in trial.documents:
        name = at(document, "spec.selector", {}).get(entries.SERVICE_LABEL)
        if at(document, "spec.type") != "LoadBalancer" or name not in trial.samples:
            continue
        address = trial.addresses.given("service", str(at(document, "metadata.name")))
        port = next(one["port"] for one in at(document, "spec.ports") if one["name"] == "http")
        answer = trial.send(entries.Entry(entries.SERVICE, f"http://{address}:{port}"), name, "V1")
        if answer["status"] != "200":
            raise BrokenPromiseError(f"{name} at {address}: {answer['status']} {answer.get('error', '')}")
        seen.append(f"{name} at port {port}")
    return ", ".join(seen)


def _has(kind: str) -> Callable[[Trial, str], str]:
    """Whether a Service of the overlay is of a kind."""
    return lambda trial, _: "" if any(at(one, "spec.type") == kind for one in trial.documents) else NOT_PROMISED


CHECKS = (
    Check("answers", "every service answers right by every route and protocol", _answers),
    Check("metadata", "metadata and readiness of every service", _metadata),
    Check("metrics", "metrics of the transformer and of Triton", _metrics),
    Check("node-ports", "every service answers on its node port", _node_ports, _has("NodePort")),
    Check(
        "load-balancers", "every service answers at its load balancer's address", _load_balancers, _has("LoadBalancer")
    ),
)
