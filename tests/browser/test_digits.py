"""A drawing's answer belongs to that drawing: held by the order of requests and answers, the page's clock stopped."""

import contextlib
from typing import Any

import pytest
from playwright.sync_api import Error, Route, expect

PAUSE_MS = 150
EMPTY = "The answer appears here."


class Pad:
    """The digits' tab; the n-th request that it sends, counted from 1, is answered with the digit n, when told."""

    def __init__(self, visit: Any) -> None:
        self.page = visit.page
        self.page.clock.install(time=0)
        self.panel = visit.open("digits")
        self.page.clock.pause_at(60_000)
        self.box = self.panel.locator(".pad").bounding_box()
        self.routes: list[Route] = []
        self.page.route("**/v1/models/digits:predict", self._hold)

    def _hold(self, route: Route) -> None:
        self.routes.append(route)

    def press(self) -> None:
        """Begin a stroke."""
        self.page.mouse.move(self.box["x"] + 90, self.box["y"] + 60)
        self.page.mouse.down()
        self.page.mouse.move(self.box["x"] + 90, self.box["y"] + 200, steps=4)

    def stroke(self) -> None:
        self.press()
        self.page.mouse.up()

    def clear(self) -> None:
        self.panel.get_by_role("button", name="Clear").dispatch_event("click")

    def expect_requests(self, count: int) -> None:
        """Wait for as many requests; there may be no more."""
        while len(self.routes) < count:
            self.page.evaluate("fetch('page/icon.svg')")
        self.page.evaluate("fetch('page/icon.svg')")
        assert len(self.routes) == count

    def answer(self, number: int, status: int = 200) -> None:
        answered = {"predictions": [{"predicted_digit": number, "confidence": 0.9}]}
        with contextlib.suppress(Error):  # the page may have given it up
            self.routes[number - 1].fulfill(status=status, json=answered)
        self.page.evaluate("fetch('page/icon.svg')")

    def expect_given_up(self, number: int) -> None:
        while self.routes[number - 1].request.failure is None:
            self.page.evaluate("fetch('page/icon.svg')")

    def expect_answer(self, digit: int | None) -> None:
        if digit is None:
            expect(self.panel.locator(".result")).to_have_text(EMPTY)
        else:
            expect(self.panel.locator(".digit")).to_have_text(str(digit))


@pytest.fixture
def pad(visit):
    visit.provoked.append("ERR_FAILED")
    return Pad(visit)


def test_a_lifted_pen_is_read_at_once_and_a_resting_one_after_a_pause(pad):
    pad.press()
    pad.expect_requests(0)
    pad.page.clock.run_for(PAUSE_MS)
    pad.expect_requests(1)
    pad.page.mouse.up()
    pad.expect_requests(2)
    pad.page.clock.run_for(10 * PAUSE_MS)
    pad.expect_requests(2)


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=["in order", "the older one last"])
def test_the_newest_request_wins(pad, order, status):
    for count in (1, 2):
        pad.stroke()
        pad.expect_requests(count)
    pad.expect_given_up(1)
    for number in order:
        pad.answer(number, status if number == 1 else 200)
        pad.expect_answer(2 if 2 in order[: order.index(number) + 1] else None)


def test_a_new_stroke_cancels_what_is_under_way(pad):
    pad.stroke()
    pad.expect_requests(1)
    pad.press()
    pad.expect_requests(1)
    pad.expect_given_up(1)
    pad.answer(1)
    pad.expect_answer(None)
    pad.page.clock.run_for(PAUSE_MS)
    pad.expect_requests(2)
    pad.answer(2)
    pad.expect_answer(2)


@pytest.mark.parametrize("answered", [False, True])
def test_clearing_the_drawing_clears_its_answer(pad, answered):
    pad.stroke()
    pad.expect_requests(1)
    if answered:
        pad.answer(1)
        pad.expect_answer(1)
    pad.clear()
    pad.expect_answer(None)
    pad.answer(1)
    pad.page.clock.run_for(10 * PAUSE_MS)
    pad.expect_requests(1)
    pad.expect_answer(None)


def test_a_drawing_that_is_cleared_before_it_was_read_is_not_read(pad):
    pad.press()
    pad.clear()
    pad.page.clock.run_for(10 * PAUSE_MS)
    pad.expect_requests(0)
    pad.expect_answer(None)
