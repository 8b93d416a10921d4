"""services.yaml, edited: a service or a model of a chain more or less; all other lines stay, comments too."""

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from exporters.errors import UnclearModelError
from exporters.files import replace_file
from kserve_transformers.service_spec import ServiceSpec
from modelport.adding.checkout import Checkout
from modelport.manifests import generation
from modelport.services import DeclarationError, load, name_problem


def with_service(text: str, spec: ServiceSpec) -> str:
    """The declaration with one service more, behind the others."""
    services = _services(text)
    (first, _), (_, last) = services.value[0], services.value[-1]
    indent = " " * first.start_mark.column
    lines = text.splitlines(keepends=True)
    end = _last_line(last) + 1
    entry = f"{indent}{spec.name}:\n{indent}  task: {spec.task}\n{indent}  models: {_flow(spec.models)}\n"
    before = "".join(lines[:end])
    return before + ("" if before.endswith("\n") else "\n") + entry + "".join(lines[end:])


def with_chain(text: str, service: str, models: Sequence[str]) -> str:
    """The declaration with other models in a service's chain."""
    chain = next(value for key, value in _entry(text, service).value if key.value == "models")
    if chain.flow_style:
        return text[: chain.start_mark.index] + _flow(models) + text[chain.end_mark.index :]
    lines = text.splitlines(keepends=True)
    present = {item.value: lines[item.start_mark.line] for item in chain.value}
    start, end = chain.start_mark.line, _last_line(chain) + 1
    items = [present.get(model, f"{' ' * chain.start_mark.column}- {model}\n") for model in models]
    return "".join([*lines[:start], *items, *lines[end:]])


def without_service(text: str, service: str) -> str:
    """The declaration without a service."""
    key, value = next(pair for pair in _services(text).value if pair[0].value == service)
    lines = text.splitlines(keepends=True)
    return "".join(lines[: key.start_mark.line] + lines[_last_line(value) + 1 :])


def joined(path: Path, name: str, task: str, service: str | None, last: bool) -> tuple[str, ServiceSpec, bool]:
    """A declaration with one model more.

    Args:
        path: of services.yaml.
        name: of the model.
        task: of the model.
        service: that it shall serve; None: one of its own name.
        last: whether it shall be the last of an existing chain, not the first.

    Returns:
        The text, the service with the model in its chain, and whether it is a new one.

    Raises:
        UnclearModelError: the service cannot have it.
    """
    declared = load(path)
    wanted = service or name.lower().replace("_", "-").strip("-")
    present = declared.get(wanted)
    if present is not None and service is None:
        raise UnclearModelError(
            f"there is a service {wanted!r} already: name another one, or this one to join it", "--service"
        )
    if present is not None:
        if present.task != task:
            raise UnclearModelError(
                f"{wanted} is a service of {present.task}, not of {task}: name another one", "--service"
            )
        chain = (*present.models, name) if last else (name, *present.models)
        spec = replace(present, models=chain)
        return _checked(path, with_chain(path.read_text(), wanted, chain), {**declared, wanted: spec}), spec, False
    if last:
        raise UnclearModelError("--fallback joins the chain of a service that there is", "--service")
    if problem := name_problem(wanted):
        raise UnclearModelError(problem, "--service")
    spec = ServiceSpec(wanted, task, (name,))
    return _checked(path, with_service(path.read_text(), spec), {**declared, wanted: spec}), spec, True


def removed(path: Path, name: str, service: str) -> str:
    """A declaration without a model in the chain of the service that it was added to.

    Raises:
        DeclarationError: another chain needs it, or it is all that a service with other properties has.
    """
    declared = dict(load(path))
    others = [spec.name for spec in declared.values() if name in spec.models and spec.name != service]
    if others:
        raise DeclarationError(
            f"{', '.join(others)} needs {name}: take it out of `models` in {path.name}, run `make manifests`, "
            "and try again"
        )
    text = path.read_text()
    spec = declared.get(service)
    if spec is None or name not in spec.models:
        return text
    chain = tuple(model for model in spec.models if model != name)
    if chain:
        declared[service] = replace(spec, models=chain)
        return _checked(path, with_chain(text, service, chain), declared)
    del declared[service]
    return _checked(path, without_service(text, service), declared)


def write(checkout: Checkout, text: str) -> None:
    """Write services.yaml and what is generated from it; where that fails, all is as it was.

    Raises:
        DeclarationError: it is malformed.
    """
    former = checkout.declaration.read_text()
    replace_file(checkout.declaration, text.encode())
    try:
        generation.write(checkout.declaration, checkout.manifests)
    except BaseException:
        replace_file(checkout.declaration, former.encode())
        generation.write(checkout.declaration, checkout.manifests)
        raise


def _checked(path: Path, text: str, expected: Mapping[str, ServiceSpec]) -> str:
    """A text that was edited, if it declares what it shall.

    Raises:
        DeclarationError: it does not: the file has a form that is not edited.
    """
    with tempfile.TemporaryDirectory() as folder:
        proposed = Path(folder, path.name)
        proposed.write_text(text, encoding="utf-8")
        with contextlib.suppress(DeclarationError):
            if dict(load(proposed)) == dict(expected):
                return text
    raise DeclarationError(
        f"{path.name} has a form that is not edited: write each service as a block, and its models as a list"
    )


def _services(text: str) -> yaml.MappingNode:
    root: Any = yaml.compose(text)
    found: yaml.MappingNode = next(value for key, value in root.value if key.value == "services")
    return found


def _entry(text: str, service: str) -> yaml.MappingNode:
    entry: yaml.MappingNode = next(value for key, value in _services(text).value if key.value == service)
    return entry


def _last_line(node: yaml.Node) -> int:
    """The last line of a node's content: the mark at the end of a block is behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    return node.end_mark.line


def _flow(models: Sequence[str]) -> str:
    return f"[{', '.join(models)}]"
