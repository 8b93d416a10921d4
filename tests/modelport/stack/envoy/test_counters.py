"""What a real Envoy counts of a canary that answers, fails, hangs up, and is not there."""

import math

import httpx
from waiting import wait_for

from modelport.stack.envoy.counters import Counters, parse, read_counters

CANARY, STABLE = "detector/detector-canary", "detector/detector"


def test_answers_and_failures_are_counted_by_release(run_overlay):
    routed = run_overlay("canary-standard")
    admin = routed.envoy.http_port
    statuses = []
    with httpx.Client(base_url=f"http://127.0.0.1:{routed.port}", timeout=60) as client:
        for behaviour in ("answer", "500", "reset"):
            routed.pods["detector-canary"].behaviour = behaviour
            for _ in range(60):
                statuses.append(client.post("/v1/models/detector:predict", content=b"image").status_code)
        routed.pods["detector-canary"].vanish()
        statuses += [client.post("/v1/models/detector:predict", content=b"image").status_code for _ in range(60)]
    found = read_counters(admin)
    canary, stable = found[CANARY], found[STABLE]
    assert (stable.failed, canary.good + stable.good) == (0, statuses.count(200))
    assert canary.failed == len(statuses) - statuses.count(200) > 0
    assert stable.sent == stable.good
    wait_for(lambda: read_counters(admin)[STABLE].within.get(math.inf, 0) == stable.good)  # once a few seconds
    assert found["cars"] == Counters(within={})


def test_counters_are_added_and_subtracted_bound_by_bound():
    one, other = Counters(good=5, failed=1, within={1.0: 2, math.inf: 6}), Counters(good=2, within={1.0: 1})
    assert one - other == Counters(good=3, failed=1, within={1.0: 1, math.inf: 6})
    assert other + one == Counters(good=7, failed=1, within={1.0: 3, math.inf: 6})


def test_nothing_is_made_of_other_metrics():
    assert parse('# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\nother{envoy_cluster_name="a"} 1\n') == {
        "a": Counters()
    }
