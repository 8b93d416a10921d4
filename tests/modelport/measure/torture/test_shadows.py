"""What is told of callers beside a shadow; `make torture ARGS="--only shadow"` measures them."""

import pytest

from modelport.measure.generator.requests import Record
from modelport.measure.torture.shadows import Measured, _documents, _halves
from modelport.releases.judging.pairs import Account
from modelport.stack.envoy.routes import Share, read_routes

WITHOUT = [Record(0.0, "200", number / 1000) for number in range(1, 1001)]
BESIDE = [Record(0.0, "200", 2 * number / 1000) for number in range(1, 1001)]


@pytest.mark.parametrize("lost", [0, 10, 11])
def test_p99s_their_ratio_and_every_copy_are_told(lost):
    measured = Measured(WITHOUT, BESIDE, Account(refused=990, lost={"no connection": lost} if lost else {}))
    told = measured.told()
    assert told.startswith("p99 990 (983 to 997) ms without, 1980 (1966 to 1994) ms with it, ratio 2 (")
    assert f"{990 + lost:,} copies" in told
    assert measured.broken == ([] if lost == 10 else [f"{990 + lost} copies of 1000 requests"])


def test_callers_without_an_answer_have_no_p99():
    assert Measured([], BESIDE, Account()).told() == "no answers"


@pytest.mark.parametrize(
    ("processors", "halves"), [({4}, ({4}, {4})), ({0, 1}, ({0}, {1})), ({0, 2, 5}, ({0, 2}, {5}))]
)
def test_a_shadow_has_processors_of_its_own(processors, halves):
    assert _halves(processors) == halves


def test_all_requests_of_one_service_are_copied():
    (route,) = read_routes(_documents())
    assert (route.name, route.mirrors) == ("modelport-digits", (Share("digits-shadow", 100),))
