"""Versions appear whole or not at all, and only when there is something new."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from waiting import wait_for

from exporters.config import Config, Tensor, read_config
from exporters.errors import ArtefactRefusedError
from exporters.files import UNFINISHED
from exporters.golden import Golden
from exporters.repository import Exported, publish, versions
from exporters.weights import Provenance
from kserve_transformers.arrays.golden import Expected

TRAINED = Provenance(True, "somebody", "MIT", "75 %", sha256="ab" * 32)
UNTRAINED = Provenance(False, "random", "none", "none")


def published(model_dir: Path, content: str | None = "weights", **others: object) -> Exported:
    def build(path: Path) -> None:
        path.write_text(content or "")

    tensor = Tensor("x", "TYPE_FP32", (1,))
    arguments: dict[str, object] = {
        "filename": "model.pt",
        "build": build,
        "config": Config(model_dir.name, "pytorch_libtorch", (tensor,), (tensor,), {"resize_size": "256"}),
        "golden": Golden({"x": np.ones(1, np.float32)}, {"x": Expected(np.ones(1, np.float32), 0.01)}),
        "provenance": TRAINED,
        "labels": ("one", "two"),
    }
    return publish(model_dir, **{**arguments, **others})


def parameters(model_dir: Path) -> dict[str, str]:
    found = read_config(model_dir / "config.pbtxt").parameters
    return {name: value.string_value for name, value in found.items()}


def everything(model_dir: Path) -> dict[str, tuple[int, bytes]]:
    """Contents and times of change of all files."""
    files = [path for path in model_dir.rglob("*") if path.is_file()]
    return {str(path.relative_to(model_dir)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_the_first_version_brings_all_files(tmp_path):
    model_dir = tmp_path / "repository" / "my_model"
    exported = published(model_dir)
    assert (exported.version, exported.changed, exported.artefact_bytes) == (1, True, 7)
    assert sorted(everything(model_dir)) == [
        "1/model.pt",
        "config.pbtxt",
        "golden/answer.json",
        "golden/x.json",
        "labels.txt",
    ]
    assert (model_dir / "labels.txt").read_text() == "one\ntwo\n"
    assert parameters(model_dir)["resize_size"] == "256"
    assert (model_dir / "1").stat().st_mode & 0o777 == 0o755


def test_the_same_again_changes_nothing(tmp_path):
    published(tmp_path)
    before = everything(tmp_path)
    assert not published(tmp_path).changed
    assert everything(tmp_path) == before


def test_another_content_goes_to_the_next_number(tmp_path):
    published(tmp_path)
    assert published(tmp_path, "others").version == 2
    assert published(tmp_path, "weights").version == 3  # back again is a change too
    assert versions(tmp_path) == [1, 2, 3]
    assert (tmp_path / "1" / "model.pt").read_text() == "weights"


def test_ten_comes_after_nine(tmp_path):
    for name in ("2", "9", "0", "010", "notes", ".git"):
        (tmp_path / name).mkdir()
    assert versions(tmp_path) == [2, 9]
    assert published(tmp_path).version == 10
    assert published(tmp_path, "others").version == 11


def test_formats_whose_bytes_differ_bring_their_own_identity(tmp_path):
    published(tmp_path, "model, built at noon")
    assert not published(tmp_path, "model, built at one", identity=lambda path: path.read_text()[:5]).changed


def test_the_config_tells_of_the_weights_that_are_there(tmp_path):
    published(tmp_path)
    stated = parameters(tmp_path)
    assert (stated["weights"], stated["weights_sha256"]) == ("trained", "ab" * 32)
    assert "warning" not in stated
    published(tmp_path, "others", provenance=UNTRAINED)
    stated = parameters(tmp_path)
    assert stated["weights"] == "untrained"
    assert stated["warning"] == "untrained weights: the answers mean nothing"
    assert "weights_sha256" not in stated


def test_an_artefact_that_answers_otherwise_is_not_published(tmp_path):
    published(tmp_path)
    before = everything(tmp_path)

    def verify(path: Path) -> None:
        assert path.read_text() == "others"
        raise ArtefactRefusedError("it answers otherwise")

    with pytest.raises(ArtefactRefusedError, match="it answers otherwise"):
        published(tmp_path, "others", verify=verify, provenance=UNTRAINED)
    assert everything(tmp_path) == before
    assert not list(tmp_path.glob(f"{UNFINISHED}*"))


def test_an_artefact_with_links_is_not_published(tmp_path):
    with pytest.raises(ArtefactRefusedError, match=r"model\.pt is a link"):
        published(tmp_path, build=lambda path: path.symlink_to("/etc/hosts"))
    assert everything(tmp_path) == {}


# Says that it is half-way and goes on for as long as the file "wait" is there.
EXPORT = """
import sys, time
from pathlib import Path
sys.path += [{tests!r}, {support!r}]
from test_repository import published
model_dir, content = Path(sys.argv[1]), sys.argv[2]
(model_dir.parent / ("begun " + content)).touch()
def build(path):
    path.write_text(content[:2])
    (model_dir / ".." / ("half-way " + content)).touch()
    while (model_dir / ".." / "wait").exists():
        time.sleep(0.01)
    path.write_text(content)
print(published(model_dir, build=build).version)
"""


def started(model_dir: Path, content: str) -> subprocess.Popen[str]:
    script = EXPORT.format(tests=str(Path(__file__).parent), support=str(Path(__file__).parents[1] / "support"))
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", script, str(model_dir), content]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_a_killed_export_leaves_no_half_model(tmp_path):
    model_dir = tmp_path / "my_model"
    published(model_dir)
    before = everything(model_dir)
    (tmp_path / "wait").touch()
    process = started(model_dir, "others")
    wait_for((tmp_path / "half-way others").exists)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert versions(model_dir) == [1]
    left = [path for path in model_dir.iterdir() if path.name.startswith(UNFINISHED)]
    assert len(left) == 1  # Triton passes over hidden names
    assert {name: file for name, file in everything(model_dir).items() if UNFINISHED not in name} == before
    assert published(model_dir, "others").version == 2
    assert not list(model_dir.glob(f"{UNFINISHED}*"))


def test_two_exports_at_once_take_turns(tmp_path):
    model_dir = tmp_path / "my_model"
    (tmp_path / "wait").touch()
    first = started(model_dir, "weights")
    wait_for((tmp_path / "half-way weights").exists)
    second = started(model_dir, "others")
    wait_for((tmp_path / "begun others").exists)
    time.sleep(0.5)  # long enough for the second to get in, were nobody keeping it out
    assert not (tmp_path / "half-way others").exists()
    (tmp_path / "wait").unlink()
    assert [first.communicate()[0], second.communicate()[0]] == ["1\n", "2\n"]
    assert (model_dir / "1" / "model.pt").read_text() == "weights"
    assert (model_dir / "2" / "model.pt").read_text() == "others"
