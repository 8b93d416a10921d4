"""Releases come and go in a stack's folder of models; repository and release stay as they are."""

import pytest

from kserve_transformers.assignment import assigned_chain, assigned_release, replacements
from modelport.stack.errors import UpdateError
from modelport.stack.live_models import LiveModels

CONFIG = 'name: "mnist"\noutput { name: "probabilities" }\n'


@pytest.fixture
def release(tmp_path):
    folder = tmp_path / "release" / "mnist"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.onnx").write_bytes(b"graph")
    (folder / "1" / "model.onnx").chmod(0o444)
    return folder


@pytest.fixture
def live(tmp_path):
    repository = tmp_path / "repository"
    (repository / "mnist").mkdir(parents=True)
    (repository / "mnist" / "config.pbtxt").write_text(CONFIG)
    models = LiveModels(tmp_path / "run" / "models", repository)
    models.create()
    return models


def test_a_release_has_a_name_of_its_own(live, release, tmp_path):
    live.add("mnist", "r1", release)
    config = (live.folder / "mnist.r1" / "config.pbtxt").read_text()
    assert config == CONFIG.replace('name: "mnist"', 'name: "mnist.r1"')
    assert (live.folder / "mnist.r1" / "1" / "model.onnx").read_bytes() == b"graph"
    assert (release / "config.pbtxt").read_text() == CONFIG

    live.discard("mnist", "r1")
    live.discard("mnist", None)
    assert [path.name for path in live.folder.iterdir()] == ["mnist"]
    live.remove()
    assert (tmp_path / "repository" / "mnist" / "config.pbtxt").read_text() == CONFIG
    assert (release / "1" / "model.onnx").read_bytes() == b"graph"


def test_who_serves_is_told_and_taken_back(live):
    assert assigned_release(live.folder, "mnist") is None
    live.assign(["mnist", "other"], "r1")
    live.assign(["other"], "r2")
    assert (assigned_release(live.folder, "mnist"), assigned_release(live.folder, "other")) == ("r1", "r2")
    live.assign(["mnist"], None)
    assert (assigned_release(live.folder, "mnist"), live.release_of("mnist")) == (None, None)
    assert live.release_of("other") == "r2"


def test_replacements_are_counted(live):
    assert replacements(live.folder, "mnist") == 0
    for name in ("mnist", "mnist.r1", "mnist"):
        live.replaced(name)
    assert [replacements(live.folder, name) for name in ("mnist", "mnist.r1", "other")] == [2, 1, 0]


def test_a_chain_is_told(live):
    assert assigned_chain(live.folder, "digits") is None
    live.chain("digits", ["better", "mnist"])
    assert assigned_chain(live.folder, "digits") == ("better", "mnist")


@pytest.mark.parametrize("content", ["[]", '{"mnist": 1.5}', "{"], ids=["a list", "a number", "cut off"])
@pytest.mark.parametrize(
    ("file", "read"),
    [("serving.json", assigned_release), ("replaced.json", replacements), ("chains.json", assigned_chain)],
)
def test_a_damaged_file_is_found(live, file, read, content):
    (live.folder / file).write_text(content)
    with pytest.raises(ValueError, match=r"."):
        read(live.folder, "mnist")


def test_a_folder_that_is_no_model_is_refused(live, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UpdateError, match="is no model"):
        live.add("mnist", "r1", tmp_path / "empty")
