"""Findings of the linter: where, what is wrong, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One fault.

    Args:
        document: "Kind name".
        field: path of the field, as in `spec.predictor.model.storageUri`.
        problem: what is wrong with it.
        fix: what to write instead.
    """

    document: str
    field: str
    problem: str
    fix: str

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
