"""What a model and its repository say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from kserve_transformers.predictor.declaration import release_of


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param('{"name": "2026-11-21-0123456789ab"}', "2026-11-21-0123456789ab", id="release"),
        pytest.param(None, "none", id="plain repository"),
        pytest.param("{", "none", id="damaged"),
        pytest.param("[]", "none", id="something else"),
    ],
)
def test_the_release_is_named_where_there_is_one(content: str | None, expected: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "release.json").write_text(content)
    assert release_of(tmp_path) == expected


def test_a_repository_that_cannot_be_seen_has_no_release() -> None:
    assert release_of(None) == "none"
