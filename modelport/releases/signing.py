"""Signatures by OpenSSF model-signing, over every file of a release, release.json included; by key.

The signature lies in the release's folder as release.sig, the one file that it does not cover. Keyless signatures of
Sigstore need its servers: make and check them with the package's own command, `model_signing sign sigstore`.
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from modelport.releases.errors import ReleaseError, ReleaseInvalidError
from modelport.releases.release import SIGNATURE_FILE

PASSWORD = "SIGN_KEY_PASSWORD"  # noqa: S105 (the variable's name)


def sign(folder: Path, key: Path) -> None:
    """Sign a release; one that is signed already stays as it is.

    Args:
        folder: of the release.
        key: private, elliptic curve, PEM; the variable SIGN_KEY_PASSWORD opens an encrypted one.

    Raises:
        ReleaseInvalidError: the key cannot be used.
        ReleaseError: model-signing is not installed whole.
    """
    signing = _model_signing("signing")
    if (folder / SIGNATURE_FILE).exists():
        return
    with tempfile.TemporaryDirectory(prefix="modelport-signature-") as scratch:
        signature = Path(scratch) / SIGNATURE_FILE
        try:
            signer = signing.Config().use_elliptic_key_signer(
                private_key=key, password=os.environ.get(PASSWORD) or None
            )
            signer.set_hashing_config(_hashing()).sign(folder, signature)
        except (ValueError, TypeError, OSError) as exc:
            raise ReleaseInvalidError(f"cannot sign with {key} ({exc}): name an EC private key in PEM form") from exc
        signature.chmod(0o444)
        shutil.move(signature, folder / SIGNATURE_FILE)


def verify_signature(folder: Path, key: Path) -> None:
    """Check a release's signature: this key, these files, no others.

    Args:
        folder: of the release.
        key: public, PEM.

    Raises:
        ReleaseInvalidError: there is none, it is of another key, or the files are others.
        ReleaseError: model-signing is not installed whole.
    """
    verifying = _model_signing("verifying")
    signature = folder / SIGNATURE_FILE
    if not signature.is_file():
        raise ReleaseInvalidError(f"{folder} has no {SIGNATURE_FILE}: build it with --sign-key, or trust it unsigned")
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
        verifier.set_hashing_config(_hashing()).verify(folder, signature)
    except Exception as exc:
        reason = str(exc).partition("\n")[0]
        raise ReleaseInvalidError(f"{signature} does not hold for {key.name} ({reason}): do not serve it") from exc


def _model_signing(module: str) -> Any:
    try:
        return importlib.import_module(f"model_signing.{module}")
    except ModuleNotFoundError as exc:
        # model-signing 1.1.1 imports pyOpenSSL and does not declare it
        raise ReleaseError(f"signatures need the package that gives {exc.name}: install it into .venv") from exc


def _hashing() -> Any:
    return _model_signing("hashing").Config().set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)
