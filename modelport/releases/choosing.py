"""Chooses what serves: changes a service's lines of the release file, shows the difference, and logs the change."""

from __future__ import annotations

import difflib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporters.files import staged
from modelport.manifests.release_file import FIRST_RELEASE, Choice, ReleaseFileError, edited, parse, release_file
from modelport.manifests.rendering import MANIFESTS
from modelport.releases import log
from modelport.releases.errors import ChoiceError, NoReleaseError
from modelport.releases.release import NAME, RELEASES, built
from modelport.releases.sources import Folder
from modelport.releases.verification import verify

Decide = Callable[[Choice, Sequence[log.Entry]], Choice]


@dataclass(frozen=True)
class Place:
    """Where the release file, its log and this machine's releases are."""

    manifests: Path = MANIFESTS
    releases: Path = RELEASES

    @property
    def log(self) -> Path:
        """The log of all changes."""
        return self.manifests / "releases" / "log.jsonl"


def change(place: Place, what: str, service: str, why: str, decide: Decide) -> str:
    """Change the release file, as a whole or not at all, and log it.

    Args:
        place: whose file.
        what: the command, for the log.
        service: whose lines.
        why: for the log.
        decide: takes what the file says of the service now, and the log; says what it shall say, or raises.

    Returns:
        The difference, as a unified diff.

    Raises:
        ChoiceError: there is no such service, the file is damaged, or what `decide` raised.
    """
    file = release_file(place.manifests)
    with _locked(file.parent):
        text = file.read_text()
        before = chosen(place, service)[service]
        after = decide(before, log.read(place.log))
        new = edited(text, service, after)
        with staged(file) as temporary:  # all that can fail for want of space comes before the log
            temporary.write_text(new)
            log.append(place.log, log.entry(what, service, before, after, why))
    name = f"manifests/releases/{file.name}"
    return "\n".join(difflib.unified_diff(text.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm=""))


def chosen(place: Place, service: str | None = None) -> dict[str, Choice]:
    """What the release file says now, of all services or of one.

    Raises:
        ChoiceError: there is no such service, or the file is damaged.
    """
    try:
        choices = parse(release_file(place.manifests).read_text())
    except ReleaseFileError as error:
        raise ChoiceError(str(error)) from error
    if service is not None and service not in choices:
        raise ChoiceError(f"there is no service {service!r}: choose of {', '.join(choices)}")
    return choices if service is None else {service: choices[service]}


def known_release(place: Place, service: str, name: str, unchecked: bool, untrained: bool) -> str:
    """The full name of a release that may serve.

    Args:
        place: where releases and the log are.
        service: whose release.
        name: its name, or a part of it that no other one has.
        unchecked: believe a full name that is not known here: it was built and published elsewhere.
        untrained: take one with untrained weights, too.

    Raises:
        NoReleaseError: none or several have this name.
        ChoiceError: its models are untrained.
        ReleaseInvalidError: it is on this machine, and its files are not those that it was built with.
    """
    on_disk = {release.name: release for release in built(service, place.releases)}
    logged = [c.after for c in log.read(place.log) if c.service == service]
    known = {FIRST_RELEASE, *on_disk, *(c.stable for c in logged), *(c.canary for c in logged)}
    found = [name] if name in known else sorted(k for k in known if name and name in k)
    if not found and unchecked and NAME.fullmatch(name):
        return name
    if len(found) != 1:
        how_many = "several" if found else "no"
        raise NoReleaseError(
            f"{how_many} releases of {service} are named {name!r}: choose of {', '.join(sorted(known))}; "
            "one that was published from another machine needs its full name and UNCHECKED=1"
        )
    (full,) = found
    if full in on_disk:
        verify(Folder(place.releases / service / full))
        bad = [model for model, record in on_disk[full].models.items() if not record.trained]
        if bad and not untrained:
            raise ChoiceError(
                f"{', '.join(bad)} of {full} is untrained, its answers mean nothing: UNTRAINED=1 forces it"
            )
    return full


def canary(release: str, percent: int) -> Decide:
    """Try a release on a share of the traffic."""

    def decide(now: Choice, _: Sequence[log.Entry]) -> Choice:
        if release == now.stable:
            raise ChoiceError(f"{release} is the stable release already: choose another one")
        if (release, percent) == (now.canary, now.percent):
            raise ChoiceError(f"{release} has {percent} per cent already")
        return Choice(now.stable, release, percent)

    return decide


def promote(now: Choice, _: Sequence[log.Entry]) -> Choice:
    """Let the canary serve all requests."""
    if not now.percent:
        raise ChoiceError("there is no canary to promote: start one with `make canary SERVICE= RELEASE= PERCENT=10`")
    return Choice(now.canary, now.canary, 0)


def rollback(now: Choice, changes: Sequence[log.Entry], service: str) -> Choice:
    """End the canary; without one, go back to the stable release before this one."""
    if now.percent:
        return Choice(now.stable, now.stable, 0)
    former = log.stable_before(changes, service, now.stable)
    if former is None:
        raise ChoiceError(f"there is no canary, and the log knows no stable release of {service} before {now.stable}")
    return Choice(former, former, 0)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One change at a time. The lock is the folder itself, and ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
