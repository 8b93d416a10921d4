"""ONNX models of users: what they say of themselves, and their original's answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, ValueInfoProto, helper, inliner, numpy_helper

from exporters import heads
from exporters.adding import metadata, naive
from exporters.adding.graph import build_graph, inputs_of
from exporters.adding.plan import Description, Fact, Head, Hints, Layout, Plan, TensorType
from exporters.errors import ArtefactRefusedError, UnknownFormatError, first_line
from exporters.safety import refuse_dangerous_onnx

Arrays = dict[str, npt.NDArray[Any]]

# Operators that pass values on: what makes the values is before them.
_PASSING = {"Identity", "Cast", "Reshape", "Squeeze", "Flatten", "Unsqueeze", "Dropout"}
# What makes logits. LogSoftmax is among them: the softmax of logarithms of probabilities are the probabilities.
_NONE = Hints()
_LOGITS = {"Gemm", "MatMul", "Add", "Conv", "LogSoftmax", "GlobalAveragePool", "ReduceMean"}


def read(path: Path) -> ModelProto:
    """Read and check a model; nothing of it is run.

    Raises:
        UnknownFormatError: it is damaged.
        ArtefactRefusedError: it reads other files, or needs custom operators.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as exc:  # protobuf's errors have no common base with onnx's
        raise UnknownFormatError(f"{path.name} is not an ONNX model, or is damaged ({first_line(exc)})") from exc
    if not model.graph.node or not model.graph.output:
        raise UnknownFormatError(f"{path.name} is not an ONNX model, or is damaged: it has no operators")
    model = inliner.inline_local_functions(model) if model.functions else model
    refuse_dangerous_onnx(path.name, model)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as exc:
        raise UnknownFormatError(f"{path.name} is no valid ONNX model ({first_line(exc)}): export it again") from exc
    return _with_batch(model)


def _with_batch(model: ModelProto) -> ModelProto:
    """The model; one that takes a single image [3,H,W], as torchvision's detectors can, takes [1,3,H,W] then."""
    value = next(iter(inputs_of(model)))
    tensor = value.type.tensor_type
    if [dim.dim_value for dim in tensor.shape.dim][:1] == [3] and len(tensor.shape.dim) == 3:
        sizes = [dim.dim_value or dim.dim_param or None for dim in tensor.shape.dim]
        images, first = f"{value.name} with a batch", f"{value.name} index"
        model.graph.node.insert(0, helper.make_node("Gather", [images, first], [value.name], axis=0))
        model.graph.initializer.append(numpy_helper.from_array(np.array(0), first))
        value.CopyFrom(helper.make_tensor_value_info(images, tensor.elem_type, [1, *sizes]))
    return model


def describe(path: Path, hints: Hints = _NONE) -> Description:
    """What an ONNX file says of itself.

    Raises:
        ExportError: it is damaged, dangerous, or a kind of model that is not served.
    """
    model = read(path)
    inputs, outputs = tensors(heads.image_inputs(model)), tensors(model.graph.output)
    stated = metadata.read({entry.key: entry.value for entry in model.metadata_props})
    if len(inputs) != 1:
        raise UnknownFormatError(
            f"{path.name} has {len(inputs)} inputs ({', '.join(inputs)}): a model with the image as its only input is "
            "served; export it without the others"
        )
    ((name, (dtype, shape)),) = inputs.items()
    facts = [
        Fact("format", f"ONNX, opset {_opset(model)}", f"written by {model.producer_name or 'an unnamed tool'}"),
        Fact("input", f"{name} {dtype}{_text(shape)}", "the graph"),
        *(Fact("output", f"{name} {kind}{_text(dims)}", "the graph") for name, (kind, dims) in outputs.items()),
    ]
    layout, channels, size = _image(model, name, shape, facts)
    found: dict[str, Any] = {"layout": layout, "channels": channels, "size_hw": size}
    if dtype == "uint8":
        found |= {"mean": (0.0,), "std": (1.0,)}
        facts.append(Fact("scaling", "in the model", "its input is uint8: it scales pixels itself"))
    found |= _classifier(model, outputs, facts)
    found |= {key: value for key, value in metadata.settled(stated, facts).items() if found.get(key) is None}
    return Description(
        "onnx",
        "onnxruntime_onnx",
        inputs,
        outputs,
        stated,
        heads=_heads(model, stated, hints) if len(shape) == 4 else (),
        facts=tuple(facts),
        **found,
    )


def _heads(model: ModelProto, stated: Mapping[str, Any], hints: Hints) -> tuple[Head, ...]:
    """The heads that a detector's outputs may be; none of a model that is said to be something else."""
    if hints.task not in (None, "detection"):
        return ()
    try:
        found = heads.recognise(model, stated, input_hw=hints.size_hw, labels=hints.labels, head=hints.head)
    except UnknownFormatError:
        if hints.task is None:  # it may be no detector at all
            return ()
        raise
    return tuple(found)


def build(path: Path, plan: Plan, artefact: Path) -> None:
    """Write the model whose input and outputs are those of a plan."""
    built = build_graph(read(path), plan)
    artefact.write_bytes(built.SerializeToString(deterministic=True))


