"""Prometheus metrics of the transformers, on /metrics beside KServe's own."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Counter(
    "modelport_requests_total",
    "Requests by how they ended: an HTTP status or a gRPC code",
    ["service", "protocol", "outcome"],
)
SECONDS = Histogram("modelport_request_seconds", "Time of whole requests", ["service", "protocol"], buckets=_BUCKETS_S)
STAGES = Histogram("modelport_stage_seconds", "Time of requests by stage", ["service", "stage"], buckets=_BUCKETS_S)
FALLBACKS = Counter(
    "modelport_fallbacks_total", "Models that were passed over in a chain, and why", ["service", "model", "cause"]
)
MODEL_READY = Gauge("modelport_model_ready", "1 where the golden sample's answer was right of late", ["model"])
GOLDEN_DRIFT = Gauge("modelport_golden_drift", "Golden answer's largest error as a share of what is allowed", ["model"])
BREAKER_OPEN = Gauge("modelport_breaker_open", "1 where a model is left alone after failures in a row", ["model"])
IN_FLIGHT = Gauge("modelport_in_flight", "Batches that a model has at present", ["model"])
