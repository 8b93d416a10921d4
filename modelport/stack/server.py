"""What Triton and the transformer server have in common: a guarded process that becomes ready."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelport.environment import say
from modelport.stack.diagnosis import Sight
from modelport.stack.errors import StartError
from modelport.stack.guarded_process import GuardedProcess
from modelport.stack.sight import see

LOOPBACK = "127.0.0.1"
READY_PATH = "/v2/health/ready"
LIVE_PATH = "/v2/health/live"
LIVE_TIMEOUT_S = 2.0
FIRST_FREE_PORT = 10_000
OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
MAX_CRASHES = 2  # of one start
ENDED_BY_US = {signal.SIGTERM, signal.SIGINT}
PORTS_IN_BLOCK, HELD_BLOCKS = 50, 16
_held_blocks: deque[int] = deque()  # sockets with the names of blocks of ports


def port_problem(port: int, host: str = LOOPBACK) -> str | None:
    """Why a server cannot listen on a port now; None where it can."""
    try:
        socket.create_server((host, port)).close()
    except OverflowError:
        return "it must be below 65536"
    except OSError as error:
        return os.strerror(error.errno or 0)
    return None


def free_ports(count: int) -> list[int]:
    """Consecutive ports on loopback that are free now, and that the kernel gives to no outgoing connection.

    No other call on this machine finds them, until this process has ended or made some more calls: what is to listen
    there may not have begun to.
    """
    end = int(OUTGOING_PORTS.read_text().split()[0])
    while True:
        first = FIRST_FREE_PORT + secrets.randbelow(end - FIRST_FREE_PORT - count)
        ports = [*range(first, first + count)]
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for block in {port // PORTS_IN_BLOCK for port in ports}:
                mark = held.enter_context(socket.socket(socket.AF_UNIX))
                mark.bind(f"\0modelport-ports-{block}")  # an abstract address, which ends with its socket
                _held_blocks.append(os.dup(mark.fileno()))
            for port in ports:
                held.enter_context(socket.create_server((LOOPBACK, port)))
            while len(_held_blocks) > HELD_BLOCKS:
                os.close(_held_blocks.popleft())
            return ports


def exchange(
    port: int, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, timeout_s: float = 5.0
) -> tuple[int, bytes]:
    """Send one HTTP request to a port on loopback, a POST where there is a body; returns status and body of the answer.

    Raises:
        OSError: there is no answer, or none in HTTP.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)
    try:
        connection.request("POST" if body else "GET", path, body or None, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise OSError(f"no answer in HTTP: {error!r}") from error
    finally:
        connection.close()


class Server(ABC):
    """A server on loopback that speaks the V2 protocol over HTTP.

    Args:
        name: what a person calls it.
        process: its process, not started.
        http_port: where it answers.
        start_timeout_s: how long it may take to become ready.
    """

    def __init__(self, name: str, process: GuardedProcess, http_port: int, start_timeout_s: float) -> None:
        self.name = name
        self.http_port = http_port
        self._process = process
        self._start_timeout_s = start_timeout_s

    @abstractmethod
    def errors(self, last: int = 3) -> list[str]:
        """Why it is not ready, as far as it said so since its last start, oldest first."""

    def progress(self) -> list[str]:
        """What it has done so far on its way to be ready."""
        return []

    def start(self) -> None:
        """Start the process; returns before it is ready."""
        self._process.start()

    def wait_until_ready(self) -> None:
        """Return when it is ready, and report its state meanwhile.

        One that crashes is started again: Triton's Python backend, for one, aborts where a busy machine lets it wait
        10 s for a lock.

        Raises:
            StartError: it ended or took too long; the message carries the last errors.
        """
        began = time.monotonic()
        deadline = began + self._start_timeout_s
        told: set[str] = set()
        crashes = 0
        while not self.is_ready():
            for step in self.progress():
                if step not in told:
                    say(f"{self.name}: {step} after {time.monotonic() - began:.1f} s")
                told.add(step)
            if not self.is_alive():
                complaint = self._complaint(f"ended while starting ({self.ending()})")
                if not self.crashed() or crashes == MAX_CRASHES:
                    raise StartError(complaint)
                crashes += 1
                say(f"{complaint}: starting it again")
                self.start()
            if time.monotonic() > deadline:
                raise StartError(self._complaint(f"was not ready after {self._start_timeout_s:.0f} s"))
            time.sleep(0.1)

    def is_ready(self) -> bool:
        """Whether it says so."""
        return self.get(READY_PATH)[0] == http.client.OK

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def answers(self) -> bool:
        """False where it takes a connection and says nothing. One that takes none is starting, or about to end."""
        try:
            exchange(self.http_port, LIVE_PATH, timeout_s=LIVE_TIMEOUT_S)
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def process_sight(self, owes: bool) -> Sight:
        """What is seen of its process; `owes`: an answer is overdue."""
        pid = self._process.pid()
        seen = see(pid, closely=owes) if pid else None
        return Sight(time.monotonic(), (seen,) if seen else (), 0, owes)

    def worn(self) -> str | None:
        """What speaks for a new start of a server that answers; None where nothing does."""
        return None

    def crashed(self) -> bool:
        """Whether it ended by a signal that nobody sends to end it."""
        code = self._process.exit_code()
        return code is not None and code > 128 and code - 128 not in ENDED_BY_US

    def ending(self) -> str:
        """How the process ended."""
        code = self._process.exit_code()
        return f"signal {signal.Signals(code - 128).name}" if code and code > 128 else f"exit code {code}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it in order; returns when nothing of it is left."""
        self._process.stop(number)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    @property
    def log_file(self) -> Path:
        """Where it logs."""
        return self._process.log_file

    def memory_bytes(self) -> int:
        """Of all its processes, proportional set size."""
        return self._process.memory_bytes()

    def log(self) -> str:
        """What it printed since its last start."""
        return self._process.log()

    def get(self, path: str) -> tuple[int | None, Any]:
        """Status and JSON document of a path; None for what does not answer or is no JSON."""
        try:
            status, body = exchange(self.http_port, path)
            return status, json.loads(body) if body else None
        except (OSError, ValueError):
            return None, None

    def _complaint(self, what: str) -> str:
        return f"{self.name} {what}: {'; '.join(self.errors()) or 'it said nothing'} (log: {self._process.log_file})"
