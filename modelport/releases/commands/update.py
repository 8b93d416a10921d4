"""`modelport update`: switch a running stack to another release."""

import argparse
import time

from modelport import services
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.commands import Subparsers, add_command, add_releases
from modelport.releases.verification import verified_repository
from modelport.stack.control import ask


def add_to(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "update", run)
    parser.add_argument("service", metavar="SERVICE", choices=tuple(services.load()))
    parser.add_argument(
        "release",
        metavar="RELEASE",
        help=f"its name, a unique part of it, or {FIRST_RELEASE}: the model repository with which the stack started",
    )
    parser.add_argument("--port", type=int, default=8080, help="the stack's REST port (default: %(default)s)")
    add_releases(parser)


def run(options: argparse.Namespace) -> int:
    """Switch a service of a running stack (`make serve`) to another release without losing a request.

    The release is verified, loaded beside the current one, passes its golden checks and is warmed
    up. Then it takes over, and the current one is unloaded after its last answer. If a step fails,
    the current release continues to serve.
    """
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.1f} s  {text}", flush=True)

    name, folder = verified_repository(options.service, options.release, options.releases)
    say(f"returning to {name}" if name == FIRST_RELEASE else f"verified {name}: every file matches release.json")
    declared = services.load()[options.service].models
    chain = [model for model in declared if (folder / model).is_dir()] if name != FIRST_RELEASE else []
    command = {"service": options.service, "release": name, "folder": str(folder.resolve()), "chain": chain}
    ask(options.port, command, say)
    say(f"{name} serves {options.service} on port {options.port}")
    return 0
