"""Prometheus metrics of the transformers, on /metrics beside KServe's own."""

from collections.abc import Mapping, Sequence

from prometheus_client import Counter, Gauge, Histogram, Info

from kserve_transformers.errors import ServingError

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Counter(
    "modelport_requests_total",
    "Requests by outcome: an HTTP status, a gRPC code, or gone",
    ["service", "protocol", "outcome"],
)
SECONDS = Histogram("modelport_request_seconds", "Time of whole requests", ["service", "protocol"], buckets=_BUCKETS_S)
STAGES = Histogram("modelport_stage_seconds", "Time of requests by stage", ["service", "stage"], buckets=_BUCKETS_S)
FALLBACKS = Counter(
    "modelport_fallbacks_total", "Models that were passed over in a chain, and why", ["service", "model", "cause"]
)
REFUSED_BYTES = Counter(
    "modelport_refused_bytes_total", "Bytes of bodies over the limit, as declared or as received so far"
)
REFUSED_PIXELS = Counter(
    "modelport_refused_pixels_total", "Pixels of images over the limit, as their headers declare", ["service"]
)
KEY_REQUESTS = Counter(
    "modelport_key_requests_total", "Requests by the name of their API key; none: refused without one", ["key"]
)
SPANS = Counter("modelport_spans_total", "Spans of traces: sent, failed, or dropped while too many waited", ["outcome"])
MODEL_READY = Gauge("modelport_model_ready", "1 where the model is ready", ["model"])
GOLDEN_DRIFT = Gauge("modelport_golden_drift", "Golden answer's largest error as a share of what is allowed", ["model"])
SERVICE_READY = Gauge("modelport_service_ready", "1 where a model of the service's chain can answer", ["service"])
MODEL = Info(
    "modelport_model",
    "What serves: its version, its release, whether its weights are trained; precision where it has an int8 network",
    ["model"],
)
BREAKER_OPEN = Gauge("modelport_breaker_open", "1 while a model's circuit breaker is open", ["model"])
IN_FLIGHT = Gauge("modelport_in_flight", "Batches that wait for a model or run on it", ["model"])
RECORDED = Counter("modelport_recorded_total", "Requests in the record", ["service"])
RECORD_LOST = Counter(
    "modelport_record_lost_total", "Requests that should be in the record and are not, and why", ["service", "reason"]
)
RECORD_QUEUE_BYTES = Gauge("modelport_record_queue_bytes", "Bytes of requests that wait to be recorded")
DRIFT_PSI = Gauge(
    "modelport_drift_psi",
    "Population stability index of the latest instances from the reference",
    ["service", "feature"],
)
DRIFT_ALARM = Gauge("modelport_drift_alarm", "1 where the latest instances have drifted", ["service", "feature"])
DRIFT_WINDOW = Gauge("modelport_drift_window", "Instances that are compared with the reference", ["service"])

# Why a model of a chain can be passed over.
FALLBACK_CAUSES = ("untrained", "not ready", "queue full", "error", "too late")

# Why a request that should be in the record is not.
RECORD_LOSSES = ("queue full", "sink failed", "stopped", "fault")


def count_from_zero(chains: Mapping[str, Sequence[str]]) -> None:
    """Let counters of rare events exist before the first one: a rate needs two samples of a series.

    Args:
        chains: the models of each service.
    """
    errors = ServingError.__subclasses__()
    http = ("200", "gone", *dict.fromkeys(str(error.status) for error in errors))
    outcomes = {"own": http, "v1": http, "v2": http, "grpc": ("OK", *dict.fromkeys(e.grpc_code for e in errors))}
    for service, chain in chains.items():
        REFUSED_PIXELS.labels(service)
        RECORDED.labels(service)
        for reason in RECORD_LOSSES:
            RECORD_LOST.labels(service, reason)
        for protocol in outcomes:
            SECONDS.labels(service, protocol)
            for outcome in outcomes[protocol]:
                REQUESTS.labels(service, protocol, outcome)
        for model in chain:
            for cause in FALLBACK_CAUSES:
                FALLBACKS.labels(service, model, cause)
