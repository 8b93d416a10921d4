"""A transformer server as a process of its own, without a Triton behind it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from waiting import wait_for

OPTIONS = ["--host=127.0.0.1", "--predictor_host=127.0.0.1:9", "--drain_s=1.5", "--cors_origins=https://a.example"]


@contextmanager
def serving(log: Path, ports: list[int], *options: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    command = [sys.executable, "-m", "kserve_transformers", *OPTIONS, *options]
    command += [f"--http_port={ports[0]}", f"--grpc_port={ports[1]}"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    with log.open("wb") as file, subprocess.Popen(command, env=environment, stdout=file, stderr=file) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}", timeout=60) as client:
                wait_for(lambda: alive(client) or process.poll() is not None, log)
                assert process.poll() is None, log.read_text()
                yield process, client
        finally:
            process.kill()


def alive(client: httpx.Client) -> bool:
    try:
        return client.get("/v2/health/live").json() == {"live": True}
    except httpx.TransportError:
        return False
