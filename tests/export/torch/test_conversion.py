"""TorchScript is converted for OpenVINO once for each content, and only where both answer alike."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exporters import conversion
from exporters.errors import ArtefactRefusedError, RepositoryError
from exporters.files import UNFINISHED, content_sha256
from exporters.torchscript import FILENAME, deprecated_but_served

CONFIG = """name: "model"
platform: "pytorch_libtorch"
input { name: "index__1" data_type: TYPE_INT32 dims: 1 }
input { name: "x__0" data_type: TYPE_FP32 dims: -1 }
output { name: "y__0" data_type: TYPE_FP32 dims: -1 }
"""


class Scaled(torch.nn.Module):
    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor([factor, 1.0]), requires_grad=False)

    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return x * self.factor[index.long()]


class Doubled(torch.nn.Module):
    """Without weights."""

    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return x + x


class Random(torch.nn.Module):
    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


class Constant(torch.nn.Module):
    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return torch.softmax(torch.zeros_like(x), dim=1) / 3


class Picky(torch.nn.Module):
    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return x @ torch.ones(5, 5)


@pytest.fixture(autouse=True)
def converted(tmp_path, monkeypatch):
    """The folder of converted networks."""
    monkeypatch.setattr(conversion, "CONVERTED", tmp_path / "converted")
    return tmp_path / "converted"


def add_model(folder: Path, module: Any, version: int = 1) -> Path:
    (folder / str(version)).mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    with deprecated_but_served():
        torch.jit.script(module.eval()).save(str(folder / str(version) / FILENAME))
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("module", [Scaled(), Doubled(), Constant()], ids=lambda module: type(module).__name__)
def test_openvino_answers_as_pytorch(module, tmp_path, converted):
    import openvino

    path = conversion.convert_newest(add_model(tmp_path / "model", module))

    inputs = conversion.inputs_of(tmp_path / "model")
    assert path == conversion.converted_path(tmp_path / "model" / "1" / FILENAME, inputs)
    assert path.stem == f"{content_sha256(tmp_path / 'model' / '1' / FILENAME)}_float32x-1_int32x1"
    assert names(converted) == sorted([path.name, path.with_suffix(".bin").name])
    x, index = np.float32([[1, 2, 3], [4, 5, 6], [7, 8, 9]]), np.int32([[0], [1], [0]])
    (found,) = openvino.Core().compile_model(path, "CPU")([x, index]).values()
    expected = module(torch.from_numpy(x), torch.from_numpy(index)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_newest_version_is_converted_and_each_content_once(tmp_path, converted):
    first = conversion.convert_newest(add_model(tmp_path / "model", Scaled()))
    written = first.read_bytes(), first.stat().st_ino
    second = conversion.convert_newest(add_model(tmp_path / "model", Scaled(3.0), version=10))

    assert first != second
    assert conversion.convert_newest(tmp_path / "model") == second
    (tmp_path / "model" / "10").rename(tmp_path / "10")
    assert conversion.convert_newest(tmp_path / "model") == first
    assert (first.read_bytes(), first.stat().st_ino) == written
    assert len(names(converted)) == 4


def test_two_conversions_at_once_take_turns(tmp_path, monkeypatch):
    model_dir = add_model(tmp_path / "model", Scaled())
    convert, calls = conversion._convert, []

    def counted(*arguments: Any) -> None:
        calls.append(arguments)
        convert(*arguments)

    monkeypatch.setattr(conversion, "_convert", counted)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(conversion.convert_newest, [model_dir] * 2)

    assert first == second
    assert first.is_file()
    assert len(calls) == 1


def test_what_a_killed_conversion_left_is_removed(tmp_path, converted):
    (converted / f"{UNFINISHED}x").mkdir(parents=True)
    (converted / f"{UNFINISHED}x" / "y.xml").touch()
    (converted / "y.bin").touch()

    path = conversion.convert_newest(add_model(tmp_path / "model", Scaled()))

    assert {Path(name).stem for name in names(converted)} == {path.stem}


def test_the_least_recently_used_networks_are_removed(tmp_path, converted, monkeypatch):
    paths = [conversion.convert_newest(add_model(tmp_path / str(n), Scaled(n))) for n in (1.0, 2.0, 3.0)]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (1e9 - age, 1e9 - age))
    conversion.convert_newest(tmp_path / "1.0")  # used again
    size = sum(path.stat().st_size for path in converted.iterdir()) / 3
    monkeypatch.setattr(conversion, "MAX_BYTES", round(2.5 * size))

    newest = conversion.convert_newest(add_model(tmp_path / "4.0", Scaled(4.0)))

    assert {Path(name).stem for name in names(converted)} == {paths[0].stem, newest.stem}
    monkeypatch.setattr(conversion, "MAX_BYTES", 1)
    newest = conversion.convert_newest(add_model(tmp_path / "5.0", Scaled(5.0)))
    assert newest.is_file(), "a network larger than the limit is kept as long as it is the newest"


def cut(folder: Path) -> None:
    artefact = folder / "1" / FILENAME
    artefact.write_bytes(artefact.read_bytes()[:200])


def without_index(folder: Path) -> None:
    (folder / "config.pbtxt").write_text(CONFIG.replace("x__0", "x"))


@pytest.mark.parametrize(
    ("module", "change", "message"),
    [
        pytest.param(
            Random(), lambda folder: None, r"output 0 differs by .* between OpenVINO and", id="random answers"
        ),
        pytest.param(Picky(), lambda folder: None, r"cannot be converted .*cannot be multiplied", id="other inputs"),
        pytest.param(Scaled(), cut, r"model\.pt cannot be converted for OpenVINO \(", id="cut short"),
        pytest.param(Scaled(), without_index, "tensor x has no index: write NAME__INDEX", id="no index"),
    ],
)
def test_what_cannot_be_converted_is_refused_and_leaves_nothing(module, change, message, tmp_path, converted, capsys):
    change(add_model(tmp_path / "model", module))

    with pytest.raises(ArtefactRefusedError, match=message) as refused:
        conversion.convert_newest(tmp_path / "model")

    assert "\n" not in str(refused.value)
    assert not converted.exists() or names(converted) == []
    assert conversion.main([str(tmp_path / "model")]) == 1
    assert re.search(f"^error: model: .*{message}.*$", capsys.readouterr().err.splitlines()[-1])


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        pytest.param([np.float32([[0, 1]])], "output 0 differs by 0.5 between OpenVINO", id="another value"),
        pytest.param([np.float32([[np.nan, 1]])], "output 0 differs by nan", id="not a number"),
        pytest.param([np.float64([[0.5, 1]])], r"float64\[1, 2\] in OpenVINO, float32\[1, 2\] in PyTorch", id="type"),
        pytest.param([np.float32([0.5, 1])], r"float32\[2\] in OpenVINO, float32\[1, 2\] in PyTorch", id="shape"),
        pytest.param([], "has 0 outputs in OpenVINO, 1 in PyTorch", id="number of outputs"),
    ],
)
def test_each_difference_is_named(found, complaint):
    with pytest.raises(ArtefactRefusedError, match=complaint):
        conversion._require_agreement("model.pt", found, [np.float32([[0.5, 1]])])


def test_a_config_that_was_corrected_has_a_conversion_of_its_own(tmp_path):
    first = conversion.convert_newest(add_model(tmp_path / "model", Doubled()))
    config = tmp_path / "model" / "config.pbtxt"
    config.write_text(config.read_text().replace("dims: -1", "dims: 6"))

    assert conversion.convert_newest(tmp_path / "model") != first


def test_the_command_names_every_model_that_it_cannot_convert(tmp_path, converted, capsys):
    for name in ("right", "wrong", "unnamed"):
        add_model(tmp_path / name, Doubled())
    (tmp_path / "wrong" / "config.pbtxt").write_text("max_batch_size: many")
    without_index(tmp_path / "unnamed")

    assert conversion.main([str(tmp_path / name) for name in ("wrong", "right", "unnamed")]) == 1

    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["error", "wrong"], ["error", "unnamed"]]
    assert len(names(converted)) == 2


def test_a_model_without_versions_is_an_error(tmp_path):
    with pytest.raises(RepositoryError, match="has no version: export the model"):
        conversion.convert_newest(tmp_path)
