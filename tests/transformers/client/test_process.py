"""The client as a process: how it ends, and what is left then."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kserve_transformers.client.formats import Parquet


def _as_on_a_terminal() -> None:
    """Ctrl-C ends a program, which is not so where the tests run in the background of a shell."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(fake, *arguments, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "kserve_transformers.client", "detector", *map(str, arguments)]
    return subprocess.Popen(
        [*command, "--url", fake.url], stderr=subprocess.PIPE, text=True, preexec_fn=_as_on_a_terminal, **options
    )


def answered(out: Path) -> list[str]:
    """The files in the results, once for each row."""
    if out.suffix == ".jsonl":
        return [json.loads(line)["file"] for line in out.read_text().splitlines()]
    parts = sorted(out.glob("part-*")) if out.is_dir() else [out] * out.exists()
    return [row["file"] for part in parts for row in Parquet().decode(part.read_bytes())]


@pytest.mark.parametrize("out", ["results.jsonl", "parts/", "results.parquet"])
@pytest.mark.parametrize(
    ("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_what_was_answered_is_kept_and_the_rest_is_done_later(fake, images, tmp_path, ending, code, out):
    (images / "empty.png").unlink()
    target = tmp_path / out
    arguments = (images, "--out", f"{tmp_path}/{out}")
    fake.at_most = 4
    with start(fake, *arguments) as process:
        assert fake.hanging.wait(300)
        process.send_signal(ending)
        assert process.wait(300) == code
        assert "Traceback" not in process.stderr.read()
    kept = set(answered(target))
    if ending != signal.SIGKILL or out == "results.jsonl":
        assert len(kept) in (3, 4)  # the next request may leave before the answer to the last one is written
    fake.at_most = None
    fake.release.set()
    before = len(fake.images)
    with start(fake, *arguments) as process:
        assert process.wait(300) == 0
        assert "Traceback" not in process.stderr.read()
    assert len(fake.images) - before == 9 - len(kept)
    per_file = 1 if out == "results.jsonl" else 2  # boxes
    names = [str(images / f"{number}.jpg") for number in range(9)]
    assert sorted(answered(target)) == sorted(names * per_file)


def test_a_reader_that_went_away_ends_it_quietly(fake, images):
    read, write = os.pipe()
    os.close(read)
    with start(fake, images, stdout=write) as process:
        os.close(write)
        assert process.wait(300) == 141
        assert "Traceback" not in (said := process.stderr.read())
        assert "BrokenPipe" not in said


@pytest.mark.parametrize("arguments", [["--out", "/dev/full"], []], ids=["file", "standard output"])
def test_a_full_disk_is_told(fake, images, arguments):
    with Path("/dev/full").open("w") as full, start(fake, images, *arguments, stdout=full) as process:
        assert process.wait(300) == 2
        said = process.stderr.read()
    assert "error: [Errno 28] No space left on device" in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
