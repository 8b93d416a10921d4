"""The logs of a stack's servers in one, by time."""

import json
from datetime import UTC, datetime

import pytest

from modelport.stack import running
from modelport.stack.logs import Entry, chosen, parsed
from modelport.stack.running import Running

YEAR = datetime.now(UTC).year
TRANSFORMER = json.dumps(
    {"time": f"{YEAR}-11-26T07:00:02.500+02:00", "level": "INFO", "logger": "x", "message": "request", "ms": 9.9}
)
TRITON = "E1126 05:00:01.123456 20558 model_lifecycle.cc:654] \"failed to load 'm'\""
ENVOY = f"[{YEAR}-11-26 05:00:03.004][77][warning][main] [source/server.cc:1] draining"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(TRANSFORMER, ("05:00:02.500", "INFO", "request ms=9.9"), id="transformer"),
        pytest.param(TRITON, ("05:00:01.123", "ERROR", "failed to load 'm'"), id="Triton"),
        pytest.param(ENVOY, ("05:00:03.004", "WARNING", "draining"), id="Envoy"),
        pytest.param("  File x, line 1", ("04:00:00.000", "INFO", "File x, line 1"), id="no time of its own"),
        pytest.param('{"no": "record"}', ("04:00:00.000", "INFO", '{"no": "record"}'), id="JSON of another kind"),
    ],
)
def test_line_of_each_server(line, expected):
    clock, level, message = expected
    assert parsed("s", line, f"{YEAR}-11-26T04:00:00.000Z") == Entry(f"{YEAR}-11-26T{clock}Z", "s", level, message)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "FOLDER", tmp_path / "run")
    return tmp_path


def test_logs_are_merged_from_the_start_of_the_stack(folder):
    files = {"transformer": TRANSFORMER, "triton": TRITON, "envoy": ENVOY}
    for name, line in files.items():
        (folder / f"{name}.log").write_text(f"{line}\n{line[:5]}")  # the last line is being written
    started = datetime(YEAR, 11, 26, 5, 0, 2, tzinfo=UTC).timestamp()
    stack = Running(1, "", "", {}, [str(folder / f"{name}.log") for name in files], {}, started=started)
    assert [entry.server for entry in chosen(stack, 50, follow=False)] == ["transformer", "envoy"]
    assert [entry.server for entry in chosen(stack, 1, follow=False)] == ["envoy"]


def test_stack_that_was_killed_does_not_run(folder):
    Running(2, "", "", {}, [], {}, pid=2**22 + 1).write()  # no process has such a number
    Running(3, "", "", {}, [], {}, started=0.0).write()  # the number belongs to a younger process now
    (running.FOLDER / "4").mkdir()
    (running.FOLDER / "4" / running.FILE).write_text("{")
    assert [*running.running()] == []
    Running(5, "", "", {}, [], {}).write()
    assert [stack.port for stack in running.running()] == [5]
