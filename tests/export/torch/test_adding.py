"""Users' TorchScript and torch.export files: what is found by looking, the artefacts, and what is refused."""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from added_models import facts, images, planned
from torch import nn
from torch_files import Small, frozen, program, script

from exporters import torchscript
from exporters.adding import pt2, torchscripts
from exporters.adding.plan import Hints

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
NONE = Hints()
MODULES = {"torchscript": torchscripts, "pt2": pt2}
plan = functools.partial(planned, unsure={"layout": "nchw", "mean": MEAN, "std": STD})


class Windows(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.kind = kind
        self.layer: nn.Module = nn.Conv1d(1, 1, 5, padding=2) if kind == "conv" else nn.Linear(24, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def served(artefact: Path, samples: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    torchscript.refuse_dangerous(artefact)
    return torchscript.call(torchscript.load_artefact(artefact), [samples])


CLASSIFIERS: Mapping[str, tuple[str, Callable[[Path], Path], dict[str, Any]]] = {
    "scripted, of any size": ("torchscript", lambda path: script(path, Small().eval()), {}),
    "traced": ("torchscript", lambda path: script(path, Small(32), 2, 3, 32, 32), {"size_hw": (32, 32)}),
    "probabilities": (
        "torchscript",
        lambda path: script(path, Small(last=nn.Softmax(1)), 1, 3, 32, 32),
        {"activation": "none"},
    ),
    "channels last": ("torchscript", lambda path: script(path, Small(nhwc=True), 1, 40, 40, 3), {"layout": "nhwc"}),
    "grey": ("torchscript", lambda path: script(path, Small(channels=1), 1, 1, 32, 32), {"channels": 1}),
    "half precision": (
        "torchscript",
        lambda path: script(path, Small().half(), 1, 3, 32, 32),
        {"inputs": {"images": ("float16", (None, 3, None, None))}},
    ),
    "frozen": ("torchscript", lambda path: frozen(path, Small(32), 1, 3, 32, 32), {"size_hw": (32, 32)}),
    "a program": (
        "pt2",
        lambda path: program(path, Small(), 2, 3, 48, 40),
        {"size_hw": (48, 40), "inputs": {"images": ("float32", (None, 3, 48, 40))}},
    ),
    "a program of one image": (
        "pt2",
        lambda path: program(path, Small(32), 1, 3, 32, 32, dynamic=False),
        {"max_batch_size": 1},
    ),
}


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_a_classifier_is_looked_at_and_served_as_it_answers(case, tmp_path):
    form, write, expected = CLASSIFIERS[case]
    path = write(tmp_path / ("own.pt2" if form == "pt2" else "own.pt"))
    module = MODULES[form]

    found = module.describe(path, NONE)
    planned = plan(found)
    module.build(path, planned, tmp_path / "model.pt")
    samples = images(48, 48)[:, : planned.size_hw[0], : planned.size_hw[1]]
    reference = module.reference(path, planned, samples)

    stated = {"classes": 5, "activation": "softmax", "layout": "nchw", "channels": 3, "max_batch_size": 8} | expected
    assert {key: getattr(found, key) for key in stated} == stated
    assert found.platform == "pytorch_libtorch"
    rows = [samples] if planned.max_batch_size > 1 else [samples[:1], samples[1:]]
    answers = np.concatenate([served(tmp_path / "model.pt", row)[0] for row in rows])
    tolerance = 2e-3 if case == "half precision" else 1e-5
    np.testing.assert_allclose(answers, reference["probabilities__0"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-3)
    assert np.abs(answers[0] - answers[1]).max() > 10 * tolerance


def test_the_reference_is_what_a_user_would_compute(tmp_path):
    network = Small()
    path = script(tmp_path / "own.pt", network, 1, 3, 32, 32)
    planned = plan(torchscripts.describe(path, NONE), channel_order="bgr")
    samples = images(40, 40)

    answers = torchscripts.reference(path, planned, samples)["probabilities__0"]

    nchw = torch.from_numpy(samples[..., ::-1].astype(np.float32).transpose(0, 3, 1, 2).copy())
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (MEAN, STD))
    with torch.inference_mode():
        expected = torch.softmax(network((nchw - mean) / std), 1).numpy()
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "shape", "hints"),
    [
        pytest.param("linear", (1, 24), NONE, id="[N,L]"),
        pytest.param("conv", (1, 1, 24), Hints("anomaly", (1, 24)), id="[N,1,L]"),
    ],
)
def test_windows_are_rebuilt_in_their_own_unit(kind, shape, hints, tmp_path):
    network = Windows(kind)
    path = script(tmp_path / "own.pt", network, *shape)
    found = torchscripts.describe(path, hints)
    stated = {"task": "anomaly", "platform": "onnxruntime_onnx", "length": 24, "mean": (5.0,), "std": (2.0,)}
    planned = plan(found, **stated)
    windows = np.random.default_rng(0).normal(5, 2, (3, 24)).astype(np.float32)

    torchscripts.build(path, planned, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    rebuilt, mae = session.run(["reconstruction", "mae"], {"windows": windows})
    reference = torchscripts.reference(path, planned, windows)

    with torch.inference_mode():
        own = network(torch.from_numpy((windows - 5) / 2).reshape(3, *shape[1:])).numpy().reshape(3, 24) * 2 + 5
    assert found.inputs["images"][1][1:] in (shape[1:], (1, None))
    np.testing.assert_allclose(rebuilt, own, atol=1e-5)
    np.testing.assert_allclose(mae, np.abs(windows - own).mean(1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(reference["reconstruction"], own, atol=1e-5)
    np.testing.assert_allclose(reference["mae"], mae, atol=1e-5)


ULTRALYTICS = {
    "description": "Ultralytics YOLOv8n-cls model",
    "author": "Ultralytics",
    "task": "classify",
    "stride": 1,
    "batch": 1,
    "imgsz": [48, 48],
    "names": {str(index): name for index, name in enumerate("abcde")},
}


def test_ultralytics_metadata_are_read(tmp_path):
    path = script(tmp_path / "own.torchscript", Small(), 1, 3, 48, 48, extra={"config.txt": json.dumps(ULTRALYTICS)})

    found = torchscripts.describe(path, NONE)

    assert found.labels == tuple("abcde")
    assert (found.size_hw, found.mean, found.std) == ((48, 48), (0.0,), (255.0,))
    assert (found.resize_mode, found.resize_size) == ("center_crop", 48)
    assert facts(found)["scaling"][1]


def test_labels_are_read_from_an_extra_file(tmp_path):
    path = script(tmp_path / "own.pt", Small(), 1, 3, 32, 32, extra={"labels.txt": "a\nb\nc\nd\ne\n"})
    assert torchscripts.describe(path, NONE).labels == tuple("abcde")


def test_what_cannot_be_known_is_not_sure(tmp_path):
    found = torchscripts.describe(script(tmp_path / "own.pt", Small().eval()), NONE)
    assert facts(found)["input size"] == ("any", True)
    assert facts(found)["layout"] == ("nchw", True)
    assert found.mean is None
