"""Counters of rare events exist before the first one."""

import os
import re
import subprocess
import sys

from kserve_transformers import service
from kserve_transformers.metrics import FALLBACK_CAUSES

COUNT = """
from prometheus_client import generate_latest
from kserve_transformers.metrics import count_from_zero
from modelport.environment import ROOT
count_from_zero({"cars": ["cars"]})
print(generate_latest().decode())
"""


def test_every_outcome_protocol_and_cause_of_a_service_starts_at_zero():
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    told = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=True)
    requests = set(
        re.findall(r'modelport_requests_total{outcome="(\w+)",protocol="(\w+)",service="cars"} 0.0', told.stdout)
    )
    for protocol in ("own", "v1", "v2"):
        assert {
            ("200", protocol),
            ("429", protocol),
            ("502", protocol),
            ("504", protocol),
            ("gone", protocol),
        } <= requests
    assert {("OK", "grpc"), ("UNAVAILABLE", "grpc"), ("DEADLINE_EXCEEDED", "grpc")} <= requests
    causes = re.findall(r'modelport_fallbacks_total{cause="([\w ]+)",model="cars",service="cars"} 0.0', told.stdout)
    assert sorted(causes) == sorted(FALLBACK_CAUSES)
    assert 'modelport_refused_pixels_total{service="cars"} 0.0' in told.stdout
    assert "modelport_refused_bytes_total 0.0" in told.stdout
    assert 'modelport_request_seconds_count{protocol="grpc",service="cars"} 0.0' in told.stdout


def test_no_model_is_passed_over_for_another_cause():
    assert set(service._CAUSES.values()) <= set(FALLBACK_CAUSES)
