"""manifests/releases/releases.yaml: which release of each service serves, and which one is its canary.

All overlays are rendered from this one file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from modelport.environment import CommandError
from modelport.manifests.findings import at
from modelport.manifests.rendering import MANIFESTS

FIRST_RELEASE = "initial"  # what is served before anything was released: the model repository of the checkout


class ReleaseFileError(CommandError):
    """The file is malformed; the message says what to write."""


@dataclass(frozen=True)
class Choice:
    """The releases of a service."""

    stable: str  # the release that serves
    canary: str  # the release that is tried on a share of the traffic
    percent: int  # the canary's share of the traffic, 0 for no canary
    shadow: str = FIRST_RELEASE  # the release that gets copies of requests
    shadow_percent: int = 0  # the share of the requests that are copied, 0 for no shadow


def release_file(manifests: Path = MANIFESTS) -> Path:
    """Path of the file below the folder of all manifests."""
    return manifests / "releases" / "releases.yaml"


def parse(text: str) -> dict[str, Choice]:
    """Read the text of the file, by service.

    Raises:
        ReleaseFileError: it is not YAML, or one of a service's three keys is missing or malformed.
    """
    try:
        data = at(yaml.safe_load(text) or {}, "data", {})
        services = [key.removesuffix("-stable") for key in data if key.endswith("-stable")]
        return {
            name: Choice(
                data[f"{name}-stable"],
                data[f"{name}-canary"],
                int(data[f"{name}-percent"]),
                data.get(f"{name}-shadow", FIRST_RELEASE),  # files from before there were shadows lack them
                int(data.get(f"{name}-shadow-percent", 0)),
            )
            for name in services
        }
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReleaseFileError(f"releases.yaml cannot be read ({error!r}): correct it, or `git restore` it") from error


def edited(text: str, service: str, choice: Choice) -> str:
    """The file with another choice for a service; all else stays as it is, comments too.

    Raises:
        ReleaseFileError: one of the service's keys has no line of its own.
    """
    new = text
    for key, value in asdict(choice).items():
        # key: value  # comment; the value with or without quotes
        key = key.replace("_", "-")
        new = re.sub(rf"(?m)^(\s*{service}-{key}:\s*)([\"']?)[^\"'#\s]*\2", rf"\g<1>\g<2>{value}\g<2>", new)
    if parse(new) != {**parse(text), service: choice}:
        raise ReleaseFileError(
            f"releases.yaml has no plain lines for {service}: write {service}-stable: NAME and so on "
            "(`make manifests` adds missing ones)"
        )
    return new


def completed(text: str, services: Sequence[str]) -> str:
    """The file with a choice for each of the services and for no other; the choices that it has stay as they are.

    Raises:
        ReleaseFileError: see parse, or the file does not end with plain lines.
    """
    present, first = parse(text), Choice(FIRST_RELEASE, FIRST_RELEASE, 0)
    for service in set(present) - set(services):
        text = re.sub(rf"(?m)^ *{service}-(stable|canary|percent|shadow|shadow-percent):.*\n", "", text)
    for service in services:
        if service not in present:
            text += (
                f'  {service}-stable: {first.stable}\n  {service}-canary: {first.canary}\n  {service}-percent: "0"\n'
            )
        if not re.search(rf"(?m)^ *{service}-shadow:", text):
            shadow = f'  {service}-shadow: {first.shadow}\n  {service}-shadow-percent: "0"\n'
            text = re.sub(rf"(?m)^( *{service}-percent:.*\n)", lambda line: line[1] + shadow, text)  # noqa: B023
    if parse(text) != {service: present.get(service, first) for service in services}:
        raise ReleaseFileError(
            "releases.yaml does not end with plain lines of `data`: write SERVICE-stable: NAME and so on"
        )
    return text


def read(manifests: Path = MANIFESTS) -> Mapping[str, Choice]:
    """Read the file, by service.

    Raises:
        ReleaseFileError: see parse.
    """
    return parse(release_file(manifests).read_text())
