"""Imports run one way, between packages, layers and modules."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"kserve_transformers": "transformers", "exporters": "export", "modelport": "."}
# By package: the packages, or parts of them, that it may import beside itself.
MAY_IMPORT = {
    "modelport": {"kserve_transformers", "exporters"},
    "kserve_transformers": set(),
    "exporters": {"kserve_transformers.arrays", "kserve_transformers.errors"},
}
# From the bottom. A layer imports itself and those below it; what is not named here is the top layer.
LAYERS = {
    "kserve_transformers": (
        ("errors", "assignment", "deadline", "logs", "metrics", "observe", "service_spec", "tracing"),
        ("arrays",),
        ("protocol",),
        ("predictor",),
        ("tasks",),
    ),
    "modelport": (
        ("arguments", "environment", "services", "samples"),
        ("manifests",),
        ("stack", "exporting"),
        ("releases", "adding", "quantising"),
        ("measure",),
    ),
}

Graph = Mapping[str, frozenset[str]]


def imported(source: str, modules: Iterable[str]) -> frozenset[str]:
    """The modules that a source imports, at its top or inside functions; not those that only type checkers import."""
    known, found = set(modules), set()
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & known
            found |= submodules or {node.module}
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
        else:
            nodes += ast.iter_child_nodes(node)
    return frozenset(found & known)


@pytest.fixture(scope="module")
def graph():
    files = {}
    for package, folder in PACKAGES.items():
        for path in (ROOT / folder / package).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: imported(path.read_text(), files) - {name} for name, path in files.items()}


def layer(module: str) -> int:
    package, part, *_ = [*module.split("."), ""]
    layers = LAYERS[package]
    return next((index for index, names in enumerate(layers) if part in names), len(layers))


def in_cycles(graph: Graph) -> set[str]:
    """The modules that remain when those that import no other, or that no other imports, are removed repeatedly."""
    left = dict(graph)
    while True:
        wanted = frozenset().union(*left.values())
        kept = {name: names & left.keys() for name, names in left.items() if names & left.keys() and name in wanted}
        if kept == left:
            return set(left)
        left = kept


def test_packages_import_what_they_may(graph):
    for name, others in graph.items():
        package = name.split(".")[0]
        for other in others:
            allowed = MAY_IMPORT[package] | {package}
            assert any(f"{other}.".startswith(f"{one}.") for one in allowed), f"{name} imports {other}"


@pytest.mark.parametrize("package", LAYERS)
def test_layers_import_downwards(package, graph):
    own = {name: others for name, others in graph.items() if name.startswith(f"{package}.")}
    assert {layer(name) for name in own} == set(range(len(LAYERS[package]) + 1))
    for name, others in own.items():
        upwards = [other for other in others if other.startswith(package) and layer(other) > layer(name)]
        assert not upwards, f"{name} imports {upwards}"


def test_no_module_imports_itself_by_way_of_others(graph):
    assert "exporters.repository" in graph["exporters.mnist"]
    assert in_cycles(graph) == set()


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        pytest.param({"a": "b", "b": "c", "c": ""}, "", id="a chain"),
        pytest.param({"a": "b", "b": "ca", "c": "", "d": "a"}, "ab", id="two that import each other"),
        pytest.param({"a": "b", "b": "c", "c": "a"}, "abc", id="a ring"),
    ],
)
def test_cycles_are_found(edges, expected):
    assert in_cycles({name: frozenset(names) for name, names in edges.items()}) == set(expected)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("import a.b", id="module"),
        pytest.param("from a import b", id="module out of its package"),
        pytest.param("from a.b import thing", id="name out of a module"),
        pytest.param("def f():\n    from a.b import thing", id="inside a function"),
    ],
)
def test_every_form_of_import_counts(source):
    assert imported(source, ["a", "a.b"]) == {"a.b"}


def test_imports_for_type_checkers_do_not_count():
    assert imported("if TYPE_CHECKING:\n    import a\nelse:\n    import b", ["a", "b"]) == {"b"}
