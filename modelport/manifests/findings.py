"""Findings of the linter: where, what is wrong, and what to write instead."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One fault."""

    document: str  # "Kind name"
    field: str  # path of the field, as in `spec.predictor.model.storageUri`
    problem: str  # what is wrong with it
    fix: str  # what to write instead

    def __str__(self) -> str:
        return f"{self.document}: {self.field}: {self.problem}. {self.fix}"


Findings = Iterator[Finding]


def title(document: Document) -> str:
    """Kind and name of a document, as findings show them."""
    return f"{document.get('kind', 'document')} {document.get('metadata', {}).get('name', 'without a name')}"


def at(document: Document, path: str, default: Any = None) -> Any:
    """The value at a path of names and list positions, or the default where a part of the path is missing or null."""
    value: Any = document
    for part in path.split("."):
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None:
            return default
    return value


def of(documents: Sequence[Document], *kinds: str) -> Iterator[Document]:
    """The documents of some kinds."""
    return (document for document in documents if document.get("kind") in kinds)


def names(documents: Sequence[Document], *kinds: str) -> set[str]:
    """The names of the documents of some kinds."""
    return {at(document, "metadata.name") for document in of(documents, *kinds)}


def quantity(text: object) -> float:
    """The number that a Kubernetes quantity stands for: 500m is 0.5, 1Gi is 1073741824; 0 where it is none."""
    match = re.fullmatch(r"(?P<number>[0-9.]+(?:[eE][0-9]+)?)(?P<unit>m|[kMGTPE]i?|Ki)?", str(text))
    if match is None:
        return 0.0
    unit = match["unit"] or ""
    if unit == "m":
        return float(match["number"]) / 1000
    base = 1024 if unit.endswith("i") else 1000
    return float(match["number"]) * (base ** ("KMGTPE".index(unit[0].upper()) + 1) if unit else 1)


def text(value: Any) -> str:
    """All keys and values of a document, one a line."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key}\n{text(one)}" for key, one in value.items())
    return "\n".join(map(text, value)) if isinstance(value, list) else str(value)
