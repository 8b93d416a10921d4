"""A server that crashes while it starts, on real processes."""

import os
import sys

import pytest

from modelport.stack.errors import StartError
from modelport.stack.guarded_process import GuardedProcess
from modelport.stack.server import MAX_CRASHES, Server, free_ports

# Ends as `ending` says until it was started `times` times, then serves 200 for every path.
SERVER = """
import http.server, os, pathlib, sys
starts, times, port = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
starts.write_text(starts.read_text() + "x")
if len(starts.read_text()) <= times:
    {ending}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


class Crashing(Server):
    def errors(self, last=3):
        return ["what it said"]


@pytest.fixture
def start(tmp_path):
    servers = []

    def run(ending: str, times: int) -> Server:
        (tmp_path / "starts").write_text("")
        (port,) = free_ports(1)
        command = [sys.executable, "-IS", "-c", SERVER.format(ending=ending), str(tmp_path / "starts"), str(times)]
        process = GuardedProcess([*command, str(port)], os.environ, tmp_path / "log", tmp_path, grace_s=5)
        server = Crashing("the server", process, port, start_timeout_s=600)
        servers.append(server)
        server.start()
        return server

    yield run
    for server in servers:
        server.stop()


@pytest.mark.parametrize("ending", ["os.abort()", "os.kill(os.getpid(), 9)"])
def test_a_server_that_crashes_while_it_starts_is_started_again(start, ending, capsys):
    start(ending, MAX_CRASHES).wait_until_ready()
    assert capsys.readouterr().out.count("what it said (log: ") == MAX_CRASHES


@pytest.mark.parametrize(
    ("ending", "starts"),
    [("os.abort()", 1 + MAX_CRASHES), ("sys.exit(1)", 1), ("os.kill(os.getpid(), 15)", 1)],
    ids=["crashes for ever", "ends by itself", "is ended by others"],
)
def test_what_fails_for_another_reason_or_too_often_is_given_up(start, tmp_path, ending, starts):
    with pytest.raises(StartError, match="the server ended while starting"):
        start(ending, 9).wait_until_ready()
    assert len((tmp_path / "starts").read_text()) == starts
