"""The log of what was chosen: who, when, what and why, one line of JSON a change, never rewritten."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from modelport.manifests.release_file import Choice
from modelport.releases.errors import ReleaseError


@dataclass(frozen=True)
class Entry:
    """One change.

    Args:
        when: ISO 8601, UTC.
        who: as git knows the person, else the system.
        what: canary, promote or rollback.
        before, after: what the release file said of the service.
    """

    when: str
    who: str
    what: str
    service: str
    before: Choice
    after: Choice
    why: str = ""


def entry(what: str, service: str, before: Choice, after: Choice, why: str) -> Entry:
    """A change by this person, now."""
    return Entry(datetime.now(UTC).isoformat(timespec="seconds"), _who(), what, service, before, after, why)


def read(file: Path) -> list[Entry]:
    """All changes, oldest first; none where there is no log yet.

    Raises:
        ReleaseError: a line is damaged.
    """
    lines = file.read_text().splitlines() if file.exists() else []
    return [_parse(line, file, number) for number, line in enumerate(lines, 1)]


def append(file: Path, change: Entry) -> None:
    """Add a change, whole and on the disk when this returns."""
    with file.open("ab") as stream:
        stream.write(json.dumps(asdict(change), ensure_ascii=False).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def stable_before(changes: Sequence[Entry], service: str, stable: str) -> str | None:
    """The release that served before the one that serves now was promoted; None where the log does not know."""
    for change in reversed(changes):
        promoted = change.service == service and change.what == "promote" and change.before.stable != stable
        if promoted and change.after.stable == stable:
            return change.before.stable
    return None


def _parse(line: str, file: Path, number: int) -> Entry:
    try:
        stated = json.loads(line)
        return Entry(**{**stated, "before": Choice(**stated["before"]), "after": Choice(**stated["after"])})
    except (ValueError, TypeError, KeyError) as error:
        raise ReleaseError(f"{file}, line {number} is damaged ({error!r}): `git restore` it") from error


def _who() -> str:
    git = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    return git.stdout.strip() or getpass.getuser()
