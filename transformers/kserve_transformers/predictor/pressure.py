"""How much this machine, or this container's share of it, made processes wait: what makes a model slow, not sick."""

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
_STALLS = [
    *(f"proc/pressure/{resource}" for resource in ("cpu", "io", "memory")),  # of the machine
    *(f"sys/fs/cgroup/{resource}.pressure" for resource in ("cpu", "io", "memory")),  # of the container
]
_SOME = re.compile(r"^some avg10=(?P<percent>[\d.]+) .*total=(?P<us>\d+)$", re.MULTILINE)
_THROTTLED = {
    "sys/fs/cgroup/cpu.stat": ("throttled_usec", 1e-6),
    "sys/fs/cgroup/cpu/cpu.stat": ("throttled_time", 1e-9),
}


class PressureMeter:
    """Measures pressure from its construction on.

    Sources: the kernel's pressure stall information, throttling of the control group (both its versions), and the time
    for which this thread waited in a run queue. What a machine does not have counts as no pressure.

    Args:
        root: of the file system.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._began = time.monotonic()
        self._waited_s = dict(self._counters())

    def share(self) -> float:
        """The largest share of the time since then, 0 to 1, in which processes waited for one resource."""
        elapsed_s = max(time.monotonic() - self._began, 1e-3)
        shares = [(now_s - self._waited_s.get(name, now_s)) / elapsed_s for name, now_s in self._counters()]
        # The counters of stalls move every two seconds only; the kernel's own mean of ten seconds fills the gap.
        shares += [float(some["percent"]) / 100 for _, some in self._stalls()]
        return min(1.0, max(shares, default=0.0))

    def _counters(self) -> Iterator[tuple[str, float]]:
        """Seconds waited, by source."""
        for name, some in self._stalls():
            yield name, int(some["us"]) / 1e6
        for name, (key, unit) in _THROTTLED.items():
            for line in self._read(name).splitlines():
                if line.startswith(f"{key} "):
                    yield name, int(line.split()[1]) * unit
        own = self._read("proc/thread-self/schedstat").split()
        if len(own) == 3:
            yield "run queue", int(own[1]) / 1e9

    def _stalls(self) -> Iterator[tuple[str, re.Match[str]]]:
        for name in _STALLS:
            some = _SOME.search(self._read(name))
            if some:
                yield name, some

    def _read(self, name: str) -> str:
        with contextlib.suppress(OSError):
            return (self._root / name).read_text()
        return ""
