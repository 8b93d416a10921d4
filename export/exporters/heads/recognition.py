"""Which head the outputs of a detector are."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onnx import ModelProto

from exporters.adding.plan import Head
from exporters.errors import UnclearModelError, UnknownFormatError
from exporters.heads.evidence import Evidence, observe
from exporters.heads.family import Match
from exporters.heads.refused import refusal
from exporters.heads.table import HEADS

_SURE, _FAR = 0.8, 0.6  # a head is sure from the first, where no other has more than this share of its confidence


def recognise(
    model: ModelProto,
    metadata: Mapping[str, Any],
    *,
    input_hw: tuple[int, int] | None = None,
    labels: int = 0,
    head: str = "",
) -> list[Head]:
    """Say which heads the outputs of a detector may be.

    Args:
        model: of any batch size; it is run once on noise where all its inputs are understood.
        metadata: what the file says of itself, as Ultralytics writes it: names, stride, task, imgsz.
        input_hw: height and width of the input where the model leaves them open and the metadata do not state imgsz.
        labels: how many labels the user states; 0: none.
        head: what the user states: a name of HEADS or an alias, and options behind it: "yolox,decoded=true"; lists as
            "yolov3,anchors=10/14/23/27/37/58/81/82/135/169/344/319". Empty: nothing.

    Returns:
        The heads, likeliest first; the fact "head" of the first says whether it is sure. Empty: none is recognised.

    Raises:
        UnknownFormatError: the model segments, finds poses or oriented boxes, or classifies.
        UnclearModelError: the outputs do not fit the head that the user states, or there is no such head.
    """
    evidence = observe(model, metadata, input_hw, labels)
    if told := refusal(evidence):
        raise UnknownFormatError(told)
    if head:
        return [_stated(evidence, head)]
    matches = sorted(_matches(evidence), key=lambda match: -match.confidence)
    if not matches:
        return []
    best, others = matches[0], matches[1:]
    sure = best.confidence >= _SURE and all(other.confidence < _FAR * best.confidence for other in others)
    return [_judged(best.head, sure), *(_judged(other.head, sure=False) for other in others)]


def _matches(evidence: Evidence) -> list[Match]:
    """What each family finds; what contradicts the number of labels is less likely."""
    found = []
    for family in HEADS.values():
        for match in family.find(evidence):
            fits = not (match.head.classes and evidence.labels) or match.head.classes == evidence.labels
            found.append(match if fits else Match(match.confidence * 0.3, match.head))
    return found


def _judged(head: Head, sure: bool) -> Head:
    """The head, whose first fact says whether it is sure."""
    first, *others = head.facts
    return replace(head, facts=(replace(first, sure=sure, flag="" if sure else f"--head {head.name}"), *others))


def _stated(evidence: Evidence, text: str) -> Head:
    """The head that the user states, with the options that stand behind its name."""
    name, *settings = text.split(",")
    aliases = {alias: (key, options) for key, family in HEADS.items() for alias, options in family.aliases.items()}
    key, known = aliases.get(name, (name, {}))
    if key not in HEADS:
        raise UnclearModelError(f"there is no head {name}: --head takes one of {', '.join(sorted([*HEADS, *aliases]))}")
    family = HEADS[key]
    matches = sorted(family.find(evidence), key=lambda match: -match.confidence)
    if evidence.labels:
        matches.sort(key=lambda match: match.head.classes not in (0, evidence.labels))
    if not matches:
        outputs = ", ".join(f"{tensor.name} {tensor.sizes}" for tensor in evidence.outputs)
        size = "" if evidence.input_hw else "; or state the input's size, which the file leaves open"
        raise UnclearModelError(
            f"--head {name}: {family.title} has outputs {family.outputs}, and this model has {outputs}: "
            f"state another head, or none{size}"
        )
    head = matches[0].head
    options = {**head.options, **known}
    for setting in settings:
        option, _, value = setting.partition("=")
        if option not in options:
            raise UnclearModelError(f"--head {text}: {key} has the options {', '.join(options)}, not {option!r}")
        options[option] = _parsed(value, options[option], setting)
    first, *others = head.facts
    return replace(
        head,
        options=options,
        classes=options.get("classes", 0) if isinstance(options.get("classes", 0), int) else 0,
        facts=(replace(first, source=f"--head; {first.source}", flag=""), *others),
    )


def _parsed(value: str, example: Any, setting: str) -> Any:
    """The value of an option, of the type that the option has."""
    try:
        if isinstance(example, bool):
            return {"true": True, "false": False}[value.lower()]
        if isinstance(example, (int, float)):
            return type(example)(value)
        if isinstance(example, list):
            texts = value.split("/")
            return texts if example and isinstance(example[0], str) else [float(text) for text in texts]
    except (KeyError, ValueError):
        raise UnclearModelError(
            f"--head: {setting} is no {type(example).__name__}: write true, a number, or 10/14/23"
        ) from None
    return value
