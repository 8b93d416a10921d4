"""Imports run one way: no cycle among the transformers' modules, nor among their packages."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "transformers"
FILES = sorted((SOURCE / "kserve_transformers").rglob("*.py"))
MODULES = {".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): file for file in FILES}


def imported(file: Path) -> set[str]:
    """The modules of ours that a file imports, wherever the import stands in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("kserve_transformers"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys() or {node.module}
    return found


def package(module: str) -> str:
    """`kserve_transformers.tasks` of `kserve_transformers.tasks.digits`."""
    return ".".join(module.split(".")[:2])


def test_modules_have_no_cycle():
    TopologicalSorter({module: imported(file) for module, file in MODULES.items()}).prepare()


def test_packages_have_no_cycle():
    edges: dict[str, set[str]] = {}
    for module, file in MODULES.items():
        edges.setdefault(package(module), set()).update(map(package, imported(file)))
    TopologicalSorter({name: found - {name} for name, found in edges.items()}).prepare()
