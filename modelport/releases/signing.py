"""Signatures by OpenSSF model-signing with a key, over every file of a release, release.json included.

The signature is the file release.sig in the release's folder, the only file that it does not cover. Keyless signatures
need Sigstore's servers: use the package's own command for them, `model_signing sign sigstore`.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from kserve_transformers.predictor.signature import PublicKeys, check_signature
from modelport.releases.errors import ReleaseInvalidError
from modelport.releases.release import RELEASE_FILE, SIGNATURE_FILE, parse
from modelport.releases.sources import Folder

PASSWORD = "SIGN_KEY_PASSWORD"  # noqa: S105 (the variable's name)


def sign(folder: Path, key: Path) -> None:
    """Sign a release; a signature that exists is kept.

    Args:
        folder: the release's folder.
        key: a private elliptic-curve key, PEM; the variable SIGN_KEY_PASSWORD holds the password of an encrypted one.

    Raises:
        ReleaseInvalidError: the key cannot be used.
    """
    from model_signing import signing

    if (folder / SIGNATURE_FILE).exists():
        return
    with tempfile.TemporaryDirectory(prefix="modelport-signature-") as scratch:
        signature = Path(scratch) / SIGNATURE_FILE
        try:
            config = signing.Config()  # type: ignore[no-untyped-call]
            config.use_elliptic_key_signer(private_key=key, password=os.environ.get(PASSWORD) or None)
            config.set_hashing_config(_hashing()).sign(folder, signature)
        except (ValueError, TypeError, OSError) as exc:
            raise ReleaseInvalidError(f"cannot sign with {key} ({exc}): name an EC private key in PEM format") from exc
        signature.chmod(0o444)
        shutil.move(signature, folder / SIGNATURE_FILE)


def verify_signature(folder: Path, key: Path) -> None:
    """Check that a release's signature was made with this key, over release.json and the files that it lists.

    Args:
        folder: the release's folder.
        key: the public key, PEM.

    Raises:
        ReleaseInvalidError: there is no signature, or it is not valid for this key and these files.
    """
    signature = folder / SIGNATURE_FILE
    if not signature.is_file():
        raise ReleaseInvalidError(f"{folder} has no {SIGNATURE_FILE}: build it with --sign-key, or omit --verify-key")
    manifest = b"".join(Folder(folder).chunks(RELEASE_FILE))
    files = {path: record.sha256 for path, record in parse(manifest).contents.items()}
    try:
        check_signature(PublicKeys([key]), signature, manifest, files)
    except ValueError as exc:
        raise ReleaseInvalidError(f"{signature} is not valid for {key.name} ({exc}): do not serve it") from exc


def _hashing() -> Any:
    from model_signing import hashing

    config = hashing.Config()  # type: ignore[no-untyped-call]
    return config.set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)
