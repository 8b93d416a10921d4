"""Small ONNX classifiers as users have them, with weights from a fixed seed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper


def save_classifier(
    path: Path,
    *,
    dtype: type = np.float32,
    batch: str | int = "N",
    nhwc: bool = False,
    softmax: bool = False,
    channels: int = 3,
    classes: int = 6,
    size: tuple[int | str, int | str] = (32, 32),
    opset: int = 17,
    fixed_reshape: bool = False,
    domain: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A convolution, a mean and a dense layer. A fixed reshape makes one row of any batch."""
    generator = np.random.default_rng(7)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes, data = [], "x"
    if nhwc:
        nodes.append(helper.make_node("Transpose", [data], ["first"], perm=[0, 3, 1, 2]))
        data = "first"
    logits = "logits" if softmax else "y"
    flatten = (
        helper.make_node("Reshape", ["mean", "row"], ["flat"])
        if fixed_reshape
        else helper.make_node("Flatten", ["mean"], ["flat"], axis=1)
    )
    nodes += [
        helper.make_node("Conv", [data, "kernel"], ["maps"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["active"], domain=domain),
        helper.make_node("GlobalAveragePool", ["active"], ["mean"]),
        flatten,
        helper.make_node("MatMul", ["flat", "dense"], [logits]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", [logits], ["y"], axis=1))
    shape = [batch, *size, channels] if nhwc else [batch, channels, *size]
    weights = [
        numpy_helper.from_array((generator.normal(size=(8, channels, 3, 3)) / 9).astype(dtype), "kernel"),
        numpy_helper.from_array(generator.normal(size=(8, classes)).astype(dtype), "dense"),
        numpy_helper.from_array(np.array([1, 8]), "row"),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, [batch, classes])],
        weights,
    )
    domains = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=domains, ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, path)
    return path


def save_autoencoder(path: Path, shape: tuple[int, ...] = (8,)) -> Path:
    """A window times 0.5."""
    dims = ",".join(map(str, shape))
    text = f"""<ir_version: 8, opset_import: ["": 17]>
    autoencoder (float[N,{dims}] series) => (float[N,{dims}] rebuilt) <float half = {{0.5}}> {{
      rebuilt = Mul(series, half)
    }}"""
    onnx.save(onnx.parser.parse_model(text), path)
    return path
