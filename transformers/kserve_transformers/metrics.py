"""Prometheus metrics of the transformers, on /metrics beside KServe's own."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

REQUESTS = Counter("modelport_requests_total", "Requests by how they ended", ["service", "outcome"])
FALLBACKS = Counter(
    "modelport_fallbacks_total", "Models that were passed over in a chain, and why", ["service", "model", "cause"]
)
STAGES = Histogram(
    "modelport_stage_seconds",
    "Time of a request by stage",
    ["service", "stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
