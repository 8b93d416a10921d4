"""Memory of the whole stack, sizes of artefacts, and time to ready."""

import contextlib
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from exporters.table import table
from modelport.measure.bench import servers
from modelport.measure.bench.cases import CASES, requests
from modelport.measure.bench.measuring import Load, call
from modelport.samples import REPOSITORY
from modelport.services import choose
from modelport.stack.server import free_ports
from modelport.stack.transformer_server import TransformerServer, TransformerSettings

MB = 2**20
TRANSFORMER_MB, STACK_MB, ANSWER_S = 200, 4096, 3.0
SETTLED = 2000  # requests before memory is measured


@dataclass(frozen=True)
class Held:
    """A process and its memory.

    Shared pages count in parts in the proportional set size, and in full in the resident one.
    """

    what: str
    pss_mb: float
    rss_mb: float


def held() -> list[Held]:
    """The memory of each process of what is served."""
    found = []
    for process in servers.running():
        with contextlib.suppress(psutil.Error):
            memory = process.memory_full_info()
            found.append(Held(_what(process.cmdline()), memory.pss / MB, memory.rss / MB))
    return found


def artefacts() -> list[tuple[str, float]]:
    """Models and the size of their artefacts, MB."""
    sizes = []
    for model in sorted(path.parent for path in REPOSITORY.glob("*/config.pbtxt")):
        files = [file for version in model.glob("[0-9]*") for file in version.rglob("*") if file.is_file()]
        sizes.append((model.name, sum(file.stat().st_size for file in files) / MB))
    return sizes


def measure() -> Iterator[str]:
    """Measure the stack with all services; yields lines of text."""
    port, _, triton, *_ = free_ports(5)
    command = [
        sys.executable,
        "-P",
        "-m",
        "modelport.stack",
        f"--port={port}",
        f"--triton-port={triton}",
        "--die-with-parent",
    ]
    with servers.Served("memory", command, "ready: http", port) as served:
        yield f"cold start to ready, all services: {served.start_s:.1f} s"
        start_s = transformer_start_s(triton)
        yield f"transformer, Triton up: ready after {start_s:.1f} s ({_word(start_s <= ANSWER_S)}, goal {ANSWER_S:g} s)"
        _mixed(port, SETTLED)
        yield from _held_lines()


def transformer_start_s(triton_port: int) -> float:
    """Start another transformer in front of the same Triton; returns the seconds until all services are ready."""
    http, grpc = free_ports(2)
    settings = TransformerSettings(choose(), REPOSITORY, servers.LOGS / "start.log", triton_port, http, grpc)
    server = TransformerServer(settings)
    began = time.monotonic()
    server.start()
    try:
        while not server.is_ready():
            time.sleep(0.02)
            if time.monotonic() - began > settings.start_timeout_s:
                break
        return time.monotonic() - began
    finally:
        server.kill()


def _held_lines() -> Iterator[str]:
    processes = held()
    total = sum(one.pss_mb for one in processes)
    transformer = sum(one.rss_mb for one in processes if one.what == "transformer")
    rows = [(one.what, f"{one.pss_mb:.0f}", f"{one.rss_mb:.0f}") for one in processes]
    yield table([("process", "PSS MB", "RSS MB"), *rows, ("all", f"{total:.0f}", "")])
    small = _word(transformer < TRANSFORMER_MB)
    yield f"the transformer: {transformer:.0f} MB resident ({small}, goal < {TRANSFORMER_MB} MB)"
    yield f"the whole stack: {total:.0f} MB ({_word(total < STACK_MB)}, goal < {STACK_MB} MB)"
    yield table([("artefact", "MB"), *[(name, f"{size:.1f}") for name, size in artefacts()]])


def _mixed(port: int, count: int) -> None:
    """Send requests to every service by every protocol in turn."""
    kinds = [
        (p, r) for name in ("detector", "lite0", "cars", "digits", "anomaly") for p, r in requests(CASES[name]).items()
    ]
    sent, turns = 0, itertools.cycle(kinds)
    while sent < count:
        sent += len(call(port, Load(*next(turns), 8, 2.0)).records)


def _what(command: Sequence[str]) -> str:
    text = " ".join(command)
    for model in REPOSITORY.iterdir():
        if f"/{model.name}/" in text and "python_backend_stub" in text:
            return f"model {model.name}"
    known = {"bin/tritonserver": "Triton", "kserve_transformers": "transformer", "modelport.stack": "supervisor"}
    return next((name for word, name in known.items() if word in text), Path(command[0]).name if command else "?")


def _word(reached: bool) -> str:
    return "reached" if reached else "MISSED"
