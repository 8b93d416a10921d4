"""PyTorch networks, whatever file they are from: they are looked at, wrapped and traced."""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from exporters.adding import looking, naive, torch_graphs
from exporters.adding.plan import Description, Fact, Hints, Plan, TensorType
from exporters.adding.torch_calls import DTYPES, INPUT, Accepted, Shape, call, in_single_precision, named, takes
from exporters.errors import ArtefactRefusedError, UnclearModelError, last_line
from exporters.torchscript import deprecated_but_served


def described(network: Any, form: str, accepts: Accepted, metadata: Mapping[str, Any], hints: Hints) -> Description:
    """Describe a network. Of images and with an output [N,classes] it is a classifier; with others, a detector.

    Args:
        network: in evaluation mode.
        form: key of FORMATS.
        accepts: an input that it takes.
        metadata: that its file holds.
        hints: of the user.
    """
    shape = (1 if accepts.fixed_batch else 2, *accepts.shape[1:])
    batch = looking.noise(shape, accepts.dtype)
    largest, batches = (1, _FIXED) if accepts.fixed_batch else looking.max_batch_size(lambda a: call(network, a), batch)
    outputs = call(network, batch[:1])
    image = len(accepts.shape) == 4
    sizes = tuple(None if accepts.any_size and side > 3 else side for side in accepts.shape[1:])
    types: dict[str, TensorType] = {name: (one.dtype.name, (None, *one.shape[1:])) for name, one in outputs.items()}
    found = Description(
        format=form,
        platform="pytorch_libtorch",
        inputs={INPUT: (accepts.dtype, (None if largest > 1 else 1, *sizes))},
        outputs=types,
        metadata=metadata,
        max_batch_size=largest,
        facts=(batches,),
    )
    if accepts.dtype in ("float16", "float64"):
        value = Fact("precision", accepts.dtype, "found by trying: the artefact converts to and from it")
        found = dataclasses.replace(found, facts=(*found.facts, value))
    if not image:
        return found
    found = _of_images(found, accepts)
    (first, answer), *others = outputs.items()
    if hints.task != "detection" and (answer.ndim == 2 or (answer.ndim == 4 and answer.shape[2:] == (1, 1))):
        activation, fact = looking.activation(answer.reshape(len(answer), -1))
        facts = [*found.facts, fact]
        if others:
            facts.append(Fact("output read", first, f"one of {', '.join(outputs)}", False, "--output"))
        return dataclasses.replace(
            found, classes=answer.size // len(answer), scores=first, activation=activation, facts=tuple(facts)
        )
    return torch_graphs.describe(network, found, accepts, hints)


_FIXED = Fact("batches", "one input at a time", "the file states a batch of one")


def _of_images(found: Description, accepts: Accepted) -> Description:
    height, width = accepts.shape[2:] if accepts.layout == "nchw" else accepts.shape[1:3]
    facts = [Fact("layout", accepts.layout, "found by trying")]
    chosen = accepts.any_size and not accepts.stated
    if chosen:
        facts.append(Fact("input size", "any", "the network takes those that were tried", True, "--size"))
    else:
        source = "stated; the network takes others, too" if accepts.any_size else "the network takes no other"
        facts.append(Fact("input size", f"{height}x{width}", source))
    own = accepts.dtype == "uint8"
    if own:
        facts.append(Fact("scaling", "in the model", "it takes UINT8: it scales pixels itself"))
    return dataclasses.replace(
        found,
        layout=accepts.layout,
        channels=accepts.shape[1 if accepts.layout == "nchw" else 3],
        size_hw=None if chosen else (height, width),
        mean=(0.0,) if own else None,
        std=(1.0,) if own else None,
        facts=(*found.facts, *facts),
    )


def build(network: Any, plan: Plan, artefact: Path) -> None:
    """Write the artefact: model.pt of a classifier, model.onnx of anything else.

    Raises:
        ArtefactRefusedError: it cannot be converted.
        UnclearModelError: it does not take what the plan says.
    """
    import torch

    accepts = _planned(network, plan)
    if plan.platform == "onnxruntime_onnx":
        torch_graphs.build(network, accepts, plan, artefact)
        return
    served = _served(*in_single_precision(network, accepts), plan)
    served.training = False  # a program's module has no eval()
    blank = torch.zeros(2 if plan.max_batch_size > 1 else 1, *plan.size_hw, 3, dtype=torch.uint8)
    with torch.no_grad(), deprecated_but_served(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        try:
            traced = torch.jit.trace(served, blank, check_trace=False)
            torch.jit.freeze(traced).save(str(artefact))
        except Exception as exc:
            raise ArtefactRefusedError(
                f"PyTorch cannot trace the model with scaling around it ({last_line(exc)}): export it to ONNX"
            ) from exc


def _planned(network: Any, plan: Plan) -> Accepted:
    """The type and shape that a network takes for what is planned."""
    if plan.task == "anomaly":
        shapes: list[Shape] = [(1, plan.length), (1, 1, plan.length), (1, plan.length, 1)]
        what = f"windows of {plan.length} numbers"
    else:
        nchw = plan.layout == "nchw"
        shapes = [(1, plan.channels, *plan.size_hw) if nchw else (1, *plan.size_hw, plan.channels)]
        what = f"images of {plan.size_hw[0]}x{plan.size_hw[1]} with {plan.channels} channels"
    for dtype in DTYPES:
        for shape in shapes:
            if takes(network, dtype, shape):
                return Accepted(dtype, shape)
    raise UnclearModelError(f"the model does not take {what}: correct --size or --layout")


def _served(network: Any, dtype: str, plan: Plan) -> Any:
    """A classifier of the artefact's input and output."""
    import torch

    kind = getattr(torch, dtype)

    class Images(torch.nn.Module):  # type: ignore[misc]  # torch is in another environment than mypy
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.mean = torch.nn.Buffer(torch.tensor(plan.mean[: plan.channels]).view(1, -1, 1, 1))
            self.std = torch.nn.Buffer(torch.tensor(plan.std[: plan.channels]).view(1, -1, 1, 1))
            self.grey = torch.nn.Buffer(torch.tensor(naive.GREY).view(1, 3, 1, 1))

        def forward(self, images__0: torch.Tensor) -> torch.Tensor:
            pixels = images__0.permute(0, 3, 1, 2).to(torch.float32)
            if plan.channels == 1:
                pixels = (pixels * self.grey).sum(1, keepdim=True)
            if plan.channel_order == "bgr":
                pixels = pixels.flip(1)
            pixels = (pixels - self.mean) / self.std
            pixels = pixels if plan.layout == "nchw" else pixels.permute(0, 2, 3, 1)
            answer = named(self.network(pixels.to(kind)))[plan.original_outputs[0]]
            classes = answer.to(torch.float32).flatten(1)
            return torch.softmax(classes, dim=1) if plan.activation == "softmax" else classes

    return Images()


def reference(network: Any, plan: Plan, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """The network's own answers. See exporters.adding.formats."""
    accepts = _planned(network, plan)
    return looking.answers(plan, samples, lambda row: call(network, row.reshape(accepts.shape).astype(accepts.dtype)))
