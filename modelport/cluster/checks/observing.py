"""What is recorded arrives on the volume and in a sink; spans of both servers arrive at a collector."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from kserve_transformers.record.events import REQUEST, RESPONSE
from modelport.cluster import entries
from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.kubectl import wait_until
from modelport.cluster.observation import CONTROLLERS, NOT_IN_A_POD, observe
from modelport.cluster.receiver import Received, Receiver
from modelport.cluster.trial import BrokenPromiseError, Trial
from modelport.manifests.findings import at
from modelport.manifests.pods import TRANSFORMER, pods

RECORD, TRACE = "--record", "--trace"
ARRIVAL_TIMEOUT_S = 120.0
SCRAPED_S = 180.0  # the operator's configuration reaches Prometheus, which then reads every 15 s
PROMETHEUS = "http://prometheus-operated.monitoring.svc:9090"  # as the operator calls it, for the component `keda` too
EVENT_BATCH = "application/cloudevents-batch+json"
TRANSFORMER_SPANS, TRITON_SPANS = {"decode", "infer", "postprocess"}, {"InferRequest"}


def record_on_volume(trial: Trial, service: str) -> list[dict[str, Any]]:
    """The events of a service on the record's volume, in the order of the record."""
    folder = _option(trial, RECORD)
    command = f"cat {folder}/{service}/*/*.jsonl 2>/dev/null || true"
    (pod, *_) = trial.pods(service)
    text = trial.cluster.run(
        "exec", f"--namespace={trial.namespace}", at(pod, "metadata.name"), "-c", TRANSFORMER, "--", "sh", "-c", command
    )
    return [json.loads(line) for line in text.splitlines()]


def _volume(trial: Trial, service: str) -> str:
    sent = _send(trial, service)
    events = wait_until(
        lambda: _of(record_on_volume(trial, service), sent), "events are on the volume", ARRIVAL_TIMEOUT_S
    )
    return _judged(events, sent, "the volume")


def _sink(trial: Trial, service: str) -> str:
    with _receiver(trial) as receiver:
        address = f"{RECORD}={receiver.url}/"
        trial.deploy(change=lambda documents: _set_option(documents, RECORD, address))
        trial.wait_ready()
        sent = _send(trial, service)

        def arrived() -> list[dict[str, Any]]:
            batches = [json.loads(one.body) for one in receiver.received() if one.content_type == EVENT_BATCH]
            return _of([event for batch in batches for event in batch], sent)

        return _judged(
            wait_until(arrived, "events arrive in the sink", ARRIVAL_TIMEOUT_S, trial.explain), sent, "a sink"
        )


