"""Runs in a pod that has a volume: unpacks a tar from stdin into ROOT/SERVICE/NAME, all or nothing.

Standard library only: its text is passed to the pod's Python. Usage: ROOT SERVICE NAME SUMS MODE. SUMS is a JSON object
of sha256 by path. MODE is `new`, which refuses to change what is there, or `replace`. Prints `new` or `found`.
"""

import hashlib
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path


def sums_of(folder: Path) -> dict[str, str]:
    """The sha256 of every file below a folder, by path."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def receive(target: Path, sums: dict[str, str], mode: str) -> str:
    """Unpack stdin into a folder; returns what to print."""
    there, part = sums_of(target), target.with_name(f".{target.name}.part")
    if there == sums:
        return "found"
    if there and mode == "new":
        sys.exit(f"{target} is on the volume with another content, which is never overwritten: remove it there")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        for member in archive:
            if member.isfile() and member.name in sums:  # nothing else is wanted
                archive.extract(member, part, set_attrs=False)
    os.sync()
    if sums_of(part) != sums:
        sys.exit(f"{target} arrived with another content: run it again")
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    return "new"


if __name__ == "__main__":
    root, service, name, sums, mode = sys.argv[1:]
    try:
        sys.stdout.write(receive(Path(root, service, name), json.loads(sums), mode))
    except (OSError, tarfile.TarError) as error:
        sys.exit(
            f"the volume cannot be written: {error}. If pods of the service started before its first release was "
            "there, delete the claim, and publish before `make deploy`"
        )
    finally:
        while sys.stdin.buffer.read(1 << 20):  # kubectl does not end before everything has been read
            pass
