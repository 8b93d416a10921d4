"""A golden set notices a loss of two points with few inputs, and does not refuse a processor that computes well."""

import numpy as np
import pytest

from exporters.errors import ArtefactRefusedError
from exporters.quantising.golden_set import FALSE_ALARM, LOSS, POWER, Decision, distribution, plan, scale_of, turned

MARGINS = np.abs(np.random.default_rng(7).normal(2, 1.5, 600))
ALL = np.ones(len(MARGINS), bool)


def test_the_plan_notices_what_random_inputs_would_not():
    chosen = plan(MARGINS, 0.002, ALL, 100)
    assert chosen.power >= POWER
    assert len(chosen.chosen) < 40
    assert max(MARGINS[list(chosen.chosen)]) <= np.quantile(MARGINS, 0.07)


def test_a_fault_of_two_points_is_noticed_and_a_good_processor_is_not_refused():
    """By simulation: the same errors that turn two per cent of all decisions turn more than allowed of the set."""
    chosen, noise = plan(MARGINS, 0.005, ALL, 100), np.random.default_rng(11)
    margins = MARGINS[list(chosen.chosen)]
    scale = scale_of(MARGINS, LOSS)
    faulty = noise.normal(0, scale, (4000, len(MARGINS)))
    assert np.mean(faulty > MARGINS) == pytest.approx(LOSS, abs=0.002)
    turned_by_fault = (faulty[:, list(chosen.chosen)] > margins).sum(axis=1)
    assert np.mean(turned_by_fault > chosen.allowed) >= POWER - 0.02
    turned_by_rounding = (noise.normal(0, 0.005, (4000, len(margins))) > margins).sum(axis=1)
    assert np.mean(turned_by_rounding > chosen.allowed) <= 3 * FALSE_ALARM


def test_a_set_that_is_bounded_says_what_it_sees():
    small = plan(MARGINS, 0.002, ALL, 5)
    assert len(small.chosen) <= 5
    assert 0 < small.power < POWER


def test_more_noise_needs_more_inputs_or_allows_more_errors():
    quiet, loud = (plan(MARGINS, noise, ALL, 600) for noise in (0.001, 0.1))
    assert (len(loud.chosen), loud.allowed) > (len(quiet.chosen), quiet.allowed)


def test_only_usable_inputs_are_chosen():
    usable = np.arange(len(MARGINS)) % 2 == 0
    assert all(index % 2 == 0 for index in plan(MARGINS, 0.0, usable, 100).chosen)
    assert plan(MARGINS, 0.0, ~ALL, 100).chosen == ()


def test_the_distribution_of_a_count_is_that_of_independent_events():
    np.testing.assert_allclose(distribution([0.5, 0.5]), [0.25, 0.5, 0.25])
    np.testing.assert_allclose(distribution([0.1, 0.2]), [0.72, 0.26, 0.02])
    assert turned(0.0, 1.0) == pytest.approx(0.5)
    assert turned(1.96, 1.0) == pytest.approx(0.025, abs=1e-4)
    assert turned(1.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("names", "threshold", "kind"),
    [
        pytest.param(("probabilities",), None, "class", id="classes"),
        pytest.param(("reconstruction", "mae"), 0.8, "above", id="windows"),
        pytest.param(("boxes", "scores", "classes"), None, "box", id="boxes"),
    ],
)
def test_the_outputs_say_what_is_decided(names, threshold, kind):
    assert Decision.of(names, threshold).kind == kind


def test_outputs_of_no_task_are_refused():
    with pytest.raises(ArtefactRefusedError, match="a, b belong to no task"):
        Decision.of(("a", "b"), None)


def test_margins_are_small_where_another_decision_is_near():
    scores = np.array([[0.5, 0.49, 0.01], [0.98, 0.01, 0.01]], np.float32)
    near, far = Decision("class", "y").margins({"y": scores})
    assert near == pytest.approx(np.log(0.5 / 0.49), rel=1e-4)
    assert far > 4
    near, far = Decision("above", "mae", 0.5).margins({"mae": np.array([[0.51], [5.0]], np.float32)})
    assert (near, far) == (pytest.approx(np.log(1.02), rel=1e-4), pytest.approx(np.log(10), rel=1e-4))
    boxes = np.array([[[0, 0, 0.5, 0.5], [0.01, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]] * 2, np.float32)
    answers = {
        "boxes": boxes,
        "scores": np.array([[0.9, 0.89, 0.3], [0.9, 0.89, 0.3]], np.float32),
        "classes": np.array([[1, 1, 1], [1, 2, 1]], np.int32),
    }
    far, near = Decision("box", "scores").margins(answers)
    assert (far, near) == (pytest.approx(np.log(3), rel=1e-3), pytest.approx(np.log(0.9 / 0.89), rel=1e-3))
