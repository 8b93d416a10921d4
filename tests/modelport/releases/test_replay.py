"""A replay sends what the record has the images of, says what it has not, and judges as `compare` does."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from kserve_transformers.judging.answers import recorded_answer
from kserve_transformers.observe import Ended, Exchange
from kserve_transformers.record.events import Origin, render
from kserve_transformers.record.folder import FolderSink
from modelport.releases.__main__ import main
from modelport.releases.commands import replay
from modelport.releases.comparison.caller import RefusedError

IMAGE = b"\x89PNG\r\n\x1a\n"
FIVE = {"predicted_digit": 5, "confidence": 0.9}


def record(folder: Path, count: int, service: str = "digits", limit: int = 100, outcome: str = "200") -> None:
    events = [
        render(
            Exchange(
                f"{service}-{limit}-{outcome}-{number}",
                kept=True,
                instances=(IMAGE + bytes([number]),),
                parameters={"top": number},
                model="mnist",
                release="r1",
                predictions=lambda: [FIVE],
            ),
            Ended(service, "v1", outcome, 0.01),
            Origin("here", "default"),
            limit,
        )
        for number in range(count)
    ]
    FolderSink(folder, 1, 10**7).write(service, events)


@pytest.fixture
def released(monkeypatch, tmp_path):
    """Stands in for a served release; `wrong` is the share of images that it reads as 3, `sent` what it got."""
    state = SimpleNamespace(wrong=0.0, sent=[], refuses=frozenset())

    class Served:
        def models(self):
            return {}

        def predict(self, sample, parameters):
            state.sent.append((sample.content, dict(parameters)))
            if sample.content[-1] in state.refuses:
                raise RefusedError("no ink")
            wrong = sample.content[-1] % 10 < 10 * state.wrong
            return recorded_answer({**FIVE, "predicted_digit": 3 if wrong else 5}), 0.02

    @contextmanager
    def side(*_):
        yield Served()

    monkeypatch.setattr(replay, "side", side)
    monkeypatch.setattr(replay, "verified_repository", lambda service, part, root: (part, tmp_path))
    return state


def replayed(folder: Path, *options: str) -> int:
    return main(["replay", "r2", f"--from={folder}", f"--out={folder / 'out'}", *options])


@pytest.mark.parametrize(
    ("count", "wrong", "exit_code", "verdict"),
    [
        pytest.param(100, 0.0, 0, "interchangeable", id="the same"),
        pytest.param(100, 0.3, 3, "different", id="three in ten are others"),
        pytest.param(10, 0.0, 4, "undecided", id="too few"),
    ],
)
def test_the_verdict(tmp_path, released, capsys, count, wrong, exit_code, verdict):
    record(tmp_path, count)
    released.wrong = wrong
    assert replayed(tmp_path) == exit_code
    told = capsys.readouterr().out
    assert f"verdict: {verdict}" in told
    assert "--data" not in told
    assert sorted(released.sent) == [(IMAGE + bytes([number]), {"top": number}) for number in range(count)]


def test_what_is_not_sent_is_told(tmp_path, released, capsys):
    record(tmp_path, 30)
    record(tmp_path, 7, limit=-1)
    record(tmp_path, 5, outcome="503")
    record(tmp_path, 3, service="cars")
    with next(tmp_path.rglob("digits/*/*.jsonl")).open("ab") as file:
        file.write(b'{"torn')
    released.refuses = {1, 2}
    assert replayed(tmp_path, "--service=digits", "--limit=20") == 4
    told = capsys.readouterr().out
    assert "30 requests with images (20 images are sent), 7 without, 5 without an answer, 1 torn lines" in told
    first = list(released.sent)
    assert len(first) == 20
    released.sent.clear()
    replayed(tmp_path, "--service=digits", "--limit=20")
    assert released.sent == first


@pytest.mark.parametrize(
    ("services", "message"),
    [
        ((), "has requests of no service: choose with --service"),
        (("cars", "digits"), "has requests of cars, digits: choose with --service NAME"),
    ],
)
def test_the_service_is_that_of_the_record_where_it_has_one(tmp_path, released, capsys, services, message):
    for service in services:
        record(tmp_path, 1, service)
    assert replayed(tmp_path) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(
            lambda folder: record(folder, 3, limit=-1), "no request of digits with its images", id="no images"
        ),
        pytest.param(lambda folder: None, "has no request of digits", id="empty"),
    ],
)
def test_a_record_with_nothing_to_send(tmp_path, released, capsys, prepare, message):
    prepare(tmp_path)
    assert replayed(tmp_path, "--service=digits") == 1
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_there(tmp_path, released, capsys):
    assert replayed(tmp_path / "none", "--service=digits") == 1
    assert "is not a folder: name the folder of a record" in capsys.readouterr().err


def test_a_release_that_takes_none_of_them(tmp_path, released, capsys):
    record(tmp_path, 3)
    released.refuses = set(range(256))
    assert replayed(tmp_path) == 1
    assert "accepts none of them: no ink" in capsys.readouterr().err
