"""The log of rollouts: who changed what, when and why; one line of JSON for each change, append-only."""

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
    """A change of the release file.

    Attributes:
        when: ISO 8601, UTC.
        who: git's user.name, else the name of the system's user.
        what: canary, promote or rollback.
        before, after: the service's part of the release file.
    """

    when: str
    who: str
    what: str
    service: str
    before: Choice
    after: Choice
    why: str = ""


def entry(what: str, service: str, before: Choice, after: Choice, why: str) -> Entry:
    """A change that is made now by the current user."""
    return Entry(datetime.now(UTC).isoformat(timespec="seconds"), _user(), what, service, before, after, why)


def read(file: Path) -> list[Entry]:
    """All changes, oldest first; empty where the file does not exist.

    Raises:
        ReleaseError: a line is malformed.
    """
    lines = file.read_text().splitlines() if file.exists() else []
    return [_parse(line, file, number) for number, line in enumerate(lines, 1)]


def append(file: Path, change: Entry) -> None:
    """Append a change; it is on the disk when this returns."""
    with file.open("ab") as stream:
        stream.write(json.dumps(asdict(change), ensure_ascii=False).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def stable_before(changes: Sequence[Entry], service: str, stable: str) -> str | None:
    """The stable release that a promotion to `stable` replaced; None where the log has no such promotion."""
    for change in reversed(changes):
        promoted = change.service == service and change.what == "promote" and change.before.stable != stable
        if promoted and change.after.stable == stable:
            return change.before.stable
    return None


def _parse(line: str, file: Path, number: int) -> Entry:
    try:
        document = json.loads(line)
        return Entry(**{**document, "before": Choice(**document["before"]), "after": Choice(**document["after"])})
    except (ValueError, TypeError, KeyError) as error:
        raise ReleaseError(f"{file}, line {number} is malformed ({error!r}): `git restore` it") from error


def _user() -> str:
    git = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    return git.stdout.strip() or getpass.getuser()
