"""Findings of the linter: where, what is wrong, and what to write instead."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}


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


def bytes_of(quantity: str | int) -> int:
    """A Kubernetes quantity in bytes: 21Mi is 22020096; 0 where it is none."""
    match = re.fullmatch(r"(\d+)([A-Za-z]*)", str(quantity))
    if match is None or match[2] not in UNITS:
        return 0
    return int(match[1]) * UNITS[match[2]]


def text(value: Any) -> str:
    """All keys and values of a document, one a line."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key}\n{text(one)}" for key, one in value.items())
    return "\n".join(map(text, value)) if isinstance(value, list) else str(value)
