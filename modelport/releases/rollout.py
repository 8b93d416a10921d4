"""Changes which releases serve: edits a service's lines of the release file and logs the change."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from exporters.files import locked, staged
from modelport.manifests.release_file import FIRST_RELEASE, Choice, ReleaseFileError, edited, parse, release_file
from modelport.manifests.rendering import MANIFESTS
from modelport.releases import log
from modelport.releases.errors import RolloutError
from modelport.releases.release import NAME, RELEASES, built, match_name
from modelport.releases.sources import Folder
from modelport.releases.verification import verify

# Takes the current choice of a service and the log; returns the new choice, or raises RolloutError.
Transition = Callable[[Choice, Sequence[log.Entry]], Choice]


@dataclass(frozen=True)
class Folders:
    """Where the manifests, with the release file and its log, and this machine's releases are."""

    manifests: Path = MANIFESTS
    releases: Path = RELEASES

    @property
    def log(self) -> Path:
        """The log of all changes."""
        return self.manifests / "releases" / "log.jsonl"

    def baseline(self, service: str) -> Path:
        """What a canary's judge remembers of the present step."""
        return self.releases.parent / "canary" / f"{service}.json"


def choices(folders: Folders, service: str | None = None) -> dict[str, Choice]:
    """The current content of the release file, for all services or for one.

    Raises:
        RolloutError: there is no such service, or the file is malformed.
    """
    try:
        found = parse(release_file(folders.manifests).read_text())
    except ReleaseFileError as error:
        raise RolloutError(str(error)) from error
    if service is not None and service not in found:
        raise RolloutError(f"there is no service {service!r}: choose one of: {', '.join(found)}")
    return found if service is None else {service: found[service]}


def change(folders: Folders, what: str, service: str, why: str, transition: Transition) -> str:
    """Change the release file atomically, and log the change.

    Args:
        folders: where the file is.
        what: the command: canary, promote, rollback or shadow.
        service: whose choice changes.
        why: the reason, for the log.
        transition: computes the new choice.

    Returns:
        The change as a unified diff.

    Raises:
        RolloutError: there is no such service, the file is malformed, or the transition raised it.
    """
    file = release_file(folders.manifests)
    with locked(file.parent):
        text = file.read_text()
        before = choices(folders, service)[service]
        after = transition(before, log.read(folders.log))
        new = edited(text, service, after)
        with staged(file) as temporary:  # written before the log, so that a full disk leaves no entry
            temporary.write_text(new)
            log.append(folders.log, what, service, before, after, why)
    name = f"manifests/releases/{file.name}"
    return "\n".join(difflib.unified_diff(text.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm=""))


def note(folders: Folders, what: str, service: str, choice: Choice, why: str) -> None:
    """Log a decision that changes nothing."""
    with locked(folders.log.parent):
        log.append(folders.log, what, service, choice, choice, why)


def resolve(folders: Folders, service: str, part: str, unchecked: bool, untrained: bool) -> str:
    """The full name of a release that may serve.

    Args:
        folders: where this machine's releases and the log are.
        service: the service's name.
        part: of the release's name, contained in no other known name.
        unchecked: accept a full name that is not known here, of a release from another machine.
        untrained: accept untrained models.

    Raises:
        NotFoundError: no known release matches, or several do.
        RolloutError: its models are untrained.
        ReleaseInvalidError: it is on this machine, and its files do not match its release.json.
    """
    on_disk = built(service, folders.releases)
    logged = [
        name
        for c in log.read(folders.log)
        if c.service == service
        for name in (c.after.stable, c.after.canary, c.after.shadow)
    ]
    known = {FIRST_RELEASE, *on_disk, *logged}
    if unchecked and NAME.fullmatch(part) and part not in known:
        return part
    hint = "a release from another machine needs its full name and --unchecked (make: UNCHECKED=1)"
    name = match_name(service, part, sorted(known), hint)
    if name in on_disk:
        verify(Folder(folders.releases / service / name))
        bad = [model for model, record in on_disk[name].models.items() if not record.trained]
        if bad and not untrained:
            raise RolloutError(
                f"{', '.join(bad)} of {name} is untrained, so its answers mean nothing: "
                "accept it with --untrained (make: UNTRAINED=1)"
            )
    return name


def canary(release: str, percent: int) -> Transition:
    """Serve a share of the requests by a release."""

    def transition(now: Choice, _: Sequence[log.Entry]) -> Choice:
        if release == now.stable:
            raise RolloutError(f"{release} is the stable release already: choose another one")
        if (release, percent) == (now.canary, now.percent):
            raise RolloutError(f"{release} is the canary with {percent} % already")
        return replace(now, canary=release, percent=percent)

    return transition


def shadow(release: str, percent: int) -> Transition:
    """Copy a share of the requests to a release."""

    def transition(now: Choice, _: Sequence[log.Entry]) -> Choice:
        if (release, percent) == (now.shadow, now.shadow_percent):
            raise RolloutError(f"{release} gets copies of {percent} % already")
        return replace(now, shadow=release, shadow_percent=percent)

    return transition


def end_shadow(now: Choice, _: Sequence[log.Entry]) -> Choice:
    """Copy no requests any more."""
    if not now.shadow_percent:
        raise RolloutError("there is no shadow to end: start one with `modelport shadow SERVICE RELEASE`")
    return replace(now, shadow=now.stable, shadow_percent=0)


def promote(now: Choice, _: Sequence[log.Entry]) -> Choice:
    """Make the canary the stable release."""
    if not now.percent:
        raise RolloutError("there is no canary to promote: start one with `modelport canary SERVICE RELEASE 10`")
    return replace(now, stable=now.canary, percent=0)


def rollback(service: str) -> Transition:
    """End the canary; without one, return to the stable release before the current one."""

    def transition(now: Choice, changes: Sequence[log.Entry]) -> Choice:
        former = now.stable if now.percent else log.stable_before(changes, service, now.stable)
        if former is None:
            raise RolloutError(
                f"there is no canary, and the log has no stable release of {service} before {now.stable}"
            )
        return replace(now, stable=former, canary=former, percent=0)

    return transition
