"""List the releases of each service on this machine, which of them are stable or a canary, and the latest changes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from exporters.table import table
from modelport.manifests.release_file import Choice
from modelport.releases import log
from modelport.releases.choosing import Place, chosen
from modelport.releases.commands import choices
from modelport.releases.release import SIGNATURE_FILE, Release, built

CHANGES = 5  # of the log are shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("service", nargs="?", help="this one alone")
    choices.add_place(parser)


def run(options: argparse.Namespace) -> int:
    """Print the list. Returns the exit code."""
    place = choices.place(options)
    found = chosen(place, options.service)
    rows: list[tuple[str, ...]] = [("service", "release", "serves", "created", "weights", "accuracy", "signed")]
    rows += [row for service, choice in found.items() for row in _rows(place, service, choice)]
    print(table(rows))
    for change in [c for c in log.read(place.log) if c.service in found][-CHANGES:]:
        print(f"{change.when}  {change.who}: {change.what} {change.service}, {_step(change)}  {change.why}".rstrip())
    return 0


def _rows(place: Place, service: str, choice: Choice) -> Iterator[tuple[str, ...]]:
    on_disk = {release.name: release for release in built(service, place.releases)}
    for name in dict.fromkeys((choice.stable, choice.canary, *on_disk)):
        release = on_disk.get(name)
        told = _told(place, release) if release else ("", "", "", "")
        yield (service, name, _share(name, choice), *told)


def _told(place: Place, release: Release) -> tuple[str, ...]:
    models = release.models.values()
    signed = (place.releases / release.service / release.name / SIGNATURE_FILE).exists()
    return (
        release.created[:16],
        "trained" if all(model.trained for model in models) else "UNTRAINED",
        "; ".join(model.weights.get("accuracy", "not stated") for model in models),
        "yes" if signed else "no",
    )


def _share(name: str, choice: Choice) -> str:
    shares = [f"stable {100 - choice.percent} %"] * (name == choice.stable)
    shares += [f"canary {choice.percent} %"] * (name == choice.canary and choice.percent > 0)
    return ", ".join(shares)


def _step(change: log.Entry) -> str:
    """From what to what, in a few words."""
    return " -> ".join(
        f"{choice.stable}" + f" with {choice.percent} % {choice.canary}" * bool(choice.percent)
        for choice in (change.before, change.after)
    )
