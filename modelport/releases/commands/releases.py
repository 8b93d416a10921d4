"""`modelport releases`: list releases, which of them serve, and the latest changes."""

import argparse
from collections.abc import Iterator

from exporters.table import table
from modelport.manifests.release_file import Choice
from modelport.releases import log
from modelport.releases.commands import Subparsers, add_command
from modelport.releases.commands.canary import add_folders, folders
from modelport.releases.release import SIGNATURE_FILE, Release, built
from modelport.releases.rollout import Folders, choices

CHANGES = 5  # of the log that are listed


def add_to(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "releases", run)
    parser.add_argument("service", nargs="?", metavar="SERVICE", help="list only this one")
    add_folders(parser)


def run(options: argparse.Namespace) -> int:
    """List the releases of each service on this machine, which of them serve, and the latest changes."""
    place = folders(options)
    found = choices(place, options.service)
    rows: list[tuple[str, ...]] = [("service", "release", "serves", "created", "weights", "accuracy", "signed")]
    rows += [row for service, choice in found.items() for row in _rows(place, service, choice)]
    print(table(rows))
    for change in [c for c in log.read(place.log) if c.service in found][-CHANGES:]:
        print(f"{change.when}  {change.who}: {change.what} {change.service}, {_step(change)}  {change.why}".rstrip())
    return 0


def _rows(place: Folders, service: str, choice: Choice) -> Iterator[tuple[str, ...]]:
    on_disk = built(service, place.releases)
    shadow = [choice.shadow] if choice.shadow_percent else []
    for name in dict.fromkeys((choice.stable, choice.canary, *shadow, *on_disk)):
        release = on_disk.get(name)
        described = _describe(place, release) if release else ("", "", "", "")
        yield (service, name, _share(name, choice), *described)


def _describe(place: Folders, release: Release) -> tuple[str, ...]:
    models = release.models.values()
    signed = (place.releases / release.service / release.name / SIGNATURE_FILE).exists()
    return (
        release.created[:16],
        "trained" if all(model.trained for model in models) else "UNTRAINED",
        "; ".join([*(model.weights.get("accuracy", "not stated") for model in models), *_measured(release)]),
        "yes" if signed else "no",
    )


def _measured(release: Release) -> Iterator[str]:
    """What an evaluation measured."""
    for name, found in (release.evaluation or {"metrics": {}})["metrics"].items():
        yield f"measured: {name} {found['value']:.4f} of {found['count']}"


def _share(name: str, choice: Choice) -> str:
    shares = [f"stable {100 - choice.percent} %"] * (name == choice.stable)
    shares += [f"canary {choice.percent} %"] * (name == choice.canary and choice.percent > 0)
    shares += [f"shadow of {choice.shadow_percent} %"] * (name == choice.shadow and choice.shadow_percent > 0)
    return ", ".join(shares)


def _step(change: log.Entry) -> str:
    """The change as BEFORE -> AFTER."""
    return " -> ".join(
        choice.stable
        + f" with {choice.percent} % {choice.canary}" * bool(choice.percent)
        + f", {choice.shadow_percent} % copied to {choice.shadow}" * bool(choice.shadow_percent)
        for choice in (change.before, change.after)
    )
