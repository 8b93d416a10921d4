"""PyTorch networks as ONNX graphs: detectors, whose heads are decoded there, and all that is no classifier."""

import dataclasses
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnx

from exporters.adding import looking, onnx_files
from exporters.adding.plan import Description, Hints, Plan
from exporters.adding.torch_calls import INPUT, Accepted, in_single_precision, named
from exporters.errors import ArtefactRefusedError, last_line
from exporters.torchscript import deprecated_but_served

_OPSET = 17
_SIDE = 640  # of the input of a detector that takes any


def describe(network: Any, found: Description, accepts: Accepted, hints: Hints) -> Description:
    """What is seen of a detector's ONNX graph, which is what is served."""
    shape = accepts.shape
    if accepts.any_size and not accepts.stated:
        shape = tuple(_SIDE if side > 3 else side for side in shape)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        to_onnx(network, dataclasses.replace(accepts, shape=shape), found.max_batch_size > 1, target)
        stated = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in found.metadata.items()
        }
        model = onnx.load(target)
        onnx.helper.set_model_props(model, stated)
        onnx.save(model, target)
        seen = onnx_files.describe(target, hints)
    facts = [fact for fact in found.facts if fact.what not in {one.what for one in seen.facts}]
    own = {name: value for name, value in vars(found).items() if value is not None and name in _KEPT}
    return dataclasses.replace(seen, **own, facts=(*facts, *seen.facts))


# Of the network itself, not of its conversion.
_KEPT = ("format", "metadata", "layout", "channels", "size_hw", "mean", "std", "max_batch_size")


def to_onnx(network: Any, accepts: Accepted, batches: bool, target: Path) -> None:
    """Convert a network to ONNX. The input is called images, the outputs output0, output1 and so on.

    Raises:
        ArtefactRefusedError: PyTorch cannot convert it.
    """
    import torch

    network, dtype = in_single_precision(network, accepts)
    example = torch.from_numpy(looking.noise((2 if batches else 1, *accepts.shape[1:]), dtype))
    with torch.inference_mode(), deprecated_but_served(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            names = list(named(network(example)))
            traced = network if isinstance(network, torch.jit.ScriptModule) else torch.jit.trace(network, example)
            torch.onnx.export(
                traced,
                (example,),
                str(target),
                dynamo=False,
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=names,
                dynamic_axes={name: {0: "batch"} for name in (INPUT, *names)} if batches else None,
            )
        except Exception as exc:  # those of PyTorch's exporter have no common base
            raise ArtefactRefusedError(
                f"PyTorch cannot convert this model to ONNX, as which it would be served ({last_line(exc)}): export "
                "it to ONNX from the framework that it was trained in, and add that file"
            ) from exc


def build(network: Any, accepts: Accepted, plan: Plan, artefact: Path) -> None:
    """Write model.onnx."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        to_onnx(network, accepts, plan.max_batch_size > 1, target)
        onnx_files.build(target, plan, artefact)
