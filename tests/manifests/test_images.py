"""The images block moves as a whole and stays what it was otherwise."""

from __future__ import annotations

from modelport.manifests.images import IMAGES, move


def test_name_and_tag_move_and_come_back() -> None:
    text = IMAGES.read_text()
    there = move(text, "registry.example.com/me", "v1.2.3")
    assert "newName: registry.example.com/me/modelport-transformer\n    newTag: v1.2.3" in there
    assert "newName: registry.example.com/me/modelport-triton\n    newTag: v1.2.3" in there
    assert move(move(there, "ghcr.io/you/", "v2"), "", "0.1.0") == move(text, "", "0.1.0")