def reference(path: Path, plan: Plan, samples: npt.NDArray[Any]) -> Arrays:
    """The original's answers by ONNX Runtime, one sample after another, with naive pre- and post-processing."""
    import onnxruntime

    model = read(path)
    ((name, (dtype, shape)),) = tensors(heads.image_inputs(model)).items()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        wanted = list(plan.original_outputs) or [output.name for output in session.get_outputs()]
        answers = []
        for sample in samples:
            given = naive.prepare(sample, plan).astype(dtype)
            if plan.task == "anomaly":
                given = given.reshape([1, *(size or -1 for size in shape[1:])])
            given = np.repeat(given, shape[0] or 1, axis=0)
            fed = _feed(session, given, plan) if plan.task == "detection" else {name: given}
            found = session.run(wanted, fed)
            batched = plan.head_options.get("max_batch_size") != 1
            rows = {output: value[:1] if batched else value for output, value in zip(wanted, found, strict=True)}
            answers.append(naive.present(rows, sample, plan))
    except Exception as exc:  # its exceptions have no common base
        raise ArtefactRefusedError(f"ONNX Runtime cannot run {path.name} ({first_line(exc)})") from exc
    return {key: np.stack([answer[key] for answer in answers]) for key in plan.outputs}


def _feed(session: Any, images: npt.NDArray[Any], plan: Plan) -> Arrays:
    """What the original takes: images, without a batch where it has none, and their sizes where it wants them."""
    (image,) = (value for value in session.get_inputs() if len(value.shape) > 2)
    others = [value for value in session.get_inputs() if value is not image]
    sizes = np.array([plan.size_hw[::-1]] * len(images))
    types = {"tensor(float)": np.float32, "tensor(int32)": np.int32}
    given = {other.name: sizes.astype(types.get(other.type, np.int64)) for other in others}
    return {image.name: images[0] if len(image.shape) == 3 else images, **given}


def tensors(values: Sequence[ValueInfoProto]) -> dict[str, TensorType]:
    """The types and shapes of the inputs or outputs of a graph; those that are no tensors are left out."""
    found: dict[str, TensorType] = {}
    for value in values:
        tensor = value.type.tensor_type
        if value.type.HasField("tensor_type") and tensor.elem_type:
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
            found[value.name] = (dtype, tuple(dim.dim_value or None for dim in tensor.shape.dim))
    return found


def _image(
    model: ModelProto, name: str, shape: tuple[int | None, ...], facts: list[Fact]
) -> tuple[Layout | None, int | None, tuple[int, int] | None]:
    """Layout, channels and size of an input of images; None for what the graph leaves open."""
    if len(shape) != 4:
        return None, None, None
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    layout: Layout | None = None
    if first != last:
        layout = "nchw" if first else "nhwc"
        facts.append(Fact("layout", layout, f"the shape of {name}"))
    elif (operator := _first_operator(model, name)) in ("Conv", "Transpose"):
        layout = "nchw" if operator == "Conv" else "nhwc"
        facts.append(Fact("layout", layout, f"the first operator, {operator}", operator == "Conv", "--layout"))
    if layout is None:
        return None, None, None
    height, width = shape[2:] if layout == "nchw" else shape[1:3]
    if height and width:
        facts.append(Fact("input size", f"{height}x{width}", f"the shape of {name}"))
    return layout, shape[1] if layout == "nchw" else shape[3], (height, width) if height and width else None


def _first_operator(model: ModelProto, name: str) -> str:
    """The operator that takes the input, after those that only calculate with single values."""
    while True:
        node = next((node for node in model.graph.node if name in node.input), None)
        if node is None or node.op_type not in ("Cast", "Identity", "Sub", "Div", "Mul", "Add"):
            return node.op_type if node else ""
        name = node.output[0]


def _classifier(model: ModelProto, outputs: Mapping[str, TensorType], facts: list[Fact]) -> dict[str, Any]:
    """The output that holds one score for each class, their number, and what makes probabilities of them."""
    scores = {
        name: dims[1]
        for name, (dtype, dims) in outputs.items()
        if dtype.startswith("float") and len(dims) >= 2 and dims[1] and all(size == 1 for size in dims[2:])
    }
    if not scores:
        return {}
    preferred = [name for name in scores if any(word in name.lower() for word in ("prob", "softmax"))]
    name = next(iter(preferred or scores))
    if len(scores) > 1:
        facts.append(Fact("output read", name, f"one of {', '.join(scores)}", bool(preferred), "--output"))
    operator = _maker(model, name)
    if operator in ("Softmax", "Sigmoid", "HardSigmoid"):
        facts.append(Fact("softmax", "in the model", f"its last operator is {operator}"))
        activation = "none"
    else:
        facts.append(
            Fact("softmax", "added", f"its last operator is {operator}: logits", operator in _LOGITS, "--softmax")
        )
        activation = "softmax"
    return {"classes": scores[name], "activation": activation, "scores": name}


def _maker(model: ModelProto, name: str) -> str:
    """The operator that calculates an output."""
    made = {output: node for node in model.graph.node for output in node.output}
    while (node := made.get(name)) is not None:
        if node.op_type not in _PASSING:
            return str(node.op_type)
        name = node.input[0]
    return "unknown"


def _opset(model: ModelProto) -> int:
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def _text(dims: Sequence[int | None]) -> str:
    return f" [{', '.join('?' if size is None else str(size) for size in dims)}]"
