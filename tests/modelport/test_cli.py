"""The command `modelport`: it lists its commands, refuses unknown ones, and becomes the one that it was given."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from modelport.cli import COMMANDS
from modelport.environment import FRAMEWORKS, NEEDS, ROOT

MODELPORT = Path(sys.executable).with_name("modelport")


def modelport(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MODELPORT, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",)], ids=["nothing", "help", "--help"])
def test_help_lists_every_command(arguments):
    run = modelport(*arguments)
    assert run.returncode == 0
    for name, command in COMMANDS.items():
        assert any(line.split()[:1] == [name] and command.summary in line for line in run.stdout.splitlines())


def test_unknown_command_is_one_line():
    run = modelport("sevre")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "error: there is no command 'sevre': modelport help lists them\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_module_and_known_needs(name):
    command = COMMANDS[name]
    assert find_spec(command.module) is not None
    assert set(command.needs) <= set(NEEDS)
    assert command.framework in {None, *FRAMEWORKS}


def test_what_serves_and_releases_needs_no_framework_and_no_tests():
    """Frameworks are installed when a model of theirs is exported, trained or inspected, and not before."""
    for name in ("serve", "demo", "client", "release", "publish", "update", "export"):
        assert not {"test", "bench", *FRAMEWORKS} & set(COMMANDS[name].needs)


@pytest.mark.parametrize("bypassed", ["", "example.org", "*"])
def test_servers_of_this_machine_are_reached_past_a_proxy(monkeypatch, bypassed):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"models": []}')

        def log_message(self, *_: object) -> None:
            pass

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", bypassed)
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run = modelport("demo", f"--url=http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert run.returncode == 0, run.stderr


def test_arguments_and_exit_code_are_the_commands_own():
    run = modelport("export", "yolov9")
    assert run.returncode == 1
    assert run.stderr.startswith("error: there is no model yolov9: choose one of yolov3_tiny")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["export", "--wieghts", "x"], "unrecognized arguments: --wieghts"),
        (["export", "--weights", "x"], "takes --cfg, --weights, --names and --name together"),
        (["demo", "--url", "nowhere"], "'nowhere' is no address of a server: write http://HOST:PORT"),
        (["evaluate", "digits", "--data=x", "--url=127.0.0.1:8080"], "'127.0.0.1:8080' is no address of a server"),
        (["client", "detector", "x", "--score_threshold", "much"], "much is not between 0 and 1"),
    ],
)
def test_wrong_options_are_refused_before_any_work(arguments, complaint):
    run = modelport(*arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert complaint in run.stderr
