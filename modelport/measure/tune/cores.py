"""The processor cores that this process may use: its affinity, bounded by the quotas of its control groups."""

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# A quota of a period, in microseconds, by version of control groups: version 2 has both in one file. -1 and "max"
# stand for none.
_V2, _V1 = ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")


@dataclass(frozen=True)
class Cores:
    """What may be used."""

    usable: int  # cores in the affinity mask, which a cpuset narrows
    quota: float = math.inf  # cores' worth of processor time that the control groups allow; infinite without a quota

    @property
    def count(self) -> int:
        """Cores that can be busy at the same time, at least 1; a part of a core counts as one."""
        return max(1, min(self.usable, math.ceil(min(self.quota, self.usable))))

    def __str__(self) -> str:
        limit = f", limited to {self.quota:g} by a control group" if self.quota < self.usable else ""
        return f"{self.usable} core{'s' * (self.usable != 1)}{limit}"


def cores(root: Path = Path("/")) -> Cores:
    """Read what this process may use now.

    Args:
        root: of the file system, where proc and sys/fs/cgroup are.
    """
    return Cores(len(os.sched_getaffinity(0)), min(_quotas(root), default=math.inf))


def _quotas(root: Path) -> Iterator[float]:
    """Of this process's control group and of all above it.

    A container sees its own group as the root of the mount, while /proc/self/cgroup may name the group as the host
    sees it; that path is then not there, and what is left of it is the root.
    """
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            mounted = root / "sys/fs/cgroup"
            mounts = [mounted / controllers, mounted / "cpu"] if controllers else [mounted, mounted / "unified"]
            for mount in mounts:
                group = mount / path.lstrip("/")
                for folder in (group, *group.parents):
                    yield from _quota(folder, _V1 if controllers else _V2)
                    if folder == mount:
                        break


def _quota(folder: Path, files: tuple[str, ...]) -> Iterator[float]:
    with contextlib.suppress(OSError, ValueError):
        quota, period = " ".join((folder / file).read_text() for file in files).split()
        if quota != "max" and int(quota) > 0:
            yield int(quota) / int(period)
