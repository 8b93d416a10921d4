"""A plugin of fixtures: a real Triton, and small models that are the same for all three frameworks.

`lookup` takes x FP32 [4] and index INT32 [1] and gives y = x * TABLE[index] FP32 [4] and rows INT64 [1], the number
of rows that went through the model together. An index above the table's last fails: ONNX Runtime refuses to gather it;
OpenVINO would gather zeros, so there a column that is too long is joined to the answer.

As a script (`lookup_model.py PLATFORM FOLDER`) it saves the model, in the framework's environment.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from frameworks import run_script

from modelport.exporting import FRAMEWORK
from modelport.stack.triton_distribution import Distribution, lay_out
from modelport.stack.triton_server import TritonServer, TritonSettings

TABLE = np.array([2, 3, 5, 7], np.float32)
LAST = len(TABLE) - 1
NAMES = {
    "onnxruntime_onnx": ("x", "index", "y", "rows"),
    "pytorch_libtorch": ("x__0", "index__1", "y__0", "rows__1"),
    "tensorflow_savedmodel": ("x", "index", "y", "rows"),
}
THREADS = {
    "onnxruntime_onnx": ("intra_op_thread_count", "inter_op_thread_count"),
    "pytorch_libtorch": ("INTRA_OP_THREAD_COUNT", "INTER_OP_THREAD_COUNT"),
    "tensorflow_savedmodel": ("TF_NUM_INTRA_THREADS", "TF_NUM_INTER_THREADS"),
}

ONNX = """<ir_version: 8, opset_import: ["": 17]>
lookup (float[N,4] x, int32[N,1] index) => (float[N,4] y, int64[N,1] rows)
<float[4] table = {2, 3, 5, 7}, int64 zero = {0}> {
  factor = Gather(table, index)
  y = Mul(x, factor)
  shape = Shape(index)
  count = Gather(shape, zero)
  rows = Expand(count, shape)
}"""


def save_onnx(folder: Path) -> None:
    import onnx

    model = onnx.parser.parse_model(ONNX)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")


def save_torchscript(folder: Path) -> None:
    import torch

    class Lookup(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.from_numpy(TABLE))

        def forward(self, x: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            rows = index.shape[0] + (index.max() - LAST).clamp(min=0)
            y = x * self.table[index.clamp(max=LAST).long()]
            y = torch.cat([y, torch.zeros(rows, 1)], dim=1)[:, :4]
            return y, torch.full_like(index, 1).long() * index.shape[0]

    example = (torch.ones(2, 4), torch.zeros(2, 1, dtype=torch.int32))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Triton's PyTorch backend takes TorchScript, deprecated or not
        torch.jit.save(torch.jit.trace(Lookup(), example), folder / "model.pt")


def save_saved_model(folder: Path) -> None:
    import tensorflow as tf

    class Lookup(tf.Module):
        @tf.function(
            input_signature=[tf.TensorSpec([None, 4], tf.float32, "x"), tf.TensorSpec([None, 1], tf.int32, "index")]
        )
        def serve(self, x: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = tf.shape(index)[0] + tf.maximum(tf.reduce_max(index) - LAST, 0)
            y = x * tf.gather(TABLE, tf.minimum(index, LAST))
            y = tf.concat([y, tf.zeros([rows, 1])], axis=1)[:, :4]
            return {"y": y, "rows": tf.fill(tf.shape(index), tf.shape(index, tf.int64)[0])}

    module = Lookup()
    tf.saved_model.save(module, folder / "model.savedmodel", signatures={"serving_default": module.serve})


SAVE = {"onnxruntime_onnx": save_onnx, "pytorch_libtorch": save_torchscript, "tensorflow_savedmodel": save_saved_model}


def write_config(folder: Path, platform: str, replace: tuple[str, str] = ("", "")) -> None:
    x, index, y, rows = NAMES[platform]
    text = f"""name: "{folder.name}"
platform: "{platform}"
max_batch_size: 8
input [
  {{ name: "{x}" data_type: TYPE_FP32 dims: [ 4 ] }},
  {{ name: "{index}" data_type: TYPE_INT32 dims: [ 1 ] }}
]
output [
  {{ name: "{y}" data_type: TYPE_FP32 dims: [ 4 ] }},
  {{ name: "{rows}" data_type: TYPE_INT64 dims: [ 1 ] }}
]
dynamic_batching {{ max_queue_delay_microseconds: 300000 }}
instance_group [ {{ count: 1 }} ]
"""
    for key in THREADS[platform]:
        text += f'parameters {{ key: "{key}" value {{ string_value: "1" }} }}\n'
    assert replace[0] in text
    folder.joinpath("config.pbtxt").write_text(text.replace(*replace) if replace[0] else text)


AddModel = Callable[..., Path]


@pytest.fixture(scope="session")
def add_model(tmp_path_factory: pytest.TempPathFactory) -> AddModel:
    """Adds `lookup` of a platform to a repository, under a name and with one change to its config."""
    built: dict[str, Path] = {}

    def add(repository: Path, platform: str, name: str, replace: tuple[str, str] = ("", "")) -> Path:
        if platform not in built:
            built[platform] = tmp_path_factory.mktemp(platform)
            framework = FRAMEWORK[platform]
            if framework:
                run_script(framework, Path(__file__).name, platform, built[platform])
            else:
                SAVE[platform](built[platform])
        (repository / name / "1").mkdir(parents=True)
        artefact = next(built[platform].iterdir())
        (repository / name / "1" / artefact.name).symlink_to(artefact)
        write_config(repository / name, platform, replace)
        return repository / name / "1" / artefact.name

    return add


@pytest.fixture(scope="session")
def names() -> dict[str, tuple[str, ...]]:
    """The names of x, index, y and rows on each platform."""
    return NAMES


@pytest.fixture(scope="session")
def distribution() -> Distribution:
    return lay_out()


@pytest.fixture(scope="module")
def new_triton(
    distribution: Distribution, free_ports: Callable[[int], list[int]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., TritonServer]]:
    """Makes a TritonServer over a repository, not started; whatever a test started is stopped after the module."""
    servers = []

    def build(repository: Path, models: tuple[str, ...] = ()) -> TritonServer:
        log_file = tmp_path_factory.mktemp("log") / "triton.log"
        servers.append(TritonServer(distribution, TritonSettings(repository, log_file, *free_ports(3), models=models)))
        return servers[-1]

    yield build
    for server in servers:
        server.stop()


if __name__ == "__main__":
    SAVE[sys.argv[1]](Path(sys.argv[2]))
