"""Locust, in its own process, against the real stack; and who is dealt what."""

from __future__ import annotations

from pathlib import Path

import pytest

from load.locusts import LoadError, hold, ramp
from load.replicas import documents, local
from local_router.routes import endpoints, read_routes


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_requests_are_dealt_out_evenly(count):
    (route,) = read_routes(documents("digits", count))
    assert len(endpoints([route])) == count
    weights = [share.weight for share in route.shares]
    assert sum(weights) == 100
    assert max(weights) - min(weights) <= 100 % count


def test_users_are_held_and_what_they_saw_is_measured(stack):
    measured = hold(stack.http, ["digits", "anomaly"], 2, 2)
    assert measured.failed == 0
    assert measured.rate > 0
    assert measured.p50_ms <= measured.p95_ms <= measured.p99_ms


def test_users_come_one_after_another(stack):
    steps = ramp(stack.http, ["digits"], 4, 4)
    users = [step.users for step in steps]
    assert users == sorted(users)
    assert users[0] < users[-1] <= 4
    assert all(step.failed == 0 and step.rate > 0 for step in steps)


def test_replicas_share_the_load_behind_envoy(tmp_path: Path):
    with local("digits", 2, tmp_path) as url:
        assert hold(url, ["digits"], 4, 2).failed == 0
    logs = [file.read_text() for file in sorted(tmp_path.glob("replica-?.log"))]
    assert len(logs) == 2


def test_a_load_that_cannot_be_made_says_so():
    with pytest.raises(LoadError, match="Locust failed"):
        hold("http://127.0.0.1:1", ["digits"], 0, 1)
