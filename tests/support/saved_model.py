"""Changes a saved_model.pb in place, in TensorFlow's environment.

`saved_model.py swap FILE CLASS CLASS` gives two of the ten classes of the digits' network each other's place;
`saved_model.py overflow FILE` makes its answer to all but a black image infinite or no number;
`saved_model.py add FILE OPERATION` adds a node to the graph.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow.core.protobuf import saved_model_pb2


def swap(graph: Any, one: str, other: str) -> None:
    """By the weights of the last layer."""
    order = list(range(10))
    order[int(one)], order[int(other)] = int(other), int(one)
    for node in graph.node:
        tensor = node.attr["value"].tensor
        shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
        if node.op == "Const" and shape in ((64, 10), (10,)):
            values = np.frombuffer(tensor.tensor_content, np.float32).reshape(shape)
            tensor.tensor_content = np.ascontiguousarray(values[..., order]).tobytes()


def overflow(graph: Any) -> None:
    """By the weights of the first layer."""
    for node in graph.node:
        tensor = node.attr["value"].tensor
        shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
        if node.op == "Const" and shape[:3] == (3, 3, 1):
            values = np.frombuffer(tensor.tensor_content, np.float32)
            tensor.tensor_content = np.where(values < 0, -1e38, 1e38).astype(np.float32).tobytes()


def add(graph: Any, operation: str) -> None:
    graph.node.add(name="added", op=operation)


if __name__ == "__main__":
    change, file, *arguments = sys.argv[1:]
    model = saved_model_pb2.SavedModel.FromString(Path(file).read_bytes())
    {"swap": swap, "overflow": overflow, "add": add}[change](model.meta_graphs[0].graph_def, *arguments)
    Path(file).write_bytes(model.SerializeToString(deterministic=True))
