"""A slow network with one thread is compiled for one row; all others take a batch together."""

from __future__ import annotations

import numpy as np
import pytest
from lookup_model import TABLE, save_onnx

INDEX = np.array([[3], [0], [2]], np.int32)
X = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def backend(distribution, monkeypatch):
    """triton/backends/openvino_model.py, which finds its modules as in a stub."""
    monkeypatch.syspath_prepend(distribution.backends / "python")
    import openvino_model

    return openvino_model


@pytest.mark.parametrize(
    ("slow", "threads", "batches", "dims", "together"),
    [
        pytest.param(True, 1, True, (4,), 1, id="slow, with one thread"),
        pytest.param(True, 2, True, (4,), 3, id="slow, with two threads"),
        pytest.param(True, 1, False, (4,), 3, id="slow, and its first dimension is no batch"),
        pytest.param(True, 1, True, (-1,), 3, id="slow, and of unknown size"),
        pytest.param(False, 1, True, (4,), 3, id="fast, with one thread"),
    ],
)
def test_rows_are_answered_alike_one_by_one_and_together(
    backend, tmp_path, monkeypatch, slow, threads, batches, dims, together
):
    from modelport_backend import TensorSpec

    monkeypatch.setattr(backend, "SLOW_ROW_S", 0.0 if slow else 60.0)
    save_onnx(tmp_path)
    inputs = TensorSpec("x", "float32", dims), TensorSpec("index", "int32", (1,))
    outputs = TensorSpec("y", "float32", (4,)), TensorSpec("rows", "int64", (1,))

    def order(kind: str, specs: list[TensorSpec], found: list[object]) -> list[int]:
        return [next(place for place, tensor in enumerate(found) if spec.name in tensor.names) for spec in specs]

    network = backend.Network(tmp_path / "model.onnx", threads, inputs, outputs, batches, order)
    answer = network.run({"x": X, "index": INDEX})
    np.testing.assert_array_equal(answer["y"], X * TABLE[INDEX])
    np.testing.assert_array_equal(answer["rows"], np.full_like(INDEX, together))
