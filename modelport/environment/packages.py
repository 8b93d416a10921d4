"""pip: what it is given, what it says, and one line for what it says at length."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

from modelport.environment.layers import BASE, Environment
from modelport.environment.project import ROOT, SetupError, say

REQUIREMENTS = ROOT / "requirements"
LOG = ROOT / "build" / "logs" / "setup.log"
HASHED = ("--require-hashes", "--only-binary=:all:")
UNRESOLVED = ("--no-deps",)
NO_NETWORK = re.compile(
    "NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Network is unreachable"
    "|Temporary failure in name resolution|Connection refused|Max retries exceeded"
)


def pip(subcommand: str, name: str | None, *options: str, environment: Environment = BASE) -> None:
    """Run a pip command, over requirements/NAME where a name is given.

    What pip says goes to build/logs/setup.log, and live to a terminal.

    Raises:
        SetupError: pip failed; the message is one line.
    """
    command = [str(environment.python), "-m", "pip", subcommand, "--no-input", "--disable-pip-version-check"]
    command += ["--retries=2", "--progress-bar=off", *options]
    command += ["-r", str(REQUIREMENTS / name)] if name else []
    what = f"requirements/{name}" if name else "this project"
    lines: list[str] = []
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n")
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            for line in process.stdout or ():
                log.write(line)
                lines.append(line.rstrip())
                if sys.stdout.isatty():
                    width = shutil.get_terminal_size().columns - 1
                    say(f"\r\x1b[K{f'setup: {what}: {lines[-1].strip()}'[:width]}", end="")
    if sys.stdout.isatty():
        say("\r\x1b[K", end="")
    if process.returncode:
        raise SetupError(pip_failure(what, lines, environment))


def pip_failure(what: str, lines: list[str], environment: Environment) -> str:
    """One line for what pip said at length."""
    where = f"(all of it: {LOG.relative_to(ROOT)})"
    if any(NO_NETWORK.search(line) for line in lines):
        return f"no network: pip cannot reach its package index; connect, or set PIP_INDEX_URL, and run again {where}"
    if any("No space left on device" in line for line in lines):
        needed = f"{environment.folder.name} needs {environment.disk}"
        return f"the disk is full: {needed}, free some space and run it again {where}"
    errors = [line for line in lines if line.startswith("ERROR: ")] or lines[-1:] or ["no message"]
    return f"pip failed on {what}: {errors[0].removeprefix('ERROR: ')} {where}"
