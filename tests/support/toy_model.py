"""A model small enough to be checked in every way that a release can be wrong: x FP32 [2] to y FP32 [3].

As a script (`toy_model.py FOLDER [printing]`) it saves the model as TorchScript, in PyTorch's environment.
"""

from __future__ import annotations

import functools
import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from frameworks import run_script

WEIGHTS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
ONNX = """<ir_version: 8, opset_import: ["": 17]>
toy (float[N,2] x__0) => (float[N,3] y__0)
<float[2,3] weights = {1, 2, 3, 4, 5, 6}> {
  y__0 = MatMul(x__0, weights)
}"""
CONFIG = """name: "{name}"
platform: "{platform}"
max_batch_size: 8
input {{
  name: "x__0"
  data_type: TYPE_FP32
  dims: [2]
}}
output {{
  name: "y__0"
  data_type: TYPE_FP32
  dims: [3]
  label_filename: "labels.txt"
}}
parameters {{ key: "weights" value: {{ string_value: "trained" }} }}
"""


def save_onnx(version_dir: Path) -> None:
    import onnx

    onnx.save(onnx.parser.parse_model(ONNX), version_dir / "model.onnx")


def save_torchscript(version_dir: Path, printing: bool = False) -> None:
    import torch

    class Toy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.Buffer(torch.from_numpy(WEIGHTS))

        def forward(self, x__0: torch.Tensor) -> torch.Tensor:
            return x__0 @ self.weights

    class Printing(Toy):
        def forward(self, x__0: torch.Tensor) -> torch.Tensor:
            print("seen")
            return x__0 @ self.weights

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        saved = torch.jit.script(Printing()) if printing else torch.jit.trace(Toy(), torch.ones(2, 2))
        torch.jit.freeze(saved.eval()).save(str(version_dir / "model.pt"))


@functools.cache
def torchscript(printing: bool) -> bytes:
    """The content of model.pt, saved once by PyTorch's own environment."""
    with tempfile.TemporaryDirectory() as folder:
        run_script("torch", Path(__file__).name, folder, *(["printing"] if printing else []))
        return Path(folder, "model.pt").read_bytes()


def add_model(repository: Path, platform: str = "onnxruntime_onnx", name: str = "toy", printing: bool = False) -> Path:
    """Adds the model to a repository, right in every way, unless its TorchScript shall print. Returns its folder."""
    folder = repository / name
    for part in ("1", "golden"):
        (folder / part).mkdir(parents=True)
    if platform == "onnxruntime_onnx":
        save_onnx(folder / "1")
    else:
        (folder / "1" / "model.pt").write_bytes(torchscript(printing))
    (folder / "config.pbtxt").write_text(CONFIG.format(name=name, platform=platform))
    (folder / "labels.txt").write_text("one\ntwo\nthree\n")
    (folder / "golden" / "x__0.json").write_text("[1.0, 2.0]\n")
    answer = {"outputs": {"y__0": {"values": [9.0, 12.0, 15.0], "atol": 0.001}}}
    (folder / "golden" / "answer.json").write_text(json.dumps(answer))
    return folder


if __name__ == "__main__":
    save_torchscript(Path(sys.argv[1]), printing="printing" in sys.argv[2:])
