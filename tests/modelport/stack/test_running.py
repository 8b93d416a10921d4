"""Stacks of one checkout do not get into each other's way."""

import pytest

from modelport.services import choose
from modelport.stack import __main__ as serving
from modelport.stack import running
from modelport.stack.errors import PortTakenError
from modelport.stack.running import claimed
from modelport.stack.stack import StackSettings, check_ports


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "FOLDER", tmp_path / "run")
    monkeypatch.setattr(serving.signal, "signal", lambda *_: None)  # Ctrl-C stays pytest's


def test_what_is_claimed_is_another_stacks_until_it_is_let_go():
    with claimed("8080") as held:
        assert held
        with claimed("8080") as twice, claimed("9000") as other:
            assert (twice, other) == (False, True)
    with claimed("8080") as again:
        assert again


def test_a_stack_that_starts_has_its_port_before_it_listens_there(monkeypatch, capsys):
    monkeypatch.setattr(serving, "check_ports", lambda _: None)
    with claimed("9000"):
        assert serving.main(["--services=digits", "--port=9000"]) == 1
    assert capsys.readouterr().err == (
        "error: another stack of this checkout is starting on port 9000: end it, or move with make serve PORT=10000\n"
    )


def test_a_second_stack_writes_logs_of_its_own(monkeypatch):
    seen = []

    def stop(settings: StackSettings) -> None:
        seen.append(settings.logs)
        raise PortTakenError("here")

    monkeypatch.setattr(serving, "check_ports", lambda _: None)
    monkeypatch.setattr(serving, "check_chains", lambda *_: None)
    monkeypatch.setattr(serving, "export_missing", stop)
    assert serving.main(["--services=digits", "--port=9000"]) == 1
    with claimed("logs"):
        assert serving.main(["--services=digits", "--port=9000"]) == 1
    assert seen == [StackSettings().logs, StackSettings().logs / "9000"]


def test_ports_of_one_stack_that_meet():
    settings = StackSettings(choose("digits"), 21001, 21002, 21000, 21001, 21002)
    with pytest.raises(PortTakenError, match=r"port 21001 would be REST and Triton's gRPC: move PORT and TRITON_PORT"):
        check_ports(settings)


def test_a_record_that_cannot_be_written_is_refused_at_once(capsys):
    with pytest.raises(SystemExit, match="2"):
        serving.main(["--services=digits", "--record=/proc/record"])
    assert "argument --record: cannot write into /proc/record (" in capsys.readouterr().err
