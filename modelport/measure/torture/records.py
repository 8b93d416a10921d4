"""Faults of a record's sink: full, slow or dead, and a server that is killed while it records."""

import contextlib
import dataclasses
import re
import resource
import shutil
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from kserve_transformers.record.reading import Reader
from modelport.measure.torture import processes
from modelport.measure.torture.outcome import LONGEST_MS, SUCCEEDED, Outcome, judge
from modelport.measure.torture.served import (
    RECOVER_S,
    SERVICES,
    TRANSFORMER,
    Served,
    copy_repository,
    own_disk,
    wait_for,
)
from modelport.measure.traffic import begin
from modelport.stack.server import LOOPBACK, free_ports

LOAD_S = 12.0
DISK_KB = 512
SLOW_S = 3.0  # of each batch
SMALL_QUEUE = 300_000  # bytes: three photos
IMAGES = f"--record_images={','.join(SERVICES)}"
_SERIES = re.compile(r"^modelport_(recorded|record_lost|requests)_total\{(.*)\} (\S+)$", re.MULTILINE)
_REASON = re.compile(r'reason="([^"]+)"')


def disk_full(folder: Path) -> Outcome:
    """A disk of half a megabyte, or, without the right to mount, a limit on the size of the server's files."""
    record = folder.resolve() / "record-full"
    record.mkdir(parents=True, exist_ok=True)
    wrapper = own_disk(str(record), f"{DISK_KB}k")

    def limit(served: Served) -> None:
        if not wrapper:
            for server in served.processes(TRANSFORMER):
                resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (DISK_KB * 1024, DISK_KB * 1024))

    def whole(served: Served) -> tuple[str, ...]:
        found = Path(f"/proc/{served.process.pid}/root{record}")
        reader = Reader(str(found))
        count = sum(1 for _ in reader)
        return () if count and not reader.torn + reader.alone else (f"{count} whole pairs, {reader.torn} torn lines",)

    return _beside(folder, (f"--record={record}", IMAGES), "sink failed", wrapper, limit, whole)


def sink_slow(folder: Path) -> Outcome:
    """An HTTP sink that takes seconds for each batch, and a small queue."""
    with _collector(SLOW_S) as url:
        options = (f"--record={url}", IMAGES, f"--record_queue_bytes={SMALL_QUEUE}")
        return _beside(folder, options, "queue full")


def sink_dead(folder: Path) -> Outcome:
    """An HTTP sink that nobody listens for."""
    (port,) = free_ports(1)
    return _beside(folder, (f"--record=http://{LOOPBACK}:{port}/", IMAGES), "sink failed")


def killed(folder: Path) -> Outcome:
    """Kill -9 of the server while it records: whole lines, at most a torn last one, and the next one goes on."""
    record = folder.resolve() / "record-killed"
    shutil.rmtree(record, ignore_errors=True)
    with _served(folder, (f"--record={record}", IMAGES)) as served:
        outcome = processes.transformer(signal.SIGKILL)(served)
        time.sleep(3)  # until the last batch is written
        outcome = served.memory.add_to(outcome)
    reader = Reader(str(record))
    statuses = Counter(one.status in ("200", "OK") for one in reader)
    writers = {path.name.split("-")[1] for path in record.rglob("*.jsonl")}
    answered = outcome.seen["200"]
    broken = list(outcome.broken)
    broken += [f"{reader.torn} torn lines of one that was killed"] if reader.torn > 1 else []
    broken += ["the server that was started again recorded nothing"] if len(writers) < 2 else []
    broken += [f"{statuses[True]} answers in the record of {answered}"] if statuses[True] > answered else []
    note = f"{answered} answered, {statuses[True]} of them in the record; {reader.torn} torn lines"
    return dataclasses.replace(outcome, note=note, broken=tuple(broken))


@contextlib.contextmanager
def _served(folder: Path, options: Sequence[str], wrapper: Sequence[str] = ()) -> Iterator[Served]:
    with Served(folder / "record.log", copy_repository(folder), wrapper=wrapper, options=options) as served:
        yield served.wait_until_ready()


def _beside(
    folder: Path,
    options: Sequence[str],
    reason: str,
    wrapper: Sequence[str] = (),
    act: Callable[[Served], None] = lambda served: None,
    check: Callable[[Served], tuple[str, ...]] = lambda served: (),
) -> Outcome:
    """Callers must not notice; each request is in the record or counted as lost, some of them for the reason."""
    with _served(folder, options, wrapper) as served:
        act(served)
        running = begin(served.url, timeout_ms=LONGEST_MS)
        time.sleep(LOAD_S)
        records = running.stop()
        accounted = wait_for(
            lambda: _told(served)["requests"] == _told(served)["recorded"] + _told(served)["lost"], RECOVER_S
        )
        told = _told(served)
        outcome = served.memory.add_to(judge(records, SUCCEEDED, deadline_s=LONGEST_MS / 1000))
        broken = (*outcome.broken, *check(served))
    broken += () if accounted is not None else (f"{told['requests']} requests: {dict(told)}",)
    broken += () if told[reason] else (f"nothing was lost because of: {reason}",)
    note = f"{told['requests']} requests, {told['recorded']} in the record, {told['lost']} lost: {reason}"
    return dataclasses.replace(outcome, note=note, broken=broken)


def _told(served: Served) -> Counter[str]:
    """Requests to services, those in the record, and those that were lost, in all and by reason, as metrics have it."""
    with urllib.request.urlopen(f"{served.url}/metrics", timeout=20) as answer:  # noqa: S310  (of our own stack)
        text = answer.read().decode()
    told: Counter[str] = Counter()
    for name, labels, value in _SERIES.findall(text):
        if 'service="none"' not in labels:
            told[name.removeprefix("record_")] += int(float(value))
            if found := _REASON.search(labels):
                told[found[1]] += int(float(value))
    return told


@contextlib.contextmanager
def _collector(seconds: float) -> Iterator[str]:
    """A server that answers each POST after so many seconds."""

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            time.sleep(seconds)
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Slow)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
