"""Counts of a step from the metrics of pods that come, go and start again."""

import math

import pytest

from kserve_transformers.judging.counting import (
    Counted,
    Pod,
    Step,
    UnseenError,
    advance,
    begin,
    counts,
    read_metrics,
    slow_s,
)
from kserve_transformers.judging.judge import Counts, Outcome, Tally, judge

RELEASES = ("s3://models/old", "s3://models/new")


def counted(total: int, bad: int = 0, slow: int = 0) -> Counted:
    return Counted(total, total - bad, {0.1: total - slow, math.inf: total})


def test_only_what_was_counted_since_the_step_began_is_judged():
    step = begin(RELEASES, 5, [Pod("c", 1, counted(50, 7))], [Pod("s", 0, counted(1000, 0, 20))], None)
    assert step.slow_s == 0.1
    step = advance(step, [Pod("c", 1, counted(60, 9, 3))], [Pod("s", 0, counted(1100, 1, 25))])
    assert counts(step, []) == Counts(Tally(2, 10), Tally(1, 100), Tally(3, 10), Tally(5, 100), crashes=0)
    again = Step.from_json(step.to_json())
    assert again == step


@pytest.mark.parametrize(
    ("canary", "expected"),
    [
        pytest.param([Pod("c", 0, counted(60)), Pod("d", 0, counted(30, 1))], Tally(1, 40), id="a new pod"),
        pytest.param([Pod("c", 1, counted(8, 2))], Tally(2, 8), id="its server started again"),
        pytest.param([Pod("c")], Tally(0, 0), id="its metrics cannot be read"),
        pytest.param([], Tally(0, 0), id="it is gone"),
    ],
)
def test_pods_come_and_go(canary, expected):
    step = begin(RELEASES, 5, [Pod("c", 0, counted(50))], [Pod("s", 0, counted(1000))], None)
    assert counts(advance(step, canary, []), canary).errors == expected


def test_a_pod_that_was_not_read_once_is_counted_from_where_it_was():
    step = begin(RELEASES, 5, [Pod("c", 0, counted(50))], [Pod("s", 0, counted(1000))], None)
    for canary in (Pod("c"), Pod("c", 0, counted(70, 4))):
        step = advance(step, [canary], [])
    assert counts(step, []).errors == Tally(4, 20)


def test_crashes_of_the_canary_alone_revert():
    step = begin(RELEASES, 5, [Pod("c", 2)], [Pod("s", 0, counted(1000))], None)
    for crashes, outcome in ((4, Outcome.HOLD), (5, Outcome.REVERT)):
        step = advance(step, [Pod("c", crashes)], [Pod("s", 0, counted(1000))])
        assert judge(counts(step, []), 5).outcome is outcome
    step = advance(step, [Pod("c", 5)], [Pod("s", 3, counted(1000))])  # the node's fault: both sides crash
    assert judge(counts(step, []), 5).outcome is Outcome.HOLD


def test_a_young_stable_side_keeps_the_limit_of_the_step_before():
    with pytest.raises(UnseenError, match="has given 99 answers, of 100"):
        begin(RELEASES, 5, [], [Pod("s", 0, counted(99))], None)
    before = Step(RELEASES, 1, 0.25, Counted(), Counted(), {})
    assert begin(RELEASES, 5, [], [Pod("s", 0, counted(99))], before).slow_s == 0.25
    with pytest.raises(UnseenError):
        begin(("s3://models/older", RELEASES[1]), 5, [], [], before)


def test_the_limit_of_slowness_is_at_or_above_the_95th_percentile():
    assert slow_s(Counted(100, 100, {0.01: 94, 0.025: 95, math.inf: 100})) == 0.025


def test_metrics_of_all_protocols_are_added_and_those_of_other_services_left_out():
    text = """
modelport_requests_total{service="digits",protocol="v1",outcome="200"} 5
modelport_requests_total{service="digits",protocol="grpc",outcome="OK"} 3
modelport_requests_total{service="digits",protocol="grpc",outcome="gone"} 2
modelport_requests_total{service="cars",protocol="v1",outcome="500"} 9
modelport_request_seconds_bucket{service="digits",protocol="v1",le="+Inf"} 5
modelport_request_seconds_bucket{service="digits",protocol="grpc",le="+Inf"} 5
modelport_golden_drift{model="mnist"} NaN
modelport_golden_drift{model="mnist2"} 0.5
"""
    assert read_metrics(text, "digits") == (Counted(10, 8, {math.inf: 10}), 0.5)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"releases": 1}', "no json"])
def test_a_state_that_cannot_be_read_is_none(text):
    assert Step.from_json(text) is None
