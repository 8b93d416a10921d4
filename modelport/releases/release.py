"""release.json: what a release holds, where it comes from, and the name that follows from its content."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from exporters.files import listing_sha256
from modelport.environment import ROOT
from modelport.releases.errors import NoReleaseError, ReleaseInvalidError

RELEASES = ROOT / "build" / "releases"
RELEASE_FILE = "release.json"
SIGNATURE_FILE = "release.sig"
FORMAT = 1
DIGITS = 12
NAME = re.compile(rf"\d{{4}}-\d\d-\d\d-(?P<digest>[0-9a-f]{{{DIGITS}}})")
# Of files inside: nothing that leaves the folder, nothing hidden, nothing that an address would have to escape.
PATH = re.compile(r"\w[\w.-]*(/\w[\w.-]*)+", re.ASCII)


@dataclass(frozen=True)
class FileRecord:
    """A file of a release; size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class ModelRecord:
    """One model of a release.

    Attributes:
        weights: where the numbers come from, as config.pbtxt states it: weights (trained or untrained),
            weights_source, weights_licence, weights_sha256, accuracy, warning.
        golden: by output: shape and leading values of the answer that the gate saw, and how near it must be met.
    """

    version: int
    platform: str
    weights: Mapping[str, str]
    golden: Mapping[str, Mapping[str, Any]]

    @property
    def trained(self) -> bool:
        """Whether the model says that its weights are trained; one that says nothing is not believed to be."""
        return self.weights.get("weights") == "trained"


@dataclass(frozen=True)
class Release:
    """What release.json says.

    Attributes:
        name: YYYY-MM-DD-xxxxxxxxxxxx, the date of the first build and the digest's first digits.
        created: date and time of that build, ISO 8601, UTC.
        models: by name.
        files: by path below the release's folder, without release.json and its signature.
        untrained: models that went out although they answer at random, because somebody forced it.
        packages: versions of what the artefacts were made and checked with.
        commit: of git, None outside of a checkout; dirty: with changes that are in no commit.
    """

    service: str
    name: str
    created: str
    models: Mapping[str, ModelRecord]
    files: Mapping[str, FileRecord]
    untrained: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool = False

    @property
    def digest(self) -> str:
        """Of the content: paths and bytes of all files, and nothing else."""
        return content_digest(self.files)

    @property
    def size(self) -> int:
        """Of all files, bytes."""
        return sum(file.size for file in self.files.values())

    def to_json(self) -> bytes:
        """The content of release.json."""
        stated = {"format": FORMAT, "digest": self.digest, **asdict(self)}
        return (json.dumps(stated, indent=1) + "\n").encode()


def content_digest(files: Mapping[str, FileRecord]) -> str:
    """The sha256 of sorted paths and their contents' sha256, as exporters.files.content_sha256 takes it of a folder."""
    return listing_sha256((path, files[path].sha256) for path in sorted(files))


def parse(content: bytes) -> Release:
    """Read release.json.

    Raises:
        ReleaseInvalidError: it is none, or its digest or name is not that of the files it lists.
    """
    try:
        stated = json.loads(content)
        if stated.pop("format") != FORMAT:
            raise ReleaseInvalidError(f"{RELEASE_FILE} has another format than {FORMAT}: use a newer checkout")
        digest = stated.pop("digest")
        models = {name: ModelRecord(**model) for name, model in stated.pop("models").items()}
        files = {path: FileRecord(**file) for path, file in stated.pop("files").items()}
        release = Release(**{**stated, "models": models, "files": files, "untrained": tuple(stated["untrained"])})
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ReleaseInvalidError(f"{RELEASE_FILE} is damaged ({exc!r}): build or fetch the release again") from exc
    unsafe = [path for path in files if not PATH.fullmatch(path)]
    if unsafe:
        raise ReleaseInvalidError(
            f"{RELEASE_FILE} lists {unsafe[0]!r}, which is no path of a model's file: do not use it"
        )
    found = NAME.fullmatch(release.name)
    if digest != release.digest or not found or not digest.startswith(found["digest"]):
        raise ReleaseInvalidError(
            f"{RELEASE_FILE} was changed: {release.name} is not the name of the files that it lists; build it again"
        )
    return release


def read(folder: Path) -> Release:
    """Read the release.json of a folder.

    Raises:
        NoReleaseError: there is none.
        ReleaseInvalidError: see parse.
    """
    try:
        return parse((folder / RELEASE_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NoReleaseError(f"{folder} is no release, it has no {RELEASE_FILE}: name a folder that holds one") from exc


def built(service: str, root: Path = RELEASES) -> list[Release]:
    """The releases of a service that were built on this machine, newest first."""
    folders = [
        path for path in (root / service).glob("*") if NAME.fullmatch(path.name) and (path / RELEASE_FILE).is_file()
    ]
    return sorted((read(folder) for folder in folders), key=lambda release: release.created, reverse=True)


def find(service: str, name: str | None = None, root: Path = RELEASES) -> Path:
    """The folder of a release on this machine: the one whose name has this part and no other has, or the newest.

    Raises:
        NoReleaseError: there is none, or several have it.
    """
    names = [release.name for release in built(service, root)]
    if name is None and names:
        return root / service / names[0]
    found = [one for one in names if name is not None and name in one]
    if len(found) == 1:
        return root / service / found[0]
    raise NoReleaseError(
        f"there is no release {name or ''} of {service} in {root}".replace("  ", " ")
        + f": choose of {', '.join(names) or 'none'}, or build one with `make release SERVICE={service}`"
    )
