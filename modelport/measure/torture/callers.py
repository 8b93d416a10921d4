"""Faults of callers: gone half-way, slow, idle by the thousand, or sending what a server must refuse."""

import contextlib
import dataclasses
import io
import resource
import selectors
import socket
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from modelport.measure.torture.outcome import LONGEST_MS, SUCCEEDED, Outcome, judge
from modelport.measure.torture.served import Served
from modelport.measure.traffic import begin, requests
from modelport.stack.server import LOOPBACK

CALLERS = 40
SLOW_S = 12
IDLE = 10_000
FLOODERS = 8
LARGE = 30 * 2**20  # the limit is 20 MiB
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


def gone(served: Served) -> Outcome:
    """Callers disconnect in the middle of the body and while they wait; half of them with a reset."""

    def leave() -> str:
        whole = _raw("classifier")
        for part in (len(whole) // 2, len(whole)):
            for number in range(CALLERS):
                with connection(served) as caller:
                    caller.sendall(whole[:part])
                    if number % 2:
                        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                time.sleep(0.02)
        return f"{CALLERS} disconnected in the body, {CALLERS} while they waited"

    return _beside(served, leave)


def slow(served: Served) -> Outcome:
    """Callers send one byte per second of the body that they declared."""

    def trickle() -> str:
        whole = _raw("classifier")
        with contextlib.ExitStack() as held:
            callers = [held.enter_context(connection(served)) for _ in range(CALLERS)]
            for caller in callers:
                caller.sendall(whole[:1000])
            for second in range(SLOW_S):
                for caller in callers:
                    caller.sendall(whole[1000 + second : 1001 + second])
                time.sleep(1)
        return f"{CALLERS} callers, one byte per second for {SLOW_S} s"

    return _beside(served, trickle)


def idle(served: Served) -> Outcome:
    """As many idle connections as file descriptors allow, up to ten thousand."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE, soft - 500)

    def wait() -> str:
        with contextlib.ExitStack() as held:
            began = time.monotonic()
            for _ in range(count):
                held.enter_context(connection(served))
            took = time.monotonic() - began
            time.sleep(4)
        return f"{count} connections, opened in {took:.1f} s" + " (ulimit -n allows no more)" * (count < IDLE)

    return _beside(served, wait)


def flood(served: Served) -> Outcome:
    """Bodies over the limit, with and without a declared length, and images whose header declares gigabytes."""
    head = b"POST /detector/api/ HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
    bomb = _bomb()
    attacks = {
        "declared": ("413", head + f"Content-Length: {LARGE}\r\n\r\n".encode(), b"", 0),
        "chunked": ("413", head + b"Transfer-Encoding: chunked\r\n\r\n", chunk, LARGE // 2**20),
        "bomb": ("413", head + f"Content-Length: {len(bomb)}\r\n\r\n".encode() + bomb, b"", 0),
    }
    seen: Counter[str] = Counter()
    wrong: list[str] = []

    def attack(number: int) -> None:
        for name, (expected, first, part, times) in attacks.items():
            status = _send(served, first, part, times)
            seen[f"{name} {status}"] += 1
            if status not in (expected, "429"):
                wrong.append(f"{name} was answered {status}")

    def flood_server() -> str:
        with ThreadPoolExecutor(FLOODERS) as threads:
            list(threads.map(attack, range(15)))
        return ", ".join(f"{number} x {what}" for what, number in sorted(seen.items()))

    outcome = _beside(served, flood_server)
    return dataclasses.replace(outcome, broken=(*outcome.broken, *sorted(set(wrong))))


def _beside(served: Served, act: Callable[[], str]) -> Outcome:
    """Act beside the constant load, which must not be affected."""
    running = begin(served.url, timeout_ms=LONGEST_MS)
    time.sleep(1)
    try:
        note = act()
        time.sleep(1)
    finally:
        records = running.stop()
    outcome = judge(records, SUCCEEDED, deadline_s=LONGEST_MS / 1000)
    return dataclasses.replace(outcome, note=note)


@contextlib.contextmanager
def connection(served: Served) -> Iterator[socket.socket]:
    """One connection to the transformer server."""
    with socket.create_connection((LOOPBACK, served.port), timeout=20) as caller:
        yield caller


def _raw(kind: str) -> bytes:
    request = requests()[kind]
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    head = f"POST {request.path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(request.body)}\r\n\r\n"
    return head.encode() + request.body


def _send(served: Served, first: bytes, part: bytes, times: int) -> str:
    """Send until the server answers; returns the status or "none"."""
    with connection(served) as caller, contextlib.suppress(OSError):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError), selectors.DefaultSelector() as selector:
            selector.register(caller, selectors.EVENT_READ)
            caller.sendall(first)
            for _ in range(times):
                if selector.select(0):
                    break
                caller.sendall(part)
        answer = caller.recv(4096)
        return answer[9:12].decode(errors="replace") or "none"
    return "none"


def _bomb() -> bytes:
    """A small PNG whose header declares 40,000 x 40,000 pixels."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[16:24] = struct.pack(">II", 40_000, 40_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)
