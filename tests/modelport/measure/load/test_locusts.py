"""Locust, in its own process, against the real stack; and who is dealt what."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelport.measure.load import studies
from modelport.measure.load.__main__ import main
from modelport.measure.load.locusts import LoadError, hold, ramp
from modelport.measure.load.replicas import documents, local
from modelport.measure.load.studies import service_of
from modelport.stack.envoy.routes import endpoints, read_routes


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_requests_are_dealt_out_evenly(count):
    (route,) = read_routes(documents("digits", count))
    assert len(endpoints([route])) == count
    assert len({share.weight for share in route.shares}) == 1


def test_users_are_held_and_what_they_saw_is_measured(stack):
    measured = hold(stack.http, ["digits", "anomaly"], 2, 8)
    assert measured.failed == 0
    assert measured.rate > 0
    assert measured.p50_ms <= measured.p95_ms <= measured.p99_ms


def test_users_come_one_after_another(stack):
    steps = ramp(stack.http, ["digits"], 4, 12)
    users = [step.users for step in steps]
    assert users == sorted(users)
    assert users[0] < users[-1] <= 4
    assert all(step.failed == 0 and step.rate > 0 for step in steps)


def test_replicas_share_the_load_behind_envoy(tmp_path: Path):
    with local("digits", 2, tmp_path) as url:
        assert hold(url, ["digits"], 4, 8).failed == 0
    logs = [file.read_text() for file in sorted(tmp_path.glob("replica-?.log"))]
    assert len(logs) == 2


def test_a_load_that_cannot_be_made_says_so():
    with pytest.raises(LoadError, match="Locust failed"):
        hold("http://127.0.0.1:1", ["digits"], 0, 1)


def test_a_server_that_is_not_there_is_no_quick_one():
    with pytest.raises(LoadError, match="start a server with `make serve`"):
        hold("http://127.0.0.1:1", ["digits"], 1, 8)


def test_a_service_is_known_by_what_was_measured_of_it(stack):
    service, cpu_s = service_of(stack.http, "digits", 10)
    assert 0 < service.mean_s < 5
    assert 0 < cpu_s < 5


def test_a_surface_is_drawn_and_kept(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(studies, "FOLDER", tmp_path)
    assert main(["surface", "--services=digits", "--replicas=1", "--threads=1,2", "--seconds=8"]) == 0
    header, *rows = (tmp_path / "surface.csv").read_text().splitlines()
    assert header.startswith("replicas,users,rate,failed")
    assert [row.split(",")[:2] for row in rows] == [["1", "1"], ["1", "2"]]
    assert (tmp_path / "surface.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["surface", "--url=http://a"], "name their --deployment"),
        (["check", "--url=http://example.com"], "on this machine"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, word, capsys):
    assert main(arguments) == 1
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["--seconds=0", "--service-ms=x", "--replicas=1,x", "--users=-1"])
def test_what_is_no_number_is_said(argument, capsys):
    with pytest.raises(SystemExit):
        main(["size", argument])
    assert "above 0 is needed" in capsys.readouterr().err
