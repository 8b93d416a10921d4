"""Users' TorchScript and torch.export files: what is found by looking, the artefacts, and what is refused."""

import functools
import io
import json
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch

from exporters import torchscript
from exporters.adding import pt2, torchscripts
from exporters.adding.plan import Description, Hints, Plan
from exporters.errors import ArtefactRefusedError, ExportError, UnclearModelError, UnknownFormatError

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
NONE = Hints()
MODULES = {"torchscript": torchscripts, "pt2": pt2}
nn = torch.nn


class Small(nn.Module):
    """A classifier of five classes with the variations that files have."""

    def __init__(self, side: int = 0, channels: int = 3, last: nn.Module | None = None, nhwc: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.nhwc = nhwc
        self.conv = nn.Conv2d(channels, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8 * (side // 2) ** 2 if side else 8, 5)
        self.fixed = side > 0
        self.last = last or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 3, 1, 2) if self.nhwc else x
        x = torch.relu(self.norm(self.conv(x)))
        return self.last(self.linear(x.flatten(1) if self.fixed else x.mean((2, 3))))


class Windows(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.kind = kind
        self.layer: nn.Module = nn.Conv1d(1, 1, 5, padding=2) if kind == "conv" else nn.Linear(24, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def script(path: Path, network: nn.Module, *shape: int, extra: Mapping[str, str] | None = None) -> Path:
    """Scripted, or traced with an example of this shape."""
    kind = next((parameter.dtype for parameter in network.parameters()), torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.trace(network.eval(), torch.zeros(shape, dtype=kind)) if shape else torch.jit.script(network)
        torch.jit.save(made.eval(), str(path), _extra_files=dict(extra or {}))
    return path


def program(path: Path, network: nn.Module, *shape: int, dynamic: bool = True) -> Path:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.export.save(torch.export.export(network.eval(), (torch.zeros(shape),), dynamic_shapes=shapes), str(path))
    return path


def plan(found: Description, **stated: Any) -> Plan:
    """What the command would plan, with ImageNet's normalisation unless the file states another."""
    values: dict[str, Any] = {
        "name": "own",
        "task": "classification",
        "platform": found.platform,
        "original_outputs": (next(iter(found.outputs)),),
        "size_hw": found.size_hw or (40, 40),
        "channels": found.channels or 3,
        "layout": found.layout or "nchw",
        "mean": found.mean or MEAN,
        "std": found.std or STD,
        "activation": found.activation or "none",
        "max_batch_size": found.max_batch_size,
    }
    return Plan(**{**values, **stated})


def images(side: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    """A drawn image and noise."""
    noise = np.random.default_rng(1).integers(0, 256, (2, side, side, channels), np.uint8)
    noise[0, : side // 2] = 250
    return noise


def facts(found: Description) -> dict[str, tuple[str, bool]]:
    return {fact.what: (fact.value, fact.sure) for fact in found.facts}


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
    "frozen": (
        "torchscript",
        lambda path: frozen(path, Small(32), 1, 3, 32, 32),
        {"size_hw": (32, 32)},
    ),
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


def frozen(path: Path, network: nn.Module, *shape: int) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.freeze(torch.jit.trace(network.eval(), torch.zeros(shape))).save(str(path))
    return path


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_a_classifier_is_looked_at_and_served_as_it_answers(case: str, tmp_path: Path) -> None:
    form, write, expected = CLASSIFIERS[case]
    path = write(tmp_path / ("own.pt2" if form == "pt2" else "own.pt"))
    module = MODULES[form]

    found = module.describe(path, NONE)
    planned = plan(found)
    module.build(path, planned, tmp_path / "model.pt")
    samples = images(48)[:, : planned.size_hw[0], : planned.size_hw[1]]
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


def test_the_reference_is_what_a_user_would_compute(tmp_path: Path) -> None:
    network = Small()
    path = script(tmp_path / "own.pt", network, 1, 3, 32, 32)
    planned = plan(torchscripts.describe(path, NONE), channel_order="bgr")
    samples = images(40)

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
def test_windows_are_rebuilt_in_their_own_unit(kind: str, shape: tuple[int, ...], hints: Hints, tmp_path: Path) -> None:
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


def test_ultralytics_metadata_are_read(tmp_path: Path) -> None:
    path = script(tmp_path / "own.torchscript", Small(), 1, 3, 48, 48, extra={"config.txt": json.dumps(ULTRALYTICS)})

    found = torchscripts.describe(path, NONE)

    assert found.labels == tuple("abcde")
    assert (found.size_hw, found.mean, found.std) == ((48, 48), (0.0,), (255.0,))
    assert (found.resize_mode, found.resize_size) == ("center_crop", 48)
    assert facts(found)["scaling"][1]


def test_labels_are_read_from_an_extra_file(tmp_path: Path) -> None:
    path = script(tmp_path / "own.pt", Small(), 1, 3, 32, 32, extra={"labels.txt": "a\nb\nc\nd\ne\n"})
    assert torchscripts.describe(path, NONE).labels == tuple("abcde")


def test_what_cannot_be_known_is_not_sure(tmp_path: Path) -> None:
    found = torchscripts.describe(script(tmp_path / "own.pt", Small().eval()), NONE)
    assert facts(found)["input size"] == ("any", True)
    assert facts(found)["layout"] == ("nchw", True)
    assert found.mean is None


class OfAList(nn.Module):
    def forward(self, x: list[torch.Tensor]) -> torch.Tensor:
        return x[0]


class Dropping(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(x.mean((2, 3)), 0.5, training=True)


class OnGpu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.ones(3, device=torch.device("cuda:0"))


@pytest.mark.parametrize(
    ("network", "error", "complaint"),
    [
        pytest.param(OfAList(), UnclearModelError, "takes none of the inputs that were tried", id="of a list"),
        pytest.param(Dropping(), UnclearModelError, "differently each time", id="left to chance"),
        pytest.param(OnGpu(), ArtefactRefusedError, "traced on cuda:0", id="bound to a GPU"),
    ],
)
def test_networks_that_cannot_be_served_are_named(
    network: nn.Module, error: type[ExportError], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=complaint):
        torchscripts.describe(script(tmp_path / "own.pt", network.eval()), NONE)


def test_a_program_of_fixed_batches_or_two_inputs_is_named(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x + y

    with pytest.raises(UnclearModelError, match="fixed to batches of 4"):
        pt2.describe(program(tmp_path / "own.pt2", Small(), 4, 3, 32, 32, dynamic=False), NONE)
    example = (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
    torch.export.save(torch.export.export(Two(), example), str(tmp_path / "two.pt2"))
    with pytest.raises(UnclearModelError, match="takes 2 inputs"):
        pt2.describe(tmp_path / "two.pt2", NONE)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def rewritten(path: Path, change: Callable[[str, bytes], bytes], **added: bytes) -> Path:
    """The archive with changed members, and others after them."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    root = next(iter(members)).partition("/")[0]
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, content in members.items():
            archive.writestr(name, change(name, content))
        for name, content in added.items():
            archive.writestr(f"{root}/{name}", content)
    return path


@functools.cache
def harmless() -> bytes:
    """A program."""
    with tempfile.TemporaryDirectory() as folder:
        return program(Path(folder) / "own.pt2", Small(), 2, 3, 32, 32).read_bytes()


def in_json(old: str, new: str) -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith(".json"):
            return content
        return content.replace(old.encode(), new.encode())

    return change


def same(name: str, content: bytes) -> bytes:
    return content


def saved(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("change", "added", "complaint"),
    [
        pytest.param(
            lambda name, content: saved(Bomb()) if "sample_inputs" in name else content,
            {},
            "has a pickle in .*sample_inputs",
            id="a pickle as example",
        ),
        pytest.param(
            lambda name, content: pickle.dumps(Bomb()) if "sample_inputs" in name else content,
            {},
            "has a pickle in .*sample_inputs",
            id="a plain pickle as example",
        ),
        pytest.param(
            in_json('"use_pickle": false', '"use_pickle": true'), {}, "pickle among its weights", id="weights"
        ),
        pytest.param(
            in_json("torch.ops.aten.relu.default", "torch.ops.mine.relu.default"),
            {},
            "uses torch.ops.mine",
            id="custom",
        ),
        pytest.param(in_json("torch.ops.aten.relu.default", "torch.load"), {}, "uses torch.load", id="a function"),
        pytest.param(
            in_json("torch.ops.aten.relu.default", "torch.ops.aten.from_file.default"), {}, "from_file", id="reads"
        ),
        pytest.param(in_json('"Symbol(', "\"open('exploded', 'w') or Symbol("), {}, "more than arith", id="a size"),
        pytest.param(
            in_json("Symbol('s", "Integer('open(1)')+Symbol('s"), {}, "more than arith", id="a size in a text"
        ),
        pytest.param(
            in_json('"range_constraints": {"s', '"range_constraints": {"exit() or s'),
            {},
            "more than arith",
            id="a range",
        ),
        pytest.param(same, {"data/aotinductor/model/model.so": b"\x7fELF"}, "compiled code", id="a library"),
        pytest.param(same, {"DATA/AOTINDUCTOR/model/x": b"\x7fELF"}, "compiled code", id="a library in capitals"),
        pytest.param(same, {"models/model.json": b'{"target": "os.system", "inputs": []}'}, "os.system", id="twice"),
        pytest.param(in_json('"guards_code": []', '"guards_code": ["__enum__"]'), {}, "Python classes", id="classes"),
    ],
)
def test_a_program_that_could_run_code_is_refused_unrun(
    change: Callable[[str, bytes], bytes],
    added: dict[str, bytes],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.pt2").write_bytes(harmless())
    path = rewritten(tmp_path / "own.pt2", change, **added)

    with pytest.raises(ArtefactRefusedError, match=complaint):
        pt2.describe(path, NONE)
    assert not (tmp_path / "exploded").exists()


def test_guards_are_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own.pt2"
    path.write_bytes(harmless())
    guard = "[\"open('exploded', 'w')\"]"
    rewritten(path, in_json('"guards_code": []', f'"guards_code": {guard}'))

    assert pt2.describe(path, NONE).classes == 5
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("form", MODULES)
def test_a_damaged_file_is_named(form: str, tmp_path: Path) -> None:
    if form == "pt2":
        path = program(tmp_path / "own.pt2", Small(), 2, 3, 32, 32)
    else:
        path = script(tmp_path / "own.pt", Small(), 1, 3, 32, 32)
    rewritten(path, lambda name, content: content[:10])

    with pytest.raises((UnknownFormatError, ArtefactRefusedError), match=r"own\."):
        MODULES[form].describe(path, NONE)
