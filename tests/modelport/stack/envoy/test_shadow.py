"""A real Envoy copies requests to a shadow as the overlay says; whatever the shadow does, callers get their answers."""

from typing import Any

import httpx
import pytest
from release_files import choose, own_manifests
from waiting import wait_for

from modelport.manifests.release_file import Choice
from modelport.manifests.rendering import render
from modelport.stack.envoy.config import MIRRORED
from modelport.stack.envoy.counters import Counters, read_counters
from modelport.stack.envoy.routes import Share, read_routes
from modelport.stack.overlay import Declared

COPIES = "modelport-digits/digits-shadow"


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """Manifests with shadows of digits, of all requests, and of cars, of 20 per cent."""
    folder = own_manifests(tmp_path_factory.mktemp("shadow"))
    for service, percent in (("digits", 100), ("cars", 20)):
        choose(folder, Choice("initial", "initial", 0, "2026-11-22-0123456789ab", percent), service)
    return folder


@pytest.fixture(scope="module")
def routed(run_overlay, manifests):
    """Envoy in front of the pods."""
    return run_overlay("shadow", manifests)


def post(routed: Any, count: int, path: str = "/digits/predict", body: bytes = b"image") -> list[str]:
    """The answers, or their statuses where they are failures."""
    answers = []
    with httpx.Client(base_url=f"http://127.0.0.1:{routed.port}", timeout=60) as client:
        for _ in range(count):
            answer = client.post(path, content=body)
            answers.append(answer.text if answer.status_code == 200 else str(answer.status_code))
    return answers


def copies(routed: Any) -> Counters:
    return read_counters(routed.envoy.http_port)[COPIES]


def test_only_services_with_a_shadow_have_one(manifests):
    routes = {route.name: route.mirrors for route in read_routes(render("shadow", manifests))}
    assert routes.pop("modelport-digits") == (Share("digits-shadow", 100),)
    assert routes.pop("modelport-cars") == (Share("cars-shadow", 20),)
    assert set(routes.values()) == {()}


def test_what_serves_callers_is_declared_without_shadows(manifests):
    declared = Declared(render("shadow", manifests), (), (0, 0))
    assert declared.shadows == {"digits-shadow", "cars-shadow"}
    rest = declared.without_shadows()
    assert rest.shadows == set()
    assert [route.shares for route in rest.routes] == [route.shares for route in declared.routes]


def test_both_sides_get_the_same_ids_and_the_caller_one_answer(routed):
    stable, shadow = routed.pods["digits"], routed.pods["digits-shadow"]
    assert set(post(routed, 30)) == {"digits 5"}
    assert set(post(routed, 3, body=b"\xff" * 2_000_000)) == {"digits 2000000"}
    wait_for(lambda: len(shadow.ids) == 33)
    assert sorted(shadow.ids) == sorted(stable.ids)
    assert len(set(shadow.ids)) == 33
    url, named = f"http://127.0.0.1:{routed.port}/digits/predict", {"x-request-id": "caller-1"}
    httpx.post(url, content=b"x", headers=named, timeout=60)
    wait_for(lambda: shadow.ids[-1] == stable.ids[-1] == "caller-1")


def test_a_share_of_the_requests_is_copied(routed):
    assert set(post(routed, 300, "/cars/predict")) == {"cars 5"}
    ids = routed.pods["cars-shadow"].ids
    wait_for(lambda: len(ids) >= 25)  # of 60; five standard deviations are 35
    assert len(ids) <= 95


@pytest.mark.parametrize("behaviour", ["500", "reset", "hang"])
def test_whatever_a_shadow_does_callers_get_their_answers_and_copies_are_counted(routed, behaviour):
    wait_for(lambda: copies(routed).active == 0)
    before, shadow = copies(routed), routed.pods["digits-shadow"]
    shadow.over.clear()
    shadow.behaviour = behaviour
    try:
        assert set(post(routed, 100)) == {"digits 5"}
        wait_for(lambda: (copies(routed) - before).all == 100)
        if behaviour == "hang":
            assert copies(routed).active <= MIRRORED
            wait_for(lambda: (now := copies(routed) - before).active + now.timed_out + now.overflowed == 100)
    finally:
        shadow.over.set()  # what hangs is answered
        shadow.behaviour = "answer"
    wait_for(lambda: copies(routed).active == 0)


def test_a_shadow_that_is_gone_is_no_loss_for_callers(routed):
    routed.pods["digits-shadow"].vanish()
    before = copies(routed)
    assert set(post(routed, 50)) == {"digits 5"}
    wait_for(lambda: (now := copies(routed) - before).all == now.failed == 50)
    assert (copies(routed) - before).unreachable > 0
