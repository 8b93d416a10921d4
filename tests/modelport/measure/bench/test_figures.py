"""The arithmetic of the benchmark, against values made by hand."""

import dataclasses
import json
import math

import pytest

from modelport.measure.bench import plots
from modelport.measure.bench.cases import CASES, requests
from modelport.measure.bench.figures import Point, Spread, best, percentile, rows, saturation
from modelport.measure.bench.reach import GOALS, Reach, Verdict, verdicts
from modelport.measure.bench.report import History, results
from modelport.measure.generator.requests import Request


def point(system="ours", protocol="raw body", concurrency=1, turn=0, rate=10.0, p50=5.0, p99=9.0, failed=0) -> Point:
    return Point(
        "detector",
        system,
        protocol,
        concurrency,
        turn,
        int(rate * 2),
        {"503": failed},
        2.0,
        p50,
        p50,
        p99,
        1.0,
        0.1,
        0.0,
        {},
        pace_ms=2.0,
    )


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param([3, 1, 2], 0.5, 2, id="middle"),
        pytest.param([1, 2], 0.5, 1.5, id="between two"),
        pytest.param([0, 10, 20, 30], 0.99, 29.7, id="near the greatest"),
        pytest.param([7], 0.99, 7, id="one value"),
    ],
)
def test_a_percentile_lies_between_its_neighbours(values, share, expected):
    assert percentile(values, share) == pytest.approx(expected)


def test_nothing_has_no_percentile_and_no_spread():
    assert math.isnan(percentile([], 0.5))
    assert math.isnan(Spread.of([]).median)


def test_one_wild_round_moves_neither_median_nor_its_neighbours():
    assert Spread.of([10, 11, 12, 1000, 9]) == Spread(11, 2)


def test_rounds_of_a_setting_are_put_together():
    (row,) = rows([point(turn=0, rate=10), point(turn=1, rate=30), point(turn=2, rate=11, failed=3)])
    assert (row.rate.median, row.rounds, row.failed) == (11, 3, 3)


def test_saturation_is_the_least_concurrency_near_the_best():
    measured = rows([point(concurrency=c, rate=r) for c, r in ((1, 10), (2, 19.5), (4, 20), (8, 18))])
    assert saturation(measured).concurrency == 2
    assert best(measured).concurrency == 4


def test_reach_is_judged_by_ratios_of_medians():
    measured = rows(
        [
            *[point(concurrency=c, rate=r, p50=50, p99=100) for c, r in ((1, 10), (4, 18))],
            *[point("raw", f"batch {b}", 2, rate=r) for b, r in ((1, 20), (4, 18))],
            point(protocol="own", concurrency=4, rate=15),
            point("legacy", "own", 4, rate=7.5),
        ]
    )
    values = {verdict.reach.figure: (verdict.value, verdict.reached) for verdict in verdicts(measured)}
    assert values == {
        "served / raw": (pytest.approx(0.9), False),
        "served / legacy": (pytest.approx(2.0), True),
        "p99 / p50": (pytest.approx(2.0), True),
    }


@pytest.mark.parametrize(
    ("figure", "value", "reached"),
    [
        ("served / raw", 0.85, True),
        ("served / raw", 0.849, False),
        ("p99 / p50", 0.85, True),
        ("p99 / p50", 0.86, False),
        ("served / raw", math.nan, None),
    ],
)
def test_a_goal_is_reached_at_its_bound_and_not_past_it(figure, value, reached):
    assert Verdict(Reach("detector", figure, 0.85), value).reached is reached


def test_ratios_by_processor_time_compare_what_a_request_costs():
    cheap, dear = (
        dataclasses.replace(point(system, protocol, rate=10), server_cpu_ms=cost)
        for system, protocol, cost in (("raw", "batch 1", 60.0), ("ours", "raw body", 80.0))
    )
    found = {verdict.reach.figure: verdict.by_cpu for verdict in verdicts(rows([cheap, dear]))}
    assert found["served / raw"] == pytest.approx(0.75)
    assert math.isnan(found["served / legacy"])


def test_what_was_not_measured_is_null_in_json():
    measured = rows([point()])
    document = json.loads(results({}, [point()], measured, verdicts(measured)), parse_constant=pytest.fail)
    assert {goal["measured"] for goal in document["reach"] if goal["figure"] == "served / raw"} == {None}


def test_every_goal_is_of_a_case_that_there_is():
    assert {goal.case for goal in GOALS} <= set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_sent_in_every_protocol(name):
    protocols = requests(CASES[name])
    assert {"V1", "V2", "gRPC", "own"} <= set(protocols)
    assert all(request.body for request in protocols.values())


def test_a_request_on_the_wire_tells_its_length():
    assert Request("/x", b"body", {"a": "b"}).wire("h") == (
        b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\na: b\r\n\r\nbody"
    )


def test_history_finds_the_latest_run_of_a_commit(tmp_path):
    history = History(tmp_path / "history.jsonl")
    assert history.find(None) is None
    for at, commit in (("1", "aaa"), ("2", "bbb+"), ("3", "ccc")):
        history.add(history.entry(at, commit, rows([point()])))
    assert history.find(None)["at"] == "3"
    assert history.find("bbb")["at"] == "2"
    assert history.find("ddd") is None


def test_nothing_is_drawn_of_stages_that_were_not_measured(tmp_path):
    plots.waterfall(rows([point(protocol="own")]), tmp_path / "waterfall.png")
    assert list(tmp_path.iterdir()) == []


def test_plots_are_drawn_of_whatever_was_measured(tmp_path):
    measured = rows([point(), point("legacy", "own"), point("raw", "batch 1", 2)])
    for draw in (plots.curves, plots.bars, plots.waterfall):
        draw(measured, tmp_path / f"{draw.__name__}.png")
    assert {file.stem for file in tmp_path.iterdir() if file.stat().st_size > 1000} == {"curves", "bars", "waterfall"}