def _traces(trial: Trial, service: str) -> str:
    with _receiver(trial) as receiver:
        trace = secrets.token_hex(16)
        _send(trial, service, {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"})

        def arrived() -> set[str]:
            names = {name for one in receiver.received() for found, name in _spans(one) if found == trace}
            return names if names >= TRANSFORMER_SPANS | TRITON_SPANS else set()

        def explain() -> str:
            return f"received {[(one.path, _spans(one)) for one in receiver.received()][-3:]}"

        names = wait_until(arrived, "spans of one trace arrive from both servers", ARRIVAL_TIMEOUT_S, explain)
        trial.cluster.delete("pod", "otel-collector", f"{trial.namespace}-caller")
    with trial.traffic(service) as traffic:  # the collector is gone
        wait_until(lambda: sum(trial.answered(trial.pods(service)).values()) > 50, "traffic flows", ARRIVAL_TIMEOUT_S)
    return f"one trace has {', '.join(sorted(names))}; without the collector {traffic.require_none_lost()}"


def _scraped(trial: Trial, service: str) -> str:
    """Prometheus reads both servers of every pod, with the label that queries use, and knows all alerts."""
    names = {at(pod, "metadata.name") for name in trial.specs for pod in trial.pods(name)}
    label = entries.SERVICE_LABEL.replace(".", "_").replace("/", "_")
    query = f'count by (pod, {label}) (up{{namespace="{trial.namespace}"}} == 1)'

    def read() -> bool:
        found = {one["metric"]["pod"]: one for one in _ask(trial, f"query?query={quote(query)}")["result"]}
        return set(found) == names and all(one["value"][1] == "2" and label in one["metric"] for one in found.values())

    def alerts() -> set[str]:
        groups = _ask(trial, "rules?type=alert")["groups"]
        return {one["name"] for group in groups for one in group["rules"] if one["health"] == "ok"}

    declared = {
        one["alert"]
        for rules in trial.documents
        if rules["kind"] == "PrometheusRule"
        for group in at(rules, "spec.groups")
        for one in group["rules"]
        if "alert" in one
    }
    wait_until(read, f"Prometheus reads {len(names)} pods", SCRAPED_S, lambda: str(_ask(trial, "targets")))
    wait_until(lambda: declared <= alerts(), "the alerts are evaluated", SCRAPED_S, lambda: str(declared - alerts()))
    return f"both endpoints of {len(names)} pods, {len(declared)} alerts"


def _ask(trial: Trial, what: str) -> dict[str, Any]:
    """What Prometheus' API says, asked from a namespace with the label of monitoring."""
    url = f"{PROMETHEUS}/api/v1/{what}"
    code = f"import urllib.request as r; print(r.urlopen({url!r}, timeout=10).read().decode())"
    told: dict[str, Any] = json.loads(trial.visitor(f"{trial.namespace}-monitoring").execute("python3", "-c", code))
    return dict(told["data"])


def _no_operator(trial: Trial, service: str) -> str:
    if not any(one["kind"] == "PodMonitor" for one in trial.documents):
        return NOT_PROMISED
    gone = observe(trial.cluster).version_of(CONTROLLERS["monitoring.coreos.com"]) == NOT_IN_A_POD
    return "no pod runs the Prometheus operator" if gone else ""


@contextmanager
def _receiver(trial: Trial) -> Iterator[Receiver]:
    image = at(trial.cluster.get("pod", trial.caller.name, trial.caller.namespace) or {}, "spec.containers.0.image")
    receiver = Receiver(trial.cluster, trial.caller.namespace, image)
    try:
        yield receiver
    finally:
        receiver.delete()


def _spans(received: Received) -> list[tuple[str, str]]:
    """The trace id and the name of each span; Triton sends JSON."""
    if received.content_type.startswith("application/json"):
        resources = json.loads(received.body).get("resourceSpans", [])
        spans = [span for one in resources for scope in one.get("scopeSpans", []) for span in scope.get("spans", [])]
        return [(span["traceId"].lower(), span["name"]) for span in spans]
    message = ExportTraceServiceRequest.FromString(received.body)
    scopes = [scope for resource in message.resource_spans for scope in resource.scope_spans]
    return [(span.trace_id.hex(), span.name) for scope in scopes for span in scope.spans]


def _send(trial: Trial, service: str, headers: dict[str, str] | None = None) -> dict[str, str]:
    """Send the sample by each protocol, until it is answered; returns the request ids."""
    entry, sent = trial.entry(service), {}
    for protocol, sample in trial.samples[service].requests.items():
        if "grpc" in sample and not entry.grpc_url:
            continue
        url = entry.grpc_url if "grpc" in sample else entry.url + sample["path"]
        given = {**sample.get("headers", {}), **entry.headers, **(headers or {})}

        def answered(sample: Mapping[str, Any] = sample, url: str = url, given: Mapping[str, str] = given) -> str:
            request = secrets.token_hex(8)
            (answer,) = trial.caller.send([{**sample, "url": url, "headers": {**given, "x-request-id": request}}])
            return request if answer["status"] == "200" else ""

        sent[protocol] = wait_until(answered, f"{protocol} is answered", ARRIVAL_TIMEOUT_S, trial.explain)
    return sent


def _of(events: list[dict[str, Any]], sent: dict[str, str]) -> list[dict[str, Any]]:
    """The events of requests that were sent; none while some are missing."""
    found = [one for one in events if one["id"] in sent.values()]
    return found if len(found) >= 2 * len(sent) else []


def _judged(events: list[dict[str, Any]], sent: dict[str, str], where: str) -> str:
    kinds = {request: sorted(one["type"] for one in events if one["id"] == request) for request in sent.values()}
    wrong = [request for request, types in kinds.items() if types != sorted((REQUEST, RESPONSE))]
    contents = [one for one in events if '"content"' in json.dumps(one)]
    if wrong or contents:
        raise BrokenPromiseError(f"in {where}: {kinds}; {len(contents)} events hold an image without consent")
    return f"a request and an answer of each of {', '.join(sent)} are in {where}, images by their hashes alone"


def _option(trial: Trial, name: str) -> str:
    arguments = [one for pod in pods(trial.documents) for one in pod.transformer_arguments()]
    return next((one.partition("=")[2] for one in arguments if one.startswith(f"{name}=")), "")


def _set_option(documents: list[dict[str, Any]], name: str, argument: str) -> None:
    for one in documents:
        if one["kind"] == "InferenceService":
            arguments = one["spec"]["predictor"]["containers"][0]["args"]
            arguments[:] = [argument if each.startswith(f"{name}=") else each for each in arguments]


CHECKS = (
    Check("scraped", "Prometheus reads all pods, and evaluates the alerts", _scraped, _no_operator, keeps=True),
    Check(
        "record-volume",
        "requests and answers are recorded on the volume",
        _volume,
        lambda trial, service: "" if _option(trial, RECORD) else NOT_PROMISED,
    ),
    Check(
        "record-sink",
        "requests and answers arrive in an HTTP sink",
        _sink,
        lambda trial, service: "" if _option(trial, RECORD) else NOT_PROMISED,
    ),
    Check(
        "traces",
        "spans of the transformer and of Triton arrive at a collector; one that is gone costs no request",
        _traces,
        lambda trial, service: "" if _option(trial, TRACE) else NOT_PROMISED,
    ),
)
