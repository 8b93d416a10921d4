"""The class names of labelled data, matched to the labels that a service answers."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path

from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import TASKS
from modelport.releases.errors import EvaluationError

# The answers of the task anomaly, and what data may call them.
_ANOMALY = {"anomaly": ("1", "true", "yes", "anomalous"), "not anomaly": ("0", "false", "no", "normal")}
_SHOWN = 10


def known_labels(service: ServiceSpec, repository: Path) -> dict[str, str]:
    """The labels that the models of a service can answer, by each name that means one.

    Raises:
        EvaluationError: a model has no labels.
    """
    if TASKS[service.task].kind is InstanceKind.WINDOW:
        return {name: label for label, names in _ANOMALY.items() for name in (label, *names)}
    known: dict[str, str] = {}
    for model in service.models:
        file = repository / model / "labels.txt"
        try:
            known |= {label: label for label in file.read_text(encoding="utf-8").splitlines()}
        except (OSError, ValueError) as exc:
            raise EvaluationError(f"{file} cannot be read ({exc}), so no class of the data means a label") from exc
    return known


def match(
    counts: Mapping[str, int], known: Mapping[str, str], renamed: Mapping[str, str], count_unknown: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Find the label that each class of the data means: the same name, or else the same letters and digits.

    Args:
        counts: of the data's classes, how often each occurs.
        known: the labels, by each name that means one.
        renamed: labels of some classes, which the user named.
        count_unknown: keep classes without a label, which then count as answered wrongly.

    Returns:
        The label of each class, and the classes without one, which keep their own names.

    Raises:
        EvaluationError: classes have no label, a class fits several, or `renamed` names what does not exist.
    """
    for name, label in renamed.items():
        if name not in counts:
            raise EvaluationError(f"--rename {name}={label}: the data has no class {name!r}: it has {_some(counts)}")
        if label not in known:
            near = _nearest(label, known)
            raise EvaluationError(f"--rename {name}={label}: no model answers {label!r}{near}")
    alike: dict[str, set[str]] = {}
    for name, label in known.items():
        alike.setdefault(_plain(name), set()).add(label)
    labels, unknown = {}, []
    for name in counts:
        fitting = {renamed[name]} if name in renamed else {known[name]} if name in known else alike.get(_plain(name))
        if not fitting:
            unknown.append(name)
        elif len(fitting) > 1:
            raise EvaluationError(
                f"the class {name!r} can mean {_some(sorted(fitting))}: say which by --rename '{name}=LABEL'"
            )
        labels[name] = next(iter(fitting or {name}))
    if unknown and not count_unknown:
        told = ", ".join(f"{name!r} ({counts[name]}{_nearest(name, known)})" for name in unknown[:_SHOWN])
        raise EvaluationError(
            f"{len(unknown)} of {len(counts)} classes of the data are no labels of the service: "
            f"{told}{', ...' * (len(unknown) > _SHOWN)}. Name the label that a class means by --rename 'CLASS=LABEL', "
            "or count them as answered wrongly by --count-unknown"
        )
    return labels, tuple(f"{name} ({counts[name]})" for name in unknown)


def _plain(name: str) -> str:
    """Letters and digits without case; a name that has none stays as it is."""
    return "".join(char for char in name.casefold() if char.isalnum()) or name


def _nearest(name: str, known: Collection[str]) -> str:
    by_plain = {_plain(one): one for one in known}
    found = get_close_matches(_plain(name), by_plain, n=1)
    return f"; the nearest label is {by_plain[found[0]]!r}" if found else ""


def _some(names: Collection[str]) -> str:
    return ", ".join(map(repr, [*names][:_SHOWN])) + ", ..." * (len(names) > _SHOWN)
