"""Locust, in its own process, against the real stack; and how Envoy distributes requests over replicas."""

import socket
from collections.abc import Callable
from typing import TypeVar

import pytest

from modelport.measure.load import locusts, studies
from modelport.measure.load.__main__ import main
from modelport.measure.load.locusts import LoadError, Measured, hold, ramp
from modelport.measure.load.replicas import documents, local
from modelport.stack.envoy.routes import endpoints, read_routes

pytestmark = [pytest.mark.slow, pytest.mark.stack]

Found = TypeVar("Found")


def until(measure: Callable[[float], Found], good: Callable[[Found], object] = bool) -> Found:
    """Measure for longer until there is enough: a machine without free processor time answers little in 8 s."""
    for seconds in (8, 16, 32, 64):
        try:
            found = measure(seconds)
        except LoadError:
            continue
        if good(found):
            return found
    return measure(128)


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_requests_are_distributed_evenly(count):
    (route,) = read_routes(documents("digits", count))
    assert len(endpoints([route])) == count
    assert len({share.weight for share in route.shares}) == 1


def test_a_number_of_users_is_measured(stack):
    measured = until(lambda seconds: hold(stack.http, ["digits", "anomaly"], 2, seconds))
    assert measured.failed == 0
    assert measured.rate > 0
    assert measured.p50_ms <= measured.p95_ms <= measured.p99_ms


def test_users_arrive_one_after_another(stack):
    steps = until(
        lambda seconds: ramp(stack.http, ["digits"], 4, seconds), lambda steps: steps[0].users < steps[-1].users
    )
    users = [step.users for step in steps]
    assert users == sorted(users)
    assert users[0] < users[-1] <= 4
    assert all(step.failed == 0 and step.rate > 0 for step in steps)


def test_replicas_share_the_load_behind_envoy(tmp_path):
    with local("digits", 2, tmp_path) as url:
        assert until(lambda seconds: hold(url, ["digits"], 4, seconds)).failed == 0
    logs = [file.read_text() for file in sorted(tmp_path.glob("replica-?.log"))]
    assert len(logs) == 2


def test_a_load_that_cannot_be_sent_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(LoadError, match="Locust failed"):
        hold(f"http://127.0.0.1:{server.getsockname()[1]}", ["digits"], 0, 1)


def test_a_server_that_is_not_there_is_an_error():
    with pytest.raises(LoadError, match=r"cannot be reached .*start a server with `make serve`"):
        hold("http://127.0.0.1:1", ["digits"], 1, 8)


@pytest.mark.parametrize(
    ("failed", "message"),
    [
        pytest.param(9, "no request to http://a succeeded: start a server", id="only failures"),
        pytest.param(0, "no request to http://a ended within 2 s: measure longer with --seconds 8", id="no answers"),
    ],
)
def test_a_server_that_only_fails_is_an_error(failed, message):
    with pytest.raises(LoadError, match=message):
        locusts._answered([Measured(1, 0.0, failed, 1, 1, 1, 1)], "http://a", 2)


def test_a_surface_is_drawn_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "FOLDER", tmp_path)
    arguments = ["surface", "--services=digits", "--replicas=1", "--threads=1,2"]
    assert until(lambda seconds: main([*arguments, f"--seconds={seconds}"]), lambda code: code == 0) == 0
    header, *rows = (tmp_path / "surface.csv").read_text().splitlines()
    assert header.startswith("replicas,users,rate,failed")
    assert [row.split(",")[:2] for row in rows] == [["1", "1"], ["1", "2"]]
    assert (tmp_path / "surface.png").stat().st_size > 5000


def test_what_cannot_be_done_is_said(capsys):
    assert main(["surface", "--url=http://a"]) == 1
    assert "give their --deployment" in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["--seconds=0", "--seconds=x", "--replicas=1,x", "--users=-1"])
def test_what_is_not_a_number_is_said(argument, capsys):
    with pytest.raises(SystemExit):
        main(["ramp", argument])
    assert "above 0" in capsys.readouterr().err
