"""How the outcomes of the constant load are judged."""

import pytest

from modelport.measure.generator.requests import CUT, REFUSED, UNANSWERED, Record
from modelport.measure.torture.outcome import HONEST, SUCCEEDED, Outcome, judge, p99_s, table


def records(*outcomes: str, seconds: float = 1.0) -> list[Record]:
    return [Record(0.0, outcome, seconds) for outcome in outcomes]


@pytest.mark.parametrize(
    ("seen", "options", "broken"),
    [
        pytest.param(records("200", "429", "503", "504"), {}, [], id="honest answers"),
        pytest.param(records("200", "500"), {}, ["1 requests got 500"], id="500"),
        pytest.param(records("200", "503"), {"allowed": SUCCEEDED}, ["1 requests got 503"], id="a fault that shows"),
        pytest.param(
            records("200", CUT, UNANSWERED),
            {"allowed": HONEST | {CUT, UNANSWERED}},
            ["2 requests were lost"],
            id="lost requests",
        ),
        pytest.param(records("200", CUT, REFUSED), {"server_killed": True}, [], id="a killed server's connections"),
        pytest.param(records("503"), {}, ["no request succeeded"], id="no success"),
        pytest.param(
            [*records("200"), Record(0.0, "429", 1.0, retry_after=False)],
            {},
            ["a 429 or 503 had no Retry-After"],
            id="no Retry-After",
        ),
        pytest.param(records("200", "504", seconds=30.0), {"deadline_s": 30.0}, [], id="504 at the deadline"),
        pytest.param(
            records("200", "504", seconds=8.0),
            {"deadline_s": 30.0},
            ["1 requests got 504 before their deadline"],
            id="504 before the deadline",
        ),
    ],
)
def test_a_promise_is_kept_or_broken(seen, options, broken):
    outcome = judge(seen, **options)
    assert list(outcome.broken) == broken
    assert outcome.sent == len(seen)


def test_unanswered_requests_count_as_sent_and_not_as_answered():
    outcome = judge(records("200", "429", CUT, REFUSED, UNANSWERED))
    assert (outcome.sent, outcome.answered, outcome.lost) == (5, 2, 2)


def test_p99_is_of_successes_alone():
    assert p99_s([*records("200", seconds=2.0), *records("504", seconds=30.0)]) == 2.0
    assert p99_s(records("504")) == float("inf")


def test_the_table_names_broken_promises():
    lines = table([Outcome("flood", judge(records("200", "500")).seen, broken=("1 requests got 500",))]).splitlines()
    assert "1 x 200, 1 x 500" in lines[1]
    assert lines[1].endswith("BROKEN: 1 requests got 500")
