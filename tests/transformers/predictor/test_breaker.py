"""The circuit breaker."""

from kserve_transformers.predictor.breaker import FAILURES_TO_OPEN, Breaker


def test_it_opens_after_failures_in_a_row_only():
    breaker = Breaker()
    for _ in range(5):
        for _ in range(FAILURES_TO_OPEN - 1):
            assert not breaker.fail()
        breaker.succeed()
    assert [breaker.fail() for _ in range(FAILURES_TO_OPEN)] == [False] * (FAILURES_TO_OPEN - 1) + [True]
    assert breaker.open


def test_only_a_good_answer_closes_it():
    breaker = Breaker(failures=FAILURES_TO_OPEN, open=True)
    breaker.fail()
    assert breaker.open
    breaker.succeed()
    assert not breaker.open
    assert breaker.failures == 0
