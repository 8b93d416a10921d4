"""API keys: who may call. As a command, `modelport api-key NAME --file FILE` creates one.

A key file has one line for each key: its name and the SHA-256 of the key in hexadecimal. The keys themselves are random
and stand nowhere. A caller sends its key as `Authorization: Bearer KEY`, or as the password of `Basic`, for which
browsers ask. Probes and scrapes need no key. A change of the file takes effect within a second.
"""

import argparse
import base64
import binascii
import hashlib
import hmac
import logging
import re
import secrets
import sys
import time
from pathlib import Path

from kserve_transformers.metrics import KEY_REQUESTS

logger = logging.getLogger(__name__)

_LINE = re.compile(r"([A-Za-z0-9][\w.-]{0,62})\s+([0-9a-fA-F]{64})")
_LOOK_S = 1.0


class ApiKeys:
    """The keys of a file.

    Args:
        path: of the file.

    Raises:
        ValueError: the file cannot be read, has no key, or a line is malformed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digests = _read(path)
        self._state = _state(path)
        self._looked = time.monotonic()

    def name_of(self, authorization: str | None) -> str | None:
        """The name of the key in an Authorization header; None where there is none that is known.

        Every key of the file is compared, each in constant time.
        """
        self._follow()
        digest = hashlib.sha256(_key(authorization or "").encode()).digest()
        found = [name for name, known in self._digests.items() if hmac.compare_digest(known, digest)]
        KEY_REQUESTS.labels(found[0] if found else "none").inc()
        return found[0] if found else None

    def _follow(self) -> None:
        """Read the file again where it has changed; a file that cannot be read changes nothing."""
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        state = _state(self.path)
        if state != self._state:
            self._state = state
            try:
                self._digests = _read(self.path)
            except ValueError as error:
                logger.error("the keys stay as they were: %s", error)


def _key(authorization: str) -> str:
    """The key in an Authorization header; empty where there is none."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _read(path: Path) -> dict[str, bytes]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the key file {path} cannot be read ({error})") from error
    digests: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            match = _LINE.fullmatch(line.strip())
            if match is None or match[1] in (*digests, "none"):
                raise ValueError(f"{path}, line {number}: write a name that no other key has, and the key's SHA-256")
            digests[match[1]] = bytes.fromhex(match[2])
    if not digests:
        raise ValueError(f"{path} has no key: create one with `modelport api-key NAME --file {path}`")
    return digests


def main() -> int:
    """Create a key: its digest is added to the file, and the key is printed once. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="modelport api-key", description="Create an API key; it is printed once.")
    parser.add_argument("name", help="of who will use it, for metrics and logs")
    parser.add_argument("--file", type=Path, required=True, help="key file; created where it is missing")
    options = parser.parse_args()
    key = secrets.token_urlsafe(32)
    line = f"{options.name} {hashlib.sha256(key.encode()).hexdigest()}"
    try:
        known = _read(options.file) if options.file.exists() and options.file.stat().st_size else {}
        if options.name in (*known, "none") or not _LINE.fullmatch(line):
            raise ValueError(f"{options.name!r} cannot be used: choose letters, digits, . _ - that no other key has")
        options.file.touch(mode=0o600)
        with options.file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(key + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
