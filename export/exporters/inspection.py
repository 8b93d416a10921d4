"""`python -m exporters.inspection MODEL_DIR ...`: what the newest artefact of each model takes and gives, as JSON.

It runs in the environment of the artefact's framework, which whoever asks does not need to have. An artefact that does
more than arithmetic is refused before anything else is done with it.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporters.conversion import FILENAME
from exporters.errors import ArtefactRefusedError
from exporters.repository import versions

_PROBE_BATCH = 2

# name -> [dtype, shape with the batch dimension; null where any size will do]
Signature = dict[str, dict[str, tuple[str, list[int | None]]]]


def read_config(path: Path) -> Any:
    """A config.pbtxt as Triton's ModelConfig."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


def _dtype(tensor: Any) -> np.dtype[Any]:
    from tritonclient.grpc import model_config_pb2
    from tritonclient.utils import triton_to_np_dtype

    found: np.dtype[Any] = np.dtype(
        triton_to_np_dtype(model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_"))
    )
    return found


def read_inputs(config: Path) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape without the batch dimension, and dtype, of the inputs of a TorchScript model, in the order of forward."""
    ordered = sorted(read_config(config).input, key=lambda tensor: int(tensor.name.rpartition("__")[2]))
    return [(tuple(tensor.dims), _dtype(tensor)) for tensor in ordered]


def _saved_model(version_dir: Path, config: Any) -> Signature:
    from exporters import saved_model, tensorflow_runtime

    path = version_dir / saved_model.FILENAME
    saved_model.refuse_dangerous(path)
    tf = tensorflow_runtime.start()
    from tensorflow.core.protobuf import saved_model_pb2

    content = (path / "saved_model.pb").read_bytes()
    served = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].signature_def["serving_default"]

    def described(infos: Mapping[str, Any]) -> dict[str, tuple[str, list[int | None]]]:
        return {
            name: (
                np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype).name,
                [None if dim.size == -1 else int(dim.size) for dim in info.tensor_shape.dim],
            )
            for name, info in infos.items()
        }

    return {"inputs": described(served.inputs), "outputs": described(served.outputs)}


def _torchscript(version_dir: Path, config: Any) -> Signature:
    """TorchScript keeps names of arguments only: types and shapes show when a batch of zeros is given to it."""
    from exporters import torchscript

    path = version_dir / FILENAME
    torchscript.refuse_dangerous(path)
    import torch

    loaded = torchscript.load_artefact(path)
    names = [argument.name for argument in loaded.forward.schema.arguments][1:]
    zeros = [np.zeros([_PROBE_BATCH, *(max(d, 1) for d in tensor.dims)], _dtype(tensor)) for tensor in config.input]
    with torch.inference_mode():
        answer = loaded(*map(torch.from_numpy, zeros))
    answers = list(answer) if isinstance(answer, tuple | list) else [answer]
    # PyTorch's backend tells outputs by the number at the end of their names.
    outputs = sorted(config.output, key=lambda output: int(output.name.rpartition("__")[2]))

    def batched(value: Any) -> tuple[str, list[int | None]]:
        rows, *dims = value.shape or (0,)
        return value.dtype.name, [None if rows == _PROBE_BATCH else rows, *dims]

    return {
        "inputs": {name: batched(value) for name, value in zip(names, zeros, strict=True)},
        "outputs": {output.name: batched(value.numpy()) for output, value in zip(outputs, answers, strict=True)},
    }


SIGNATURES: Mapping[str, Callable[[Path, Any], Signature]] = {
    "pytorch_libtorch": _torchscript,
    "tensorflow_savedmodel": _saved_model,
}


def inspect(model_dir: Path) -> Mapping[str, Any]:
    """The signature of the newest artefact by config.pbtxt, or why it has none.

    Returns:
        {"inputs": ..., "outputs": ...}, {"refused": reason} where it is dangerous, or {"unreadable": reason}.
    """
    try:
        config = read_config(model_dir / "config.pbtxt")
        return SIGNATURES[config.platform](model_dir / str(versions(model_dir)[-1]), config)
    except ArtefactRefusedError as exc:
        return {"refused": str(exc)}
    except Exception as exc:  # whatever a framework makes of a damaged file
        return {"unreadable": (str(exc).strip() or type(exc).__name__).partition("\n")[0]}


def main(folders: Sequence[str]) -> int:
    """One line of JSON a folder."""
    for folder in folders:
        sys.stdout.write(json.dumps(inspect(Path(folder))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
