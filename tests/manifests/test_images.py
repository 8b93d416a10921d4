"""The images block moves as a whole and stays what it was otherwise; the transformer's image has what it imports."""

import ast
import re

import pytest

from modelport.environment import ROOT
from modelport.manifests.images import IMAGES, main, move


def test_name_and_tag_move_and_come_back():
    text = IMAGES.read_text()
    there = move(text, "registry.example.com/me", "v1.2.3")
    assert "newName: registry.example.com/me/modelport-transformer\n    newTag: v1.2.3" in there
    assert "newName: registry.example.com/me/modelport-triton\n    newTag: v1.2.3" in there
    assert move(move(there, "ghcr.io/you/", "v2"), "", "0.1.0") == move(text, "", "0.1.0")


@pytest.mark.parametrize(
    ("registry", "tag", "complaint"),
    [
        ("ghcr.io/me", "v1.2.3", None),
        ("localhost:5000", "0.1.0", None),
        ("", "0.1.0", None),
        ("https://ghcr.io/me", "0.1.0", "is no registry"),
        ("a b", "0.1.0", "is no registry"),
        ("ghcr.io//me", "0.1.0", "is no registry"),
        ("ghcr.io/Me", "0.1.0", "is no registry"),
        ("ghcr.io/me", "latest", "is not a tag to pin"),
        ("ghcr.io/me", "", "is not a tag to pin"),
        ("ghcr.io/me", "vé", "is not a tag to pin"),
    ],
)
def test_names_of_images_are_such_that_a_cluster_can_pull_them(registry, tag, complaint, tmp_path, monkeypatch, capsys):
    file = tmp_path / "kustomization.yaml"
    file.write_text(IMAGES.read_text())
    monkeypatch.setattr("sys.argv", ["images", registry, tag])
    if complaint is None:
        main(file)
        assert file.read_text() == move(IMAGES.read_text(), registry, tag)
        return
    with pytest.raises(SystemExit, match="2"):
        main(file)
    assert complaint in capsys.readouterr().err
    assert file.read_text() == IMAGES.read_text()


def test_the_transformer_imports_nothing_that_its_image_leaves_out():
    text = (ROOT / "transformers" / "Dockerfile").read_text().replace("\\\n", " ")
    removed = re.search(r"rm -rf bin (.*?) &&", text)
    assert removed is not None
    names = [word.rstrip("*") for word in removed[1].split() if "/" not in word]
    assert "kubernetes" in names
    for path in (ROOT / "transformers" / "kserve_transformers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            found = {module.partition(".")[0] for module in modules} & set(names)
            assert not found, f"{path.name} imports {found}"
