"""The log of rollouts: who changed what, when and why; one line of JSON for each change, append-only."""

import getpass
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelport.environment import git
from modelport.manifests.release_file import Choice
from modelport.releases.errors import ReleaseError


@dataclass(frozen=True)
class Entry:
    """A change of the release file, or a decision about it."""

    when: str  # ISO 8601, UTC
    who: str  # git's user.name, else the name of the system's user
    what: str  # canary, promote, rollback or shadow; hold where a judge of a canary decided to change nothing
    service: str
    # before, after: the service's part of the release file
    before: Choice
    after: Choice
    why: str = ""


def read(file: Path) -> list[Entry]:
    """All changes, oldest first; empty where the file does not exist.

    Raises:
        ReleaseError: a line is malformed.
    """
    entries = []
    for number, line in enumerate(file.read_text().splitlines() if file.exists() else [], 1):
        try:
            stated = json.loads(line)
            entries.append(Entry(**stated | {"before": Choice(**stated["before"]), "after": Choice(**stated["after"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise ReleaseError(f"{file}, line {number} is malformed ({error!r}): `git restore` it") from error
    return entries


def append(file: Path, what: str, service: str, before: Choice, after: Choice, why: str) -> None:
    """Log a change that the current user makes now; the entry is on the disk when this returns."""
    change = Entry(datetime.now(UTC).isoformat(timespec="seconds"), _user(), what, service, before, after, why)
    with file.open("ab") as stream:
        line = asdict(change) | {"before": _told(before), "after": _told(after)}
        stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def stable_before(changes: Sequence[Entry], service: str, stable: str) -> str | None:
    """The stable release that a promotion to `stable` replaced; None where the log has no such promotion."""
    for change in reversed(changes):
        promoted = change.service == service and change.what == "promote" and change.before.stable != stable
        if promoted and change.after.stable == stable:
            return change.before.stable
    return None


def latest_shadow(changes: Sequence[Entry], service: str) -> Entry | None:
    """The entry with which a service's latest shadow began; None where it has had none."""
    started = [one for one in changes if one.service == service and one.what == "shadow" and one.after.shadow_percent]
    return started[-1] if started else None


def _told(choice: Choice) -> dict[str, Any]:
    """Without the shadow where there is none."""
    return {key: value for key, value in asdict(choice).items() if choice.shadow_percent or "shadow" not in key}


def _user() -> str:
    return git("config", "user.name") or getpass.getuser()
