"""What the tests of this folder share: the corpus as modules, and a transformer server to break."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from transformer import serving

sys.path.insert(0, str(Path(__file__).parent))  # bombs.py, corpus.py and wire.py, for the tests and the fuzzer alike

from wire import MAX_BODY_BYTES, TIMEOUT_S

from modelport.services import choose


@dataclass(frozen=True)
class Server:
    """A transformer server without a Triton: requests that are well-formed are answered 503."""

    process: subprocess.Popen[bytes]
    http_port: int
    grpc_port: int
    log: Path

    def connect(self) -> socket.socket:
        """A connection to its REST port."""
        return socket.create_connection(("127.0.0.1", self.http_port), timeout=60)

    def memory_bytes(self) -> int:
        """What it holds now."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def faults(self) -> list[str]:
        """Lines of its log that tell of a fault, or that are not a line of JSON."""
        return [line for line in self.log.read_text().splitlines() if not _is_harmless(line)]


def _is_harmless(line: str) -> bool:
    try:
        return json.loads(line)["level"] in ("INFO", "WARNING")
    except (ValueError, KeyError):
        return False


@pytest.fixture(scope="module")
def server(free_ports, tmp_path_factory) -> Iterator[Server]:
    """Started once for a module's tests; at the end it still lives, has logged no fault, and goes on SIGTERM."""
    ports, log = free_ports(2), tmp_path_factory.mktemp("server") / "log"
    options = [f"--service={spec.argument()}" for spec in choose("detector", "anomaly")]
    options += [f"--request_timeout_s={TIMEOUT_S}", f"--max_body_bytes={MAX_BODY_BYTES}", "--drain_s=0"]
    with serving(log, ports, *options, "--log_requests") as (process, _):
        running = Server(process, *ports, log)
        yield running
        assert process.poll() is None
        assert running.faults() == []
        process.terminate()
        process.wait(300)
