"""The declared services: services.yaml, read and checked."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import check_spec
from modelport.environment import ROOT, SetupError

FILE = ROOT / "services.yaml"
SERVICE = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")  # KServe puts -canary-predictor-00001 behind it: 63 at most
RESERVED = frozenset({"v1", "v2", "docs", "metrics", "page", "health", "healthz", "openapi"})  # routes of the server
NAMES = "lower-case letters, digits and hyphens, a letter first, no hyphen last, 40 at most, none of " + ", ".join(
    sorted(RESERVED)
)
_FIELDS = ("task", "models", "presentation", "resources", "fallback")
_FORM = "NAME: {task: TASK, models: [MODEL, ...]}"


class DeclarationError(SetupError):
    """services.yaml is malformed, or does not declare a service that is named; the message says what to write."""


def load(path: Path = FILE) -> Mapping[str, ServiceSpec]:
    """Read a declaration of services, in the order in which they stand there.

    Raises:
        DeclarationError: the file is missing, no YAML, or an entry is malformed.
    """
    services = {}
    for name, entry in entries(path).items():
        try:
            services[name] = _service(name, entry)
        except ValueError as exc:
            raise DeclarationError(f"{path.name}: {exc}") from exc
    return services


def entries(path: Path = FILE) -> Mapping[str, Any]:
    """What stands in a declaration of services, by the names of the services.

    Raises:
        DeclarationError: the file is missing, no YAML, or declares nothing.
    """
    try:
        declared = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506 (a safe loader)
    except (OSError, UnicodeDecodeError) as exc:
        raise DeclarationError(f"{path.name} cannot be read: {exc}") from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise DeclarationError(f"{path.name}{place}: {getattr(exc, 'problem', None) or exc}") from exc
    services = declared.get("services") if isinstance(declared, dict) else None
    if not isinstance(services, dict) or not services:
        raise DeclarationError(f"{path.name}: write `services:`, and below it {_FORM}")
    return services


def choose(
    *names: str, chains: Mapping[str, tuple[str, ...]] | None = None, path: Path = FILE
) -> tuple[ServiceSpec, ...]:
    """Some of the declared services.

    Args:
        names: which; all of them where none is named.
        chains: models of some services, instead of those that are declared.
        path: of the declaration.

    Raises:
        DeclarationError: a name is not declared.
    """
    declared = load(path)
    unknown = [name for name in (*names, *(chains or {})) if name not in declared]
    if unknown:
        raise DeclarationError(f"no service {unknown[0]!r}: choose one of {', '.join(declared)}")
    chosen = [declared[name] for name in dict.fromkeys(names)] or declared.values()
    return tuple(replace(spec, models=(chains or {}).get(spec.name, spec.models)) for spec in chosen)


def models_of(services: Iterable[ServiceSpec]) -> tuple[str, ...]:
    """The models of all chains, each once."""
    return tuple(dict.fromkeys(model for spec in services for model in spec.models))


def name_problem(name: object) -> str:
    """Why a service cannot have a name; empty where it can."""
    fits = isinstance(name, str) and SERVICE.fullmatch(name) and name not in RESERVED
    return "" if fits else f"{name!r} is no name for a service ({NAMES})"


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that comes twice: the first entry would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            text = str(key.value)
            if text in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{text!r} is declared twice", key.start_mark)
            seen.add(text)
        return super().construct_mapping(node, deep)


def _service(name: Any, entry: Any) -> ServiceSpec:
    if problem := name_problem(name):
        raise ValueError(problem)
    if not isinstance(entry, dict):
        raise ValueError(f"service {name}: write {_FORM}")
    unknown = sorted(map(str, set(entry) - set(_FIELDS)))
    if unknown:
        raise ValueError(f"service {name}: unknown field {unknown[0]!r}: there are {', '.join(_FIELDS)}")
    models, task, presentation = entry.get("models"), entry.get("task"), entry.get("presentation") or ""
    texts = models if isinstance(models, list) else []
    if not texts or not all(isinstance(one, str) for one in (*texts, task, presentation)):
        raise ValueError(f"service {name}: write {_FORM}")
    if len(set(texts)) < len(texts):
        raise ValueError(f"service {name}: a model stands twice in its chain")
    spec = ServiceSpec(name, str(task), tuple(texts), presentation or None)
    check_spec(spec)
    return ServiceSpec.parse(spec.argument())  # checks the models' names
