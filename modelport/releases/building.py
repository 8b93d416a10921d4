"""Builds a release: copies the models, runs the gate, names the release by its content and makes it appear complete."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exporters.files import UNFINISHED, flush, replace_file, sweep, writing
from modelport.releases.assembly import copy_models, describe, models_of
from modelport.releases.documents import add_documents
from modelport.releases.errors import GateError
from modelport.releases.gate import CHECKS
from modelport.releases.gate.evaluation import Evaluation
from modelport.releases.gate.golden import check_golden_answers
from modelport.releases.gate.weights import check_trained
from modelport.releases.release import RELEASE_FILE, SIGNATURE_FILE, Release, built
from modelport.releases.signing import sign
from modelport.releases.sources import Folder
from modelport.releases.verification import verify

STALE_S = 3600.0  # seconds after which the folder of an interrupted build is removed


@dataclass(frozen=True)
class Built:
    """A release and its folder; new: False where it existed before."""

    folder: Path
    release: Release
    new: bool


def build(
    service: str,
    repository: Path,
    root: Path,
    force: bool = False,
    sign_key: Path | None = None,
    evaluation: Evaluation | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Built:
    """Build a release of a service from a model repository.

    Args:
        service: the service; its chain names the models.
        repository: the model repository that contains their artefacts.
        root: the folder of releases; the release becomes root/SERVICE/NAME.
        force: release untrained weights.
        sign_key: an EC private key that signs the release; see signing.sign.
        evaluation: how the release is evaluated; None: not at all.
        report: called with a line for each check of the gate.

    Returns:
        The release. If one with the same content exists, it is kept under its own name.

    Raises:
        NotFoundError: there is no such service, or a model was not exported.
        GateError: a check failed; nothing was built.
        SetupError: Triton, or the framework of an artefact, could not be installed.
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
                    report(f"skipped: {what} (--force)")
                else:
                    check(staging)
                    report(f"passed: {what}")
            release = describe(service, staging)
            for name, model in release.models.items():
                if "quantisation" in model.weights:
                    report(f"{name}: {model.weights['quantisation']}")
            for name, known in built(service, root).items():
                if known.digest == release.digest:
                    kept = verify(Folder(place / name))
                    if evaluation:
                        kept = record(place / name, kept, evaluation.record(staging, kept, report), sign_key)
                    if sign_key:
                        sign(place / name, sign_key)
                    return Built(place / name, kept, new=False)
            (staging / RELEASE_FILE).write_bytes(release.to_json())
            triton = check_golden_answers(staging, models)
            report(f"passed: golden checks of all models by Triton {triton}")
            release = replace(release, packages={**release.packages, "tritonserver": triton})
            if evaluation:
                release = replace(release, evaluation=evaluation.record(staging, release, report))
                report("passed: evaluation on labelled data")
            release = add_documents(release, staging)
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


def record(folder: Path, release: Release, evaluation: Mapping[str, Any], sign_key: Path | None) -> Release:
    """Record an evaluation in the release.json of a release that exists; its name and files stay.

    Raises:
        GateError: a signature covers release.json, and there is no key to sign it again.
    """
    signature = folder / SIGNATURE_FILE
    if signature.exists() and not sign_key:
        raise GateError(f"{folder.name} is signed: name the key again by --sign-key, so that the signature covers it")
    release = replace(release, evaluation=evaluation)
    signature.unlink(missing_ok=True)
    replace_file(folder / RELEASE_FILE, release.to_json())
    (folder / RELEASE_FILE).chmod(0o444)
    return release
