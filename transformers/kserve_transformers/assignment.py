"""What a supervisor beside this server says about Triton's models, in small files at the root of the repository.

serving.json names which of them answers for a model of a chain during an update:
{"mnist": "2026-11-21-3f9c2a51b0de"} says that mnist.2026-11-21-3f9c2a51b0de answers for mnist. Without the file, or an
entry in it, that is the model of the same name.

chains.json names the models of a service whose chain an update has changed: {"classifier": ["new", "former"]}.

replaced.json counts how often the processes of a model were replaced: {"mnist": 2}.
"""

import json
import re
from pathlib import Path
from typing import Any

ASSIGNMENTS_FILE = "serving.json"
CHAINS_FILE = "chains.json"
REPLACEMENTS_FILE = "replaced.json"
FILES = (ASSIGNMENTS_FILE, CHAINS_FILE, REPLACEMENTS_FILE)
_NAME_LINE = re.compile(rb'^(name:[ \t]*")[^"]*(")', re.MULTILINE)


def assigned_release(repository: Path | None, model: str) -> str | None:
    """The release that shall answer for a model; None: the repository's own.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not well-formed.
    """
    release = _read(repository, ASSIGNMENTS_FILE).get(model)
    if not isinstance(release, str | None):
        raise ValueError(f"{ASSIGNMENTS_FILE} must be an object of model and release")
    return release


def assigned_chain(repository: Path | None, service: str) -> tuple[str, ...] | None:
    """The models that shall answer for a service; None: those with which the server was started.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not well-formed.
    """
    chain = _read(repository, CHAINS_FILE).get(service)
    if chain is None:
        return None
    if not (isinstance(chain, list) and chain and all(isinstance(model, str) for model in chain)):
        raise ValueError(f"{CHAINS_FILE} must be an object of service and list of models")
    return tuple(chain)


def replacements(repository: Path | None, name: str) -> int:
    """How often a supervisor replaced the processes of a model, called so in Triton.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not well-formed.
    """
    count = _read(repository, REPLACEMENTS_FILE).get(name, 0)
    if not isinstance(count, int):
        raise ValueError(f"{REPLACEMENTS_FILE} must be an object of model and number")
    return count


def _read(repository: Path | None, name: str) -> dict[str, Any]:
    try:
        content = json.loads((repository / name).read_bytes()) if repository else {}
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{name} must be an object")
    return content


def triton_name(model: str, release: str | None) -> str:
    """What a model of a release is called in Triton."""
    return f"{model}.{release}" if release else model


def renamed(config: bytes, name: str) -> tuple[bytes, int]:
    """A config.pbtxt with another name of its model, all else as it was, and how many names were found: 0 or 1."""
    return _NAME_LINE.subn(rb"\g<1>" + name.encode() + rb"\2", config, count=1)
