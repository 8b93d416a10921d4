"""The folder of models that a running stack's Triton and transformers see: an update adds and removes releases there.

It is made of links into the model repository, which is never touched, and of releases' models, each under a name of its
own: MODEL.RELEASE, which config.pbtxt then says, too.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kserve_transformers.assignment import ASSIGNMENTS_FILE, CHAINS_FILE, REPLACEMENTS_FILE, renamed, triton_name
from kserve_transformers.predictor.release import RELEASE_FILE, SIGNATURE_FILE
from modelport.stack.errors import UpdateError

_ABOUT = (RELEASE_FILE, SIGNATURE_FILE)  # a transformer compares the models with them


class LiveModels:
    """The folder.

    Args:
        folder: where it is to be; it belongs to one stack.
        repository: what it begins with.
    """

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        self._repository = repository
        self._assigned: dict[str, str] = {}
        self._chains: dict[str, list[str]] = {}
        self._replaced: Counter[str] = Counter()

    def create(self) -> None:
        """Make it anew."""
        self.remove()
        self.folder.mkdir(parents=True)
        for entry in self._repository.resolve().iterdir():
            (self.folder / entry.name).symlink_to(entry)

    def remove(self) -> None:
        """Remove it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def release_of(self, model: str) -> str | None:
        """The release that shall answer for a model; None: the repository's own."""
        return self._assigned.get(model)

    def assign(self, models: list[str], release: str | None) -> None:
        """Say which release shall answer for models; transformers follow within a second."""
        others = {model: other for model, other in self._assigned.items() if model not in models}
        self._assigned = {**others, **(dict.fromkeys(models, release) if release else {})}
        self._say(ASSIGNMENTS_FILE, self._assigned)

    def chain(self, service: str, models: Sequence[str]) -> None:
        """Say which models shall answer for a service; transformers follow once new ones have proven themselves."""
        self._chains[service] = list(models)
        self._say(CHAINS_FILE, self._chains)

    def replaced(self, name: str) -> None:
        """Say that the processes of a model, called so in Triton, are replaced; transformers probe it soon."""
        self._replaced[name] += 1
        self._say(REPLACEMENTS_FILE, self._replaced)

    def _say(self, file: str, content: Mapping[str, Any]) -> None:
        temporary = self.folder / f".{file}"
        temporary.write_text(json.dumps(content))
        temporary.replace(self.folder / file)

    def add(self, model: str, release: str, source: Path) -> None:
        """Bring a release's model in: its files are linked where the file system allows it, and copied elsewhere.

        Raises:
            UpdateError: the model is not there, or its config has no name.
        """
        target = self.folder / triton_name(model, release)
        shutil.rmtree(target, ignore_errors=True)
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(file, place)
        for config in [*target.glob("config.pbtxt"), *target.glob("configs/*.pbtxt")]:
            content, changed = renamed(config.read_bytes(), target.name)
            if not changed:
                raise UpdateError(f"{source.name}/{config.name} has no name: build the release again")
            config.unlink()  # it may be a link to the release's own
            config.write_bytes(content)
        if not (target / "config.pbtxt").exists():
            raise UpdateError(f"{source} is no model: build the release again")
        for name in _ABOUT:
            if (source.parent / name).exists():
                (self.folder / triton_name(name, release)).unlink(missing_ok=True)
                _link_or_copy(source.parent / name, self.folder / triton_name(name, release))

    def discard(self, model: str, release: str | None) -> None:
        """Remove a release's model; the repository's own stays."""
        if release:
            shutil.rmtree(self.folder / triton_name(model, release), ignore_errors=True)
            for name in _ABOUT if not list(self.folder.glob(f"*.{release}/")) else ():
                (self.folder / triton_name(name, release)).unlink(missing_ok=True)


def _link_or_copy(file: Path, place: Path) -> None:
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)
