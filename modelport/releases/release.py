"""release.json: what a release contains, where it comes from, and the name that follows from its content."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from exporters.files import listing_sha256
from modelport.environment import ROOT
from modelport.releases.errors import NotFoundError, ReleaseInvalidError

RELEASES = ROOT / "build" / "releases"
RELEASE_FILE = "release.json"
SIGNATURE_FILE = "release.sig"
FORMAT = 1
DIGITS = 12
NAME = re.compile(rf"\d{{4}}-\d\d-\d\d-(?P<digest>[0-9a-f]{{{DIGITS}}})")
# Relative paths below a model's folder: none that leaves it, is hidden, or needs escaping in a URL.
PATH = re.compile(r"\w[\w.-]*(/\w[\w.-]*)+", re.ASCII)
DOCUMENT = re.compile(r"bom\.[a-z0-9]+\.json")


@dataclass(frozen=True)
class FileRecord:
    """A file of a release; size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class ModelRecord:
    """A model of a release."""

    version: int
    platform: str
    # provenance as config.pbtxt states it: weights (trained or untrained), weights_source, weights_licence,
    # weights_sha256, accuracy, warning; quantisation, where it has an int8 network
    weights: Mapping[str, str]
    # by output name: shape and leading values of the golden answer, and the absolute tolerance
    golden: Mapping[str, Mapping[str, Any]]

    @property
    def trained(self) -> bool:
        """Whether the model states that its weights are trained; a model that states nothing counts as untrained."""
        return self.weights.get("weights") == "trained"


@dataclass(frozen=True)
class Release:
    """The content of release.json."""

    service: str
    name: str  # YYYY-MM-DD-xxxxxxxxxxxx: the date of the first build and the first digits of the digest
    created: str  # date and time of that build, ISO 8601, UTC
    models: Mapping[str, ModelRecord]  # by name
    files: Mapping[str, FileRecord]  # by path relative to the release's folder, without release.json and its signature
    untrained: tuple[str, ...] = ()  # names of untrained models, which were released by --force
    # versions of the packages that made and checked the artefacts
    packages: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None  # of git; None outside of a checkout
    dirty: bool = False  # whether the checkout had uncommitted changes
    # on labelled data: what was measured, on which data, and the demands that were met; see evaluation/report.py. None
    # where there was none.
    evaluation: Mapping[str, Any] | None = None
    # bills of materials beside release.json, by name; a release built before 2026-11-26 has none
    documents: Mapping[str, FileRecord] = field(default_factory=dict)

    @property
    def contents(self) -> Mapping[str, FileRecord]:
        """The files of the models and the documents about them, by path: all but release.json and its signature."""
        return {**self.files, **self.documents}

    @property
    def digest(self) -> str:
        """The digest of the content: of paths and bytes of all files, and of nothing else."""
        return content_digest(self.files)

    @property
    def size(self) -> int:
        """The size of all files together, in bytes."""
        return sum(file.size for file in self.files.values())

    def to_json(self) -> bytes:
        """The content of release.json."""
        document = {"format": FORMAT, "digest": self.digest, **asdict(self)}
        if self.evaluation is None:
            del document["evaluation"]  # which older checkouts do not know
        return (json.dumps(document, indent=1) + "\n").encode()


def content_digest(files: Mapping[str, FileRecord]) -> str:
    """The sha256 over sorted paths and sha256s of files; equals exporters.files.content_sha256 of their folder."""
    return listing_sha256((path, files[path].sha256) for path in sorted(files))


def parse(content: bytes) -> Release:
    """Parse the content of release.json.

    Raises:
        ReleaseInvalidError: it is malformed, or its digest or name does not follow from the files that it lists.
    """
    try:
        document = json.loads(content)
        if document.pop("format") != FORMAT:
            raise ReleaseInvalidError(f"{RELEASE_FILE} has another format than {FORMAT}: use a newer checkout")
        digest = document.pop("digest")
        models = {name: ModelRecord(**model) for name, model in document.pop("models").items()}
        files = {path: FileRecord(**file) for path, file in document.pop("files").items()}
        documents = {name: FileRecord(**file) for name, file in document.pop("documents", {}).items()}
        untrained = tuple(document.pop("untrained"))
        release = Release(**document, models=models, files=files, documents=documents, untrained=untrained)
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ReleaseInvalidError(f"{RELEASE_FILE} is malformed ({exc!r}): build or fetch the release again") from exc
    unsafe = [path for path in files if not PATH.fullmatch(path)]
    unsafe += [name for name in documents if not DOCUMENT.fullmatch(name)]
    if unsafe:
        raise ReleaseInvalidError(f"{RELEASE_FILE} lists {unsafe[0]!r}, which is not a path in a model: do not use it")
    match = NAME.fullmatch(release.name)
    if digest != release.digest or not match or not digest.startswith(match["digest"]):
        raise ReleaseInvalidError(
            f"{RELEASE_FILE} was changed: the name {release.name} does not follow from the files that it lists; "
            "build the release again"
        )
    return release


def built(service: str, root: Path = RELEASES) -> dict[str, Release]:
    """The releases of a service that were built on this machine, by name, newest first.

    Raises:
        ReleaseInvalidError: see parse.
    """
    files = [path for path in (root / service).glob(f"*/{RELEASE_FILE}") if NAME.fullmatch(path.parent.name)]
    found = {path.parent.name: parse(path.read_bytes()) for path in files}
    return dict(sorted(found.items(), key=lambda item: item[1].created, reverse=True))


def match_name(service: str, part: str, names: Iterable[str], hint: str) -> str:
    """The only name that contains a part, or equals it.

    Args:
        service: for the message.
        part: of a release's name.
        names: the known names of the service's releases.
        hint: what to do where none fits; ends the message.

    Raises:
        NotFoundError: no name contains the part, or several do.
    """
    known = list(dict.fromkeys(names))
    found = [part] if part in known else [name for name in known if part and part in name]
    if len(found) == 1:
        return found[0]
    problem = f"several releases of {service} match {part!r}" if found else f"there is no release {part!r} of {service}"
    choice = f"choose one of: {', '.join(known)}; " if known else ""
    raise NotFoundError(f"{problem}: {choice}{hint}")


def find(service: str, part: str | None = None, root: Path = RELEASES) -> Path:
    """The folder of a release that was built on this machine.

    Args:
        service: the service's name.
        part: of the release's name, contained in no other name; None: the newest release.
        root: the folder of releases.

    Raises:
        NotFoundError: there is no such release, or several contain the part.
    """
    names = list(built(service, root))
    hint = f"build one with `modelport release {service}`"
    if part is None:
        if not names:
            raise NotFoundError(f"there is no release of {service} in {root}: {hint}")
        return root / service / names[0]
    return root / service / match_name(service, part, names, hint)
