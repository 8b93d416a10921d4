"""Signatures of releases, made with keys by OpenSSF model-signing.

A signature is a Sigstore bundle: a DSSE envelope around an in-toto statement with the sha256 of every file. It is
checked with `cryptography` alone, which KServe needs anyway: model-signing's own check would bring Sigstore's clients
into the image, and take longer to import than all the rest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_PEM = re.compile(rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL)
_CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}


class SignatureError(ValueError):
    """A signature that does not hold; the message says why."""


class PublicKeys:
    """The keys of which one must have signed. Files are read at each verification, so that keys can be replaced.

    Args:
        paths: of PEM files, with one or several EC public keys each, on the curves P-256, P-384 or P-521.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def read(self) -> list[EllipticCurvePublicKey]:
        """The keys.

        Raises:
            ValueError: a file cannot be read, or has no such key.
        """
        if not self.paths:
            raise ValueError("name a PEM file of public keys")
        return [key for path in self.paths for key in _read_keys(path)]

    def signed_files(self, bundle: bytes) -> Mapping[str, str]:
        """The files that a signature covers.

        Args:
            bundle: the content of release.sig.

        Returns:
            The sha256 in hexadecimal digits, by path relative to the release's folder.

        Raises:
            SignatureError: it is malformed, or no key has made it.
            ValueError: the keys cannot be read any more.
        """
        try:
            document = json.loads(bundle)
            envelope = document["dsseEnvelope"]
            (signature,) = envelope["signatures"]
            payload, signed = (
                base64.b64decode(text, validate=True) for text in (envelope["payload"], signature["sig"])
            )
            if (document["mediaType"], envelope["payloadType"]) != (_BUNDLE, _PAYLOAD):
                raise SignatureError("it is no Sigstore bundle of version 0.3 with an in-toto statement")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise SignatureError(_malformed(error)) from error
        if not any(_has_signed(key, signed, payload) for key in self.read()):
            raise SignatureError(f"it was not made with a key of {', '.join(path.name for path in self.paths)}")
        try:
            return _resources(json.loads(payload))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise SignatureError(_malformed(error)) from error


def _read_keys(path: Path) -> list[EllipticCurvePublicKey]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        found = [load_pem_public_key(block) for block in _PEM.findall(path.read_bytes())]
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(
            f"the public keys in {path} cannot be read ({error}): write a PEM file of public keys"
        ) from error
    keys = [key for key in found if isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVES]
    if not keys or len(keys) < len(found):
        raise ValueError(f"{path} must have EC public keys alone, in PEM format, on P-256, P-384 or P-521")
    return keys


def _has_signed(key: EllipticCurvePublicKey, signature: bytes, payload: bytes) -> bool:
    """Whether a key made the signature of a DSSE payload (DSSE 1.0.2, pre-authentication encoding)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    encoded = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD), _PAYLOAD.encode(), len(payload), payload)
    try:
        key.verify(signature, encoded, ECDSA(getattr(hashes, _CURVES[key.curve.name])()))
    except InvalidSignature:
        return False
    return True


def _resources(statement: Mapping[str, Any]) -> Mapping[str, str]:
    """The files of a statement, each with its sha256."""
    predicate = statement["predicate"]
    if (statement["_type"], statement["predicateType"]) != (_STATEMENT, _PREDICATE):
        raise SignatureError("it is no statement of model-signing")
    if predicate["serialization"]["method"] != "files":
        raise SignatureError("it covers parts of files: sign with `modelport release --sign-key`")
    files: dict[str, str] = {}
    for resource in predicate["resources"]:
        name, digest = resource["name"], resource["digest"]
        if resource["algorithm"] != "sha256" or not isinstance(digest, str) or name in files:
            raise SignatureError(f"it must have one sha256 for {name!r}")
        files[name] = digest
    return files


def check_signature(keys: PublicKeys, bundle: Path, manifest: bytes, files: Mapping[str, str]) -> None:
    """Check that a release's signature holds and covers exactly its files.

    Args:
        keys: of which one must have signed.
        bundle: the file release.sig.
        manifest: the content of release.json.
        files: the sha256 of every other file of the release, by path, as release.json lists them.

    Raises:
        SignatureError: it is missing, or does not hold.
        OSError: it cannot be read.
    """
    if not bundle.exists():
        raise SignatureError("the release is not signed: build it with --sign-key")
    try:
        signed = dict(keys.signed_files(bundle.read_bytes()))
    except SignatureError as error:
        raise SignatureError(f"release.sig does not hold: {error}") from error
    if signed.pop("release.json", None) != hashlib.sha256(manifest).hexdigest():
        raise SignatureError("release.sig does not hold: it was made for another release.json")
    different = sorted(path for path in {*files, *signed} if files.get(path) != signed.get(path))
    if different:
        raise SignatureError(f"release.sig does not hold: it was made for another {different[0]}")


def _malformed(error: Exception) -> str:
    return str(error) if isinstance(error, SignatureError) else f"it is malformed ({error!r:.200})"
