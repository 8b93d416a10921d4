"""`python -m exporters.inspection MODEL_DIR ...`: what the newest artefact of each model takes and gives, as JSON.

It runs in the environment of the artefact's framework, which whoever asks does not need to have. An artefact that does
more than arithmetic is refused before anything else is done with it.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporters.conversion import FILENAME, last_line
from exporters.errors import ArtefactRefusedError
from exporters.repository import versions

_PROBE_BATCH = 2

# name -> [dtype, shape with the batch dimension; null where any size will do]
Signature = dict[str, dict[str, tuple[str, list[int | None]]]]


def _read_config(path: Path) -> Any:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    try:
        return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as exc:
        raise ArtefactRefusedError(f"{path.name} is no ModelConfig ({str(exc).splitlines()[0]})") from exc


def _dtype(tensor: Any) -> np.dtype[Any]:
    from tritonclient.grpc import model_config_pb2
    from tritonclient.utils import triton_to_np_dtype

    name = model_config_pb2.DataType.Name(tensor.data_type)
    found = triton_to_np_dtype(name.removeprefix("TYPE_"))
    if found is None:
        raise ArtefactRefusedError(f"tensor '{tensor.name}': {name} is not supported, use a number type")
    dtype: np.dtype[Any] = np.dtype(found)
    return dtype


def _index(tensor: Any) -> int:
    """The number at the end of a name: TorchScript's tensors have no names, and PyTorch's backend goes by it."""
    match = re.fullmatch(r".+__(\d+)", tensor.name)
    if match is None:
        raise ArtefactRefusedError(f"tensor '{tensor.name}' must be written NAME__INDEX, such as {tensor.name}__0")
    return int(match[1])


def read_inputs(config: Path) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape without the batch dimension, and dtype, of the inputs of a TorchScript model, in the order of forward.

    Raises:
        ArtefactRefusedError: config.pbtxt does not parse, or has a tensor that no TorchScript model takes.
    """
    return _inputs(_read_config(config))


def _inputs(config: Any) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    return [(tuple(tensor.dims), _dtype(tensor)) for tensor in sorted(config.input, key=_index)]


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
    zeros = [np.zeros([_PROBE_BATCH, *(max(size, 1) for size in dims)], dtype) for dims, dtype in _inputs(config)]
    with torch.inference_mode():
        answer = loaded(*map(torch.from_numpy, zeros))
    answers = list(answer) if isinstance(answer, tuple | list) else [answer]
    outputs = sorted(config.output, key=_index)

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
        config = _read_config(model_dir / "config.pbtxt")
        return SIGNATURES[config.platform](model_dir / str(versions(model_dir)[-1]), config)
    except ArtefactRefusedError as exc:
        return {"refused": str(exc)}
    except Exception as exc:  # whatever a framework makes of a damaged file
        return {"unreadable": last_line(exc)}


def main(folders: Sequence[str]) -> int:
    """One line of JSON a folder."""
    for folder in folders:
        sys.stdout.write(json.dumps(inspect(Path(folder))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
