"""Named checks of what an overlay promises; each one is about one feature of the manifests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelport.cluster.trial import Trial


@dataclass(frozen=True)
class Check:
    """One check."""

    name: str  # in the table, in kebab case
    shows: str  # what it shows, in one line
    run: Callable[[Trial, str], str]  # does it; returns what was seen
    # why this overlay or this cluster does not promise it; empty where it does. Such a check is left out where the
    # reason is `NOT_PROMISED`, and reported as skipped otherwise.
    inapplicable: Callable[[Trial, str], str] = lambda trial, service: ""
    keeps: bool = False  # whether the next check begins where this one ended, instead of with the overlay as declared


NOT_PROMISED = "not promised"
