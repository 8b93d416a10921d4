"""Users' TorchScript and torch.export files that are refused, and that run nothing before they are."""

import functools
import io
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch_files import Small, program, script

from exporters.adding import pt2, torchscripts
from exporters.adding.plan import Hints
from exporters.errors import ArtefactRefusedError, UnclearModelError, UnknownFormatError

NONE = Hints()
MODULES = {"torchscript": torchscripts, "pt2": pt2}


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
def test_networks_that_cannot_be_served_are_named(network, error, complaint, tmp_path):
    with pytest.raises(error, match=complaint):
        torchscripts.describe(script(tmp_path / "own.pt", network.eval()), NONE)


def test_a_program_of_fixed_batches_or_two_inputs_is_named(tmp_path):
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
def test_a_program_that_could_run_code_is_refused_unrun(change, added, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.pt2").write_bytes(harmless())
    path = rewritten(tmp_path / "own.pt2", change, **added)

    with pytest.raises(ArtefactRefusedError, match=complaint):
        pt2.describe(path, NONE)
    assert not (tmp_path / "exploded").exists()


def test_guards_are_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own.pt2"
    path.write_bytes(harmless())
    guard = "[\"open('exploded', 'w')\"]"
    rewritten(path, in_json('"guards_code": []', f'"guards_code": {guard}'))

    assert pt2.describe(path, NONE).classes == 5
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("form", MODULES)
def test_a_damaged_file_is_named(form, tmp_path):
    if form == "pt2":
        path = program(tmp_path / "own.pt2", Small(), 2, 3, 32, 32)
    else:
        path = script(tmp_path / "own.pt", Small(), 1, 3, 32, 32)
    rewritten(path, lambda name, content: content[:10])

    with pytest.raises((UnknownFormatError, ArtefactRefusedError), match=r"own\."):
        MODULES[form].describe(path, NONE)
