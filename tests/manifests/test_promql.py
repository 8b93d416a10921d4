"""Which series an expression reads, and how an alert is queried, so that no data is not mistaken for health."""

import pytest
from promql import filled_in, selectors, unfiltered


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        pytest.param("a", ["a"], id="bare name"),
        pytest.param("sum by (x, y) (rate(a[5m])) / on (x) b", ["a", "b"], id="grouping labels are no metrics"),
        pytest.param("sum(a) by (x)", ["a"], id="grouping behind"),
        pytest.param('a{x="and b{c} > 1"} or b:c', ['a{x="and b{c} > 1"}', "b:c"], id="strings are not read"),
        pytest.param('a * on (n) group_left (r) max by (n, r) (b{x=~"y"})', ["a", 'b{x=~"y"}'], id="join"),
        pytest.param("histogram_quantile(0.99, sum by (le) (rate(a_bucket[1h30m]))) > 1e3", ["a_bucket"], id="numbers"),
        pytest.param("max without (x) (a) > bool 1 unless c offset 5m", ["a", "c"], id="words of the language"),
        pytest.param("absent(a) or vector(0)", ["a"], id="functions"),
        pytest.param("rate(a[$__rate_interval])", ["a"], id="variables"),
    ],
)
def test_selectors(expr, expected):
    assert selectors(expr) == expected


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        pytest.param("a > 1", "a > bool 1", id="comparison"),
        pytest.param("a >= 1 and b != 2", "a >= bool 1 and b != bool 2", id="two"),
        pytest.param('a{x="> 1",y!="z"} == 0', 'a{x="> 1",y!="z"} == bool 0', id="matchers stay"),
        pytest.param("absent(a) or absent(b)", "count(a) or count(b)", id="absent"),
        pytest.param("a > bool 1", "a > bool 1", id="already"),
    ],
)
def test_unfiltered(expr, expected):
    assert unfiltered(expr) == expected


def test_variables_that_are_not_chosen_are_all():
    expr = 'rate(a{n=~"$namespace",s=~"$service"}[$__rate_interval])'
    assert filled_in(expr, "1m", service="cars") == 'rate(a{n=~".*",s=~"cars"}[1m])'
