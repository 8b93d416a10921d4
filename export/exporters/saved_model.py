"""TensorFlow SavedModels: one frozen graph under serving_default, and no other file in the folder.

tf.saved_model.save would add functions that read and write checkpoints, a random fingerprint, and variables that every
call reads again. A graph whose weights are constants has none of these: the same network gives the same bytes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import repository, tensorflow_runtime
from exporters.config import Config, Signature, Tensor
from exporters.errors import ArtefactRefusedError, WeightsInvalidError, first_line
from exporters.golden import Golden
from exporters.parity import require_agreement
from exporters.repository import Exported
from exporters.weights import Provenance

FILENAME = "model.savedmodel"
_GRAPH_FILE = "saved_model.pb"
# Lists of tensors are how loops keep what they make (tf.map_fn), and these operations carry them into and out of loops.
_LISTS = ("TensorList", "EmptyTensorList")
_CARRYING = (
    "Enter",
    "Exit",
    "Identity",
    "Merge",
    "NextIteration",
    "Placeholder",
    "StatelessIf",
    "StatelessWhile",
    "Switch",
)


def publish(
    model_dir: Path,
    serve: Callable[[Any], Mapping[str, Any]],
    config: Config,
    golden: Golden,
    provenance: Provenance,
    labels: Sequence[str] = (),
) -> Exported:
    """Publish a function of one tensor as a SavedModel. See `build` for serve, and repository.publish for the rest."""
    (tensor,) = config.inputs
    return repository.publish(
        model_dir,
        filename=FILENAME,
        build=lambda path: build(path, serve, tensor),
        config=config,
        golden=golden,
        provenance=provenance,
        labels=labels,
        verify=lambda path: verify(path, golden),
    )


def build(path: Path, serve: Callable[[Any], Mapping[str, Any]], tensor: Tensor, batch: int | None = None) -> None:
    """Write a SavedModel of a function of one tensor.

    Args:
        path: of the folder that is made.
        serve: maps a batch to tensors by output name; it calls a Keras network with training=False.
        tensor: the input, as in config.pbtxt.
        batch: the size of all batches; None: any.
    """
    tf = tensorflow_runtime.start()
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    dtype = {"TYPE_UINT8": tf.uint8, "TYPE_FP32": tf.float32}[tensor.data_type]
    signature = [tf.TensorSpec([batch, *tensor.dims], dtype, name=tensor.name)]

    def named(batch: Any) -> dict[str, Any]:
        return {name: tf.identity(value, name=name) for name, value in serve(batch).items()}

    concrete = tf.function(named, input_signature=signature, autograph=False).get_concrete_function()
    # tf.nest flattens a dict: the outputs of a frozen function are in the order of their names.
    frozen = convert_variables_to_constants_v2(concrete)
    graph = meta_graph_pb2.MetaGraphDef()
    graph.graph_def.CopyFrom(frozen.graph.as_graph_def())
    graph.meta_info_def.tags.append("serve")
    graph.meta_info_def.tensorflow_version = tf.__version__
    served = graph.signature_def["serving_default"]
    served.method_name = "tensorflow/serving/predict"
    _describe(served.inputs[tensor.name], frozen.inputs[0])
    for name, output in zip(sorted(concrete.structured_outputs), frozen.outputs, strict=True):
        _describe(served.outputs[name], output)
    path.mkdir()
    model = saved_model_pb2.SavedModel(saved_model_schema_version=1, meta_graphs=[graph])
    (path / _GRAPH_FILE).write_bytes(model.SerializeToString(deterministic=True))


def _describe(info: Any, tensor: Any) -> None:
    info.name = tensor.name
    info.dtype = tensor.dtype.as_datatype_enum
    info.tensor_shape.CopyFrom(tensor.shape.as_proto())


def refuse_dangerous(path: Path) -> None:
    """Refuse a SavedModel that could do more than arithmetic when it is loaded or called.

    Operations that read or write files take their names as strings, and everything else with an effect (Python
    callbacks, prints, variables, random numbers) is registered as stateful in TensorFlow. A network needs neither.

    Raises:
        ArtefactRefusedError: names the operation, or the file beside the graph.
    """
    others = sorted(file.name for file in path.rglob("*") if file.is_file() and file != path / _GRAPH_FILE)
    if others:
        raise ArtefactRefusedError(f"{path.name} holds {others[0]}: the weights belong in the graph")
    outward = sorted({node.op for node in _nodes(path) if reaches_outside(node)})
    if outward:
        raise ArtefactRefusedError(f"{path.name} uses {', '.join(outward)}: a network needs arithmetic only")


def signature(path: Path, config: Any) -> Signature:
    """The inputs and outputs of a SavedModel; its ModelConfig message is not needed."""
    tf = tensorflow_runtime.start()
    served = meta_graphs(path)[0].signature_def["serving_default"]

    def described(infos: Mapping[str, Any]) -> dict[str, tuple[str, list[int | None]]]:
        return {
            name: (
                np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype).name,
                [None if dim.size == -1 else int(dim.size) for dim in info.tensor_shape.dim],
            )
            for name, info in infos.items()
        }

    return {"inputs": described(served.inputs), "outputs": described(served.outputs)}


def meta_graphs(path: Path) -> Sequence[Any]:
    """The MetaGraphDef messages of a SavedModel."""
    tensorflow_runtime.start()
    from tensorflow.core.protobuf import saved_model_pb2

    graphs: Sequence[Any] = saved_model_pb2.SavedModel.FromString((path / _GRAPH_FILE).read_bytes()).meta_graphs
    return graphs


def _nodes(path: Path) -> Iterator[Any]:
    for graph in meta_graphs(path):
        yield from graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield from function.node_def


def reaches_outside(node: Any) -> bool:
    """Whether an operation could do more than arithmetic on its inputs, lists of tensors included."""
    from tensorflow.core.framework import types_pb2
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    if definition is None or definition.is_stateful:
        return True
    if node.op.startswith(_LISTS):
        return False
    types = {argument.type for argument in (*definition.input_arg, *definition.output_arg)}
    for value in node.attr.values():
        types |= {value.type, *value.list.type}
    if node.op in _CARRYING:
        types.discard(types_pb2.DT_VARIANT)
    return not types.isdisjoint({types_pb2.DT_STRING, types_pb2.DT_RESOURCE, types_pb2.DT_VARIANT})


def answer(path: Path, name: str, batch: npt.NDArray[np.generic]) -> dict[str, npt.NDArray[np.generic]]:
    """Load a SavedModel in TensorFlow and call it.

    Args:
        path: of its folder.
        name: of the input.
        batch: [N, ...].

    Returns:
        Arrays by output name, [N, ...] each.
    """
    tf = tensorflow_runtime.start()
    loaded = tf.saved_model.load(str(path))
    outputs = loaded.signatures["serving_default"](**{name: tf.constant(batch)})
    return {name: value.numpy() for name, value in outputs.items()}


def served_answer(path: Path, name: str, batch: npt.NDArray[np.generic]) -> dict[str, npt.NDArray[np.generic]]:
    """Call a SavedModel as Modelport's Triton backend does: by OpenVINO. Arguments and result are those of `answer`."""
    import openvino

    network = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = network({name: batch})
    return {name: value for output, value in outputs.items() for name in output.names}


def verify(path: Path, golden: Golden) -> None:
    """Check that a SavedModel with one input is harmless, and answers as its network in TensorFlow and in OpenVINO.

    Raises:
        ArtefactRefusedError: one of these does not hold.
    """
    refuse_dangerous(path)
    ((name, value),) = golden.inputs.items()
    require_agreement(answer(path, name, value[np.newaxis]), golden)
    require_agreement(served_answer(path, name, value[np.newaxis]), golden)


def load_network(build: Callable[[], Any], weights: Path, seed: int) -> Any:
    """Build a network and load a .weights.h5 file into it. The seed is that of the random numbers after it.

    Raises:
        WeightsInvalidError: the file is damaged or belongs to another network.
    """
    tensorflow_runtime.start(seed)
    network = build()
    try:
        network.load_weights(weights)
    except (OSError, ValueError, KeyError) as exc:
        raise WeightsInvalidError(
            f"{weights.name} does not fit the network {network.name} ({first_line(exc)})"
        ) from exc
    return network
