"""Who may call, how often, and what the pods may call themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.kubectl import wait_until
from modelport.cluster.observation import observe
from modelport.cluster.trial import BrokenPromiseError, NotPossibleError, Trial
from modelport.manifests.findings import Document, at

LOWERED, LOWERED_S = 2, 120.0  # requests a second, and how long the gateway may take to learn it
BURST, CALLERS = 60, 10


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


def _limit(trial: Trial, service: str) -> str:
    """Envoy tells the declared limit. With a lower one, some of many requests at once get 429, and all others 200."""
    told = []
    services = [name for name in trial.specs if not trial.is_light(name)]
    requests = [
        {"url": f"{entry.url}/v2/models/{name}", "headers": entry.headers}
        for name, entry in zip(services, map(trial.entry, services), strict=True)
    ]
    for answer in trial.caller.send(requests):
        if _told_limit(answer) != trial.rate_limit:
            raise BrokenPromiseError(
                f"x-ratelimit-limit is {_told_limit(answer)}, not {trial.rate_limit}: {answer['status']}"
            )

    def lower(documents: list[dict[str, Any]]) -> None:
        for one in documents:
            for rule in at(one, "spec.rateLimit.local.rules", []):
                rule["limit"]["requests"] = LOWERED

    trial.deploy(change=lower)
    for name, request in zip(services, requests, strict=True):
        wait_until(
            lambda request=request: {_told_limit(one) for one in trial.caller.send([request] * 4)} == {LOWERED},  # type: ignore[misc]
            f"the gateway limits {name} to {LOWERED} requests",
            LOWERED_S,
        )
        found = trial.caller.send([request] * BURST, parallel=CALLERS)
        refused = [one for one in found if one["status"] == "429"]
        seen = Counter(one["status"] for one in found)
        if set(seen) != {"200", "429"} or not all("retry-after" in one["headers"] for one in refused):
            raise BrokenPromiseError(f"{name}: {dict(seen)}: not some 429, each with Retry-After, and the others 200")
        told.append(f"{name} {seen['429']} of {BURST}")
    lowered = f"lowered to {LOWERED}, 429 with Retry-After: {', '.join(told)}, the others 200"
    return f"{trial.rate_limit} for each address; {lowered}"


def _told_limit(answer: Mapping[str, Any]) -> int:
    """The limit in an answer's x-ratelimit-limit, as in `50, 50;w=1`; 0 without one."""
    return int(str(answer["headers"].get("x-ratelimit-limit", "0")).partition(",")[0])


def _egress(trial: Trial, service: str) -> str:
    """From a pod of ours: names are resolved; neither the API server nor the gateway's Envoys are reached."""
    target = str(at(trial.cluster.get("service", "kubernetes", "default") or {}, "spec.clusterIP"))
    targets = {"the API server": (target, 443)}
    if any(one["kind"] == "Gateway" for one in trial.documents):
        address = urlsplit(trial.addresses.plain_url())
        targets["the gateway"] = (str(address.hostname), address.port or 80)
    code = (
        "import json, socket, sys\n"
        "socket.getaddrinfo('kubernetes.default.svc.cluster.local', 443)\n"
        "for name, target in json.loads(sys.argv[1]).items():\n"
        "    try:\n"
        "        socket.create_connection(target, 5).close(); print(name)\n"
        "    except OSError: pass\n"
    )
    command = ("python3", "-c", code, json.dumps(targets))
    for name in set(targets) - set(trial.caller.execute(*command).splitlines()):
        raise NotPossibleError(f"the test's own pod does not reach {name} either")
    pod = at(trial.pods(service)[0], "metadata.name")
    inside = ("exec", f"--namespace={trial.namespace}", pod, "--container=transformer-container", "--")
    reached = trial.cluster.run(*inside, *command).splitlines()
    _refuse(trial, f"a pod of ours reaches {' and '.join(reached)}" if reached else "")
    return f"names are resolved and models were read; {' and '.join(targets)} cannot be reached"


def _strangers(trial: Trial, service: str) -> str:
    """A pod of a namespace without the label reaches no pod of ours."""
    address = at(trial.pods(service)[0], "status.podIP")
    rules = [rule for one in trial.documents if one["kind"] == "NetworkPolicy" for rule in at(one, "spec.ingress", [])]
    ports = sorted({int(port["port"]) for rule in rules for port in rule.get("ports", [])})
    code = (
        "import socket\n"
        f"for port in {ports}:\n"
        "    try:\n"
        f"        socket.create_connection(({address!r}, port), 5).close(); print(port)\n"
        "    except OSError: pass\n"
    )
    reached = trial.visitor(f"{trial.namespace}-outside").execute("python3", "-c", code).split()
    _refuse(trial, f"a pod of another namespace reaches ports {', '.join(reached)}" if reached else "")
    return f"ports {', '.join(map(str, ports))} are closed to other namespaces"


def _refuse(trial: Trial, reached: str) -> None:
    """Fail where something was reached; where no controller enforces NetworkPolicies, say that instead."""
    if reached and observe(trial.cluster).policy_controller is None:
        raise NotPossibleError("no controller enforces NetworkPolicies on this cluster")
    if reached:
        raise BrokenPromiseError(reached)


def _token_policy(trial: Trial) -> Document:
    return next((one for one in trial.documents if at(one, "spec.jwt")), {})


def _no_tokens(trial: Trial, service: str) -> str:
    return "" if _token_policy(trial) else NOT_PROMISED


def _no_limit(trial: Trial, service: str) -> str:
    return "" if trial.rate_limit else NOT_PROMISED


def _open_egress(trial: Trial, service: str) -> str:
    closed = any("Egress" in at(one, "spec.policyTypes", []) for one in trial.documents)
    return "" if closed else NOT_PROMISED


def _enforced(trial: Trial, service: str) -> str:
    policies = [one for one in trial.documents if one["kind"] == "NetworkPolicy"]
    opened = any(not rule.get("from") for one in policies for rule in at(one, "spec.ingress", []))
    return NOT_PROMISED if opened or not policies else ""


CHECKS = (
    Check("tokens", "the gateway checks tokens and answers browsers", _tokens, _no_tokens),
    Check("rate-limit", "who calls too often gets 429", _limit, _no_limit),
    Check("egress", "pods reach storage and DNS alone", _egress, _open_egress),
    Check("network-policy", "other namespaces reach no pod", _strangers, _enforced),
)
