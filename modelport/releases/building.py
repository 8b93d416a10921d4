"""Builds a release: copied, checked, named by its content, and in its place whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from exporters.files import UNFINISHED, flush, sweep, writing
from modelport.releases.assembly import copy_models, describe, models_of
from modelport.releases.gate import CHECKS
from modelport.releases.gate.golden import check_golden_answers
from modelport.releases.gate.weights import check_trained
from modelport.releases.release import RELEASE_FILE, SIGNATURE_FILE, Release, built, read
from modelport.releases.signing import sign
from modelport.releases.sources import Folder
from modelport.releases.verification import verify

STALE_S = 3600.0


@dataclass(frozen=True)
class Built:
    """A release in its folder; new: it was not there before."""

    folder: Path
    release: Release
    new: bool


def build(
    service: str,
    repository: Path,
    root: Path,
    force: bool = False,
    sign_key: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Built:
    """Build the release of a service out of a model repository.

    Args:
        service: its chain says which models belong to it.
        repository: where they were exported to.
        root: the folder of releases; this one comes to root/SERVICE/NAME.
        force: let untrained weights go out.
        sign_key: signs it.
        report: takes a line for each check that was passed.

    Returns:
        The release; one with the same content that is there already is kept, under the name that it has.

    Raises:
        NoReleaseError: no such service, or a model was not exported.
        GateError: a check failed; nothing was built.
    """
    models = models_of(service)
    place = root / service
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        sweep(place, older_than_s=STALE_S)
        staging = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=place))
        try:
            copy_models(repository, models, staging)
            for what, check in CHECKS.items():
                if check is check_trained and force:
                    report(f"skipped: {what} (forced)")
                else:
                    check(staging)
                    report(f"passed: {what}")
            release = describe(service, staging)
            for known in built(service, root):
                if known.digest == release.digest:
                    return _kept(place / known.name, sign_key)
            (staging / RELEASE_FILE).write_bytes(release.to_json())
            triton = check_golden_answers(staging, models)
            report(f"passed: golden answers of all models, by Triton {triton}")
            release = replace(release, packages={**release.packages, "tritonserver": triton})
            (staging / RELEASE_FILE).write_bytes(release.to_json())
            for path in staging.rglob("*"):
                path.chmod(0o755 if path.is_dir() else 0o444)
            if sign_key:
                sign(staging, sign_key)
            flush(staging)
            staging.chmod(0o755)
            staging.rename(place / release.name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return Built(place / release.name, release, new=True)


def _kept(folder: Path, sign_key: Path | None) -> Built:
    verify(Folder(folder))
    if sign_key and not (folder / SIGNATURE_FILE).exists():
        sign(folder, sign_key)
    return Built(folder, read(folder), new=False)
