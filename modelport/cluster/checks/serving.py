"""Every route and protocol answers, and only those who should can call."""

from __future__ import annotations

from collections import Counter

from modelport.cluster import answers, entries
from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.observation import observe
from modelport.cluster.pods import OwnPod, pod
from modelport.cluster.trial import BrokenPromiseError, NotPossibleError, Trial
from modelport.manifests.findings import Document, at


def _answers(trial: Trial, _: str) -> str:
    """All services by all protocols, through every way that leads to them."""
    seen = []
    for name in trial.specs:
        if name not in trial.samples or _light(trial, name):
            continue
        sample = trial.samples[name]
        for entry in map(trial.resolved, entries.entries(trial.documents, name, trial.namespace)):
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
        if _light(trial, name):
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
    if "nv_inference" not in _visitor(trial, f"{trial.namespace}-monitoring").execute("python3", "-c", code):
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


def _strangers(trial: Trial, service: str) -> str:
    """A pod of a namespace without the label reaches no pod of ours."""
    address = at(trial.pods(service)[0], "status.podIP")
    code = (
        "import socket\n"
        f"for port in (8080, 8081, 8002):\n"
        "    try:\n"
        f"        socket.create_connection(({address!r}, port), 5).close(); print(port)\n"
        "    except OSError: pass\n"
    )
    reached = _visitor(trial, f"{trial.namespace}-outside").execute("python3", "-c", code).split()
    if reached and observe(trial.cluster).policy_controller is None:
        raise NotPossibleError("no controller enforces NetworkPolicies on this cluster")
    if reached:
        raise BrokenPromiseError(f"a pod of another namespace reaches ports {', '.join(reached)}")
    return "ports 8080, 8081 and 8002 are closed to other namespaces"


def _egress(trial: Trial, service: str) -> str:
    """From a pod of ours: names are resolved, and neither the API server nor the pod that calls is reached."""
    target = at(trial.cluster.get("service", "kubernetes", "default") or {}, "spec.clusterIP")
    code = (
        "import socket\n"
        "socket.getaddrinfo('kubernetes.default.svc.cluster.local', 443)\n"
        "try:\n"
        f"    socket.create_connection(({target!r}, 443), 5).close(); print('reached')\n"
        "except OSError: pass\n"
    )
    if not trial.caller.execute("python3", "-c", code):
        raise NotPossibleError("the test's own pod does not reach the API server either")
    pod = at(trial.pods(service)[0], "metadata.name")
    inside = ("exec", f"--namespace={trial.namespace}", pod, "--container=transformer-container", "--")
    if trial.cluster.run(*inside, "python3", "-c", code):
        if observe(trial.cluster).policy_controller is None:
            raise NotPossibleError("no controller enforces NetworkPolicies on this cluster")
        raise BrokenPromiseError("a pod of ours reaches the API server")
    return "names are resolved and models were read; the API server is not reached"


def _limit(trial: Trial, service: str) -> str:
    """Many callers of one address at once: some are refused and told when to come back, and nothing else goes wrong."""
    limit = at(_limited(trial), "spec.rateLimit.local.rules.0.limit.requests")
    entry = trial.entry(service)
    request = {"url": f"{entry.url}/v2/models/{service}", "headers": entry.headers}
    found = trial.caller.send([request] * 8 * limit, parallel=limit)
    refused = [one for one in found if one["status"] == "429"]
    others = {one["status"] for one in found} - {"200", "429"}
    if others or not refused or not all("retry-after" in one["headers"] for one in refused):
        seen = Counter(one["status"] for one in found)
        raise BrokenPromiseError(f"{dict(seen)}: not some 429, each with Retry-After, and the others 200")
    return f"{len(refused)} of {len(found)} requests got 429 with Retry-After, the others 200"


def _limited(trial: Trial) -> Document:
    return next((one for one in trial.documents if at(one, "spec.rateLimit.local")), {})


def _tokens(trial: Trial, service: str) -> str:
    """Without a token and with a false one: 401. With a good one the other checks call."""
    entry = trial.entry(service)
    without = {key: value for key, value in entry.headers.items() if key != "authorization"}
    forged = {**entry.headers, "authorization": entry.headers["authorization"][:-6] + "AAAAAA"}
    path = f"{entry.url}/v2/models/{service}"
    origin = {
        "origin": str(at(_token_policy(trial), "spec.cors.allowOrigins.0", "")),
        "access-control-request-method": "POST",
    }
    bare, false, good, preflight = trial.caller.send(
        [
            {"url": path, "headers": without},
            {"url": path, "headers": forged},
            {"url": path, "headers": entry.headers},
            {"url": path, "method": "OPTIONS", "headers": {**without, **origin}},
        ]
    )
    if [bare["status"], false["status"], good["status"]] != ["401", "401", "200"]:
        raise BrokenPromiseError(f"no token {bare['status']}, forged {false['status']}, good {good['status']}")
    if preflight["headers"].get("access-control-allow-origin") != origin["origin"]:
        raise BrokenPromiseError(f"a preflight request of an allowed origin: {preflight['status']}")
    return "no token 401, forged token 401, good token 200, CORS preflight allowed"


def _visitor(trial: Trial, namespace: str) -> OwnPod:
    image = at(trial.cluster.get("pod", trial.caller.name, trial.caller.namespace) or {}, "spec.containers.0.image")
    return OwnPod(trial.cluster, pod("visitor", namespace, image))


def _light(trial: Trial, name: str) -> bool:
    """Whether an InferenceService is lighter pods of a service, which the gateway alone calls."""
    return trial.specs[name].name != name


def _no_tokens(trial: Trial, service: str) -> str:
    return "" if _token_policy(trial) else NOT_PROMISED


def _token_policy(trial: Trial) -> Document:
    return next((one for one in trial.documents if at(one, "spec.jwt")), {})


def _enforced(trial: Trial, service: str) -> str:
    policies = [one for one in trial.documents if one["kind"] == "NetworkPolicy"]
    opened = any(not rule.get("from") for one in policies for rule in at(one, "spec.ingress", []))
    return NOT_PROMISED if opened or not policies else ""


def _open_egress(trial: Trial, service: str) -> str:
    closed = any("Egress" in at(one, "spec.policyTypes", []) for one in trial.documents)
    return "" if closed else NOT_PROMISED


def _no_limit(trial: Trial, service: str) -> str:
    return "" if _limited(trial) else NOT_PROMISED


def _has_node_ports(trial: Trial, service: str) -> str:
    return "" if any(at(one, "spec.type") == "NodePort" for one in trial.documents) else NOT_PROMISED


CHECKS = (
    Check("answers", "every service answers right by every route and protocol", _answers),
    Check("metadata", "metadata and readiness of every service", _metadata),
    Check("metrics", "metrics of the transformer and of Triton", _metrics),
    Check("node-ports", "every service answers on its node port", _node_ports, _has_node_ports),
    Check("tokens", "the gateway checks tokens and answers browsers", _tokens, _no_tokens),
    Check("rate-limit", "who calls too often gets 429", _limit, _no_limit),
    Check("egress", "pods reach storage and DNS alone", _egress, _open_egress),
    Check("network-policy", "other namespaces reach no pod", _strangers, _enforced),
)
