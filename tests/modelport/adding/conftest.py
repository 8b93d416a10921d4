"""A copy of what `modelport add` changes in a checkout, under git, so that a test can see what changed."""

import shutil
import subprocess
from collections.abc import Callable

import pytest

from modelport.adding.checkout import Checkout
from modelport.environment import ROOT


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("services.yaml", "compose.yaml", ".gitignore"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "manifests", root / "manifests")
    (root / "model_repository").mkdir()
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "all"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    return Checkout(root)


@pytest.fixture
def changed(checkout) -> Callable[[], list[str]]:
    """The files that differ from what was committed."""

    def status() -> list[str]:
        command = ["git", "-C", str(checkout.root), "status", "--porcelain", "-uall"]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        return [line[3:] for line in run.stdout.splitlines()]

    return status
