"""A slow network with one thread is compiled for one row; all others take a batch together."""

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


def order(kind, specs, found):
    """The places of tensors by their names."""
    return [next(place for place, tensor in enumerate(found) if spec.name in tensor.names) for spec in specs]


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

    network = backend.Network(tmp_path / "model.onnx", threads, inputs, outputs, batches, order)
    answer = network.run({"x": X, "index": INDEX})
    np.testing.assert_array_equal(answer["y"], X * TABLE[INDEX])
    np.testing.assert_array_equal(answer["rows"], np.full_like(INDEX, together))


def test_a_network_that_fails_for_zeros_loads_and_takes_its_batch_together(backend, tmp_path, monkeypatch):
    import onnx
    from modelport_backend import TensorSpec

    monkeypatch.setattr(backend, "SLOW_ROW_S", 0.0)
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]> reshaped (int64[N,1] width, float[N,4] x) => (float[N,4] y) <
          int64[1] zero = {0}, int64[1] three = {3}, int64[1] all = {-1}> {
            first = Gather(width, zero)
            flat = Reshape(first, all)
            columns = Add(flat, three)
            shape = Concat<axis: int = 0>(all, columns)
            y = Reshape(x, shape)
        }"""
    )
    onnx.save(model, tmp_path / "model.onnx")
    inputs = TensorSpec("width", "int64", (1,)), TensorSpec("x", "float32", (4,))
    outputs = (TensorSpec("y", "float32", (4,)),)

    network = backend.Network(tmp_path / "model.onnx", 1, inputs, outputs, True, order)
    assert not network.row_by_row
    np.testing.assert_array_equal(network.run({"width": np.ones((3, 1), np.int64), "x": X})["y"], X)
