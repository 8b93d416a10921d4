"""A full /dev/shm, of the stack's own."""

import dataclasses
import os
import time
from collections import Counter
from pathlib import Path

from modelport.measure.torture.outcome import Outcome, judge
from modelport.measure.torture.served import RECOVER_S, Served, copy_repository, own_disk, wait_for
from modelport.measure.traffic import begin

SIZE_MB = 96
FULL_S = 6.0


def full(folder: Path) -> Outcome:
    """A file takes all free memory while requests run, and is removed again."""
    wrapper = own_disk("/dev/shm", f"{SIZE_MB}m")  # noqa: S108
    if not wrapper:
        return Outcome("", Counter(), note="skipped: needs the right to mount (root)")
    with Served(folder / "shared_memory.log", copy_repository(folder), wrapper=wrapper) as served:
        served.wait_until_ready()
        filler = Path(f"/proc/{served.process.pid}/root/dev/shm/filler")
        running = begin(served.url)
        try:
            time.sleep(1.5)
            free = os.statvfs(filler.parent)
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, min(free.f_bavail * free.f_frsize, SIZE_MB * 2**20))
            began = time.monotonic()
            time.sleep(FULL_S)
            filler.unlink()
            recovered_s = None
            if wait_for(served.all_ready, RECOVER_S) is not None:
                recovered_s = time.monotonic() - began - FULL_S
            time.sleep(1.5)
        finally:
            filler.unlink(missing_ok=True)
            records = running.stop()
        outcome = judge(records)
        broken = outcome.broken + (() if recovered_s is not None else ("not ready again",))
        note = f"{SIZE_MB} MB, full for {FULL_S:g} s"
        return served.memory.add_to(dataclasses.replace(outcome, recovered_s=recovered_s, note=note, broken=broken))
