"""TorchScript is converted for OpenVINO once, and not at all where OpenVINO would answer otherwise."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch

from exporters import conversion, torchscript
from exporters.errors import ArtefactRefusedError
from exporters.files import content_sha256

INPUTS = [((4,), np.dtype(np.float32))]


class Scores(torch.nn.Module):
    """Its answer is not the same for two rows."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.softmax(x, dim=1), x.argmax(dim=1, keepdim=True)


@pytest.fixture
def artefact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(conversion, "CONVERTED", tmp_path / "converted")
    path = tmp_path / "model.pt"
    with torchscript.deprecated_but_served():
        torch.jit.trace(Scores(), torch.zeros(2, 4)).save(str(path))
    return path


def refusal(artefact: Path, inputs: conversion.Inputs = INPUTS) -> str:
    with pytest.raises(ArtefactRefusedError) as refused:
        conversion.convert(artefact, inputs)
    assert not any(path.is_file() for path in conversion.CONVERTED.rglob("*")), "nothing half-made is left"
    return str(refused.value)


def test_the_converted_network_answers_batches_of_any_size(artefact: Path) -> None:
    converted = conversion.convert(artefact, INPUTS)
    network = openvino.Core().compile_model(converted, "CPU")
    for rows in (1, 5):
        x = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
        scores, best = network([x]).values()
        np.testing.assert_allclose(scores, torch.softmax(torch.from_numpy(x), dim=1).numpy(), rtol=1e-5)
        np.testing.assert_array_equal(best, x.argmax(axis=1, keepdims=True))


def test_it_is_converted_once_for_a_content_and_its_inputs(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = conversion.convert(artefact, INPUTS)
    assert converted == conversion.converted_path(artefact, INPUTS)
    assert converted.name == f"{content_sha256(artefact)}_float32x4.xml"
    wider = conversion.convert(artefact, [((6,), np.dtype(np.float32))])
    assert wider != converted, "a config that was corrected has a conversion of its own"

    def never(*arguments: Any, **others: Any) -> None:
        raise AssertionError("it was converted again")

    monkeypatch.setattr(openvino, "convert_model", never)
    assert conversion.convert(artefact, INPUTS) == converted


def test_an_answer_off_by_more_than_the_tolerance_is_refused(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "RELATIVE_TOLERANCE", -1.0)
    assert "model.pt: OpenVINO's output 0 is off PyTorch's by" in refusal(artefact)


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        pytest.param([np.float32([[0, 1]])], "output 0 is off PyTorch's by 0.5", id="another value"),
        pytest.param([np.float32([[np.nan, 1]])], "output 0 is off PyTorch's by nan", id="not a number"),
        pytest.param([np.float64([[0.5, 1]])], r"float64\[1, 2\] by OpenVINO, float32\[1, 2\] by PyTorch", id="type"),
        pytest.param([np.float32([0.5, 1])], r"float32\[2\] by OpenVINO, float32\[1, 2\] by PyTorch", id="shape"),
        pytest.param([], "OpenVINO gives 0 outputs, PyTorch 1", id="number of outputs"),
    ],
)
def test_each_difference_is_named(found: list[Any], complaint: str) -> None:
    with pytest.raises(ArtefactRefusedError, match=complaint):
        conversion._compare("model.pt", found, [np.float32([[0.5, 1]])])


def test_what_pytorch_cannot_run_is_refused(artefact: Path) -> None:
    assert refusal(artefact, [*INPUTS, *INPUTS]).startswith("model.pt: PyTorch cannot run it (")
    artefact.write_bytes(artefact.read_bytes()[:100])
    assert refusal(artefact).startswith("model.pt: PyTorch cannot run it (")


def test_what_openvino_cannot_read_is_refused(artefact: Path) -> None:
    class Sampling(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.poisson(x.abs())

    with torchscript.deprecated_but_served():
        torch.jit.trace(Sampling(), torch.zeros(2, 4), check_trace=False).save(str(artefact))
    assert refusal(artefact).startswith("model.pt: OpenVINO cannot run it (")


def test_the_command_names_every_model_that_it_cannot_convert(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = 'max_batch_size: 8 input { name: "x__0" data_type: TYPE_FP32 dims: [ 4 ] }'
    for name, text in {"right": config, "wrong": "max_batch_size: many", "unnamed": config.replace("__0", "")}.items():
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "model.pt").symlink_to(artefact)
        (tmp_path / name / "config.pbtxt").write_text(text)

    assert conversion.main([str(tmp_path / name) for name in ("wrong", "right", "unnamed")]) == 1

    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["error", "wrong"], ["error", "unnamed"]]
    assert conversion.converted_path(artefact, INPUTS).is_file()
