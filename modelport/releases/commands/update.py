"""Let another release take over in a running stack (`make serve`) without losing a request, or leave it as it is.

The release is verified, loaded beside the present one, asked for its golden samples and warmed up; then it takes
over, and the other one is unloaded once its last request has its answer. If anything fails, the present one has never
stopped.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.folders import checked_folder
from modelport.releases.release import RELEASES
from modelport.services import load
from modelport.stack.control import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("service", choices=tuple(load()))
    parser.add_argument("release", help=f"its name; {FIRST_RELEASE}: what the stack was started with")
    parser.add_argument("--port", type=int, default=8080, help="where the stack serves REST (default: %(default)s)")
    parser.add_argument("--releases", type=Path, default=RELEASES, metavar="DIR", help="build/releases by default")


def run(options: argparse.Namespace) -> int:
    """Do it. Returns the exit code."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.1f} s  {text}", flush=True)

    folder = checked_folder(options.service, options.release, options.releases)
    say(
        f"{options.release} is whole: every file has the sha256 of release.json"
        if folder.name == options.release
        else f"back to {options.release}"
    )
    ask(options.port, {"service": options.service, "release": options.release, "folder": str(folder.resolve())}, say)
    say(f"{options.service} on port {options.port} is served by {options.release}")
    return 0
