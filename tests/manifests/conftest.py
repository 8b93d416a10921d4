"""Overlays, each rendered once by a real kubectl."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from manifest_lint.rendering import render

Documents = list[dict[str, Any]]


@pytest.fixture(scope="session")
def rendered() -> Callable[[str], Documents]:
    """A copy of an overlay's documents."""
    once = cache(render)
    return lambda overlay: copy.deepcopy(once(overlay))
