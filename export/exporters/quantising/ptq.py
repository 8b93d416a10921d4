"""Post-training quantisation to int8 by NNCF, of networks as OpenVINO reads them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from exporters.errors import ArtefactRefusedError, last_line
from exporters.quantising.batches import Arrays

# What is worth quantising: sums of many products with weights.
_WEIGHTED = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}
)
_NO_LAYER = frozenset({"Constant", "Parameter", "Result"})


def quantise(model: Any, calibration: Sequence[Arrays]) -> Any:
    """Quantise a network with the mixed preset (symmetric weights, asymmetric activations) and bias correction.

    What lies before the first and behind the last layer with weights stays fp32: the scaling of pixels, softmax, the
    decoding and selection of boxes.

    Args:
        model: an openvino.Model; it is not changed.
        calibration: batches of inputs by name.

    Raises:
        ArtefactRefusedError: the network has no layer with weights, or NNCF cannot quantise it.
    """
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    if not weighted_layers(model):
        raise ArtefactRefusedError("the model has no layer that can be quantised (convolution or matrix product)")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    try:
        return nncf.quantize(
            model.clone(),
            nncf.Dataset(list(calibration)),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(calibration),
            ignored_scope=nncf.IgnoredScope(names=sorted(outside(model)), validate=False),
            # the whole range that calibration saw: NNCF's mean of each input's range cuts off what makes a box sure
            advanced_parameters=AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )
    except Exception as exc:  # NNCF's and OpenVINO's have no common base
        raise ArtefactRefusedError(f"NNCF cannot quantise it ({type(exc).__name__}: {last_line(exc)})") from exc


def weighted_layers(model: Any) -> list[str]:
    """The names of layers that multiply by weights."""
    return [op.get_friendly_name() for op in model.get_ordered_ops() if is_weighted(op)]


def quantised_layers(model: Any) -> int:
    """How many layers of a quantised network multiply by int8 weights."""
    return sum(is_weighted(op) and any(map(_is_int8, inputs_of(op))) for op in model.get_ordered_ops())


def outside(model: Any) -> set[str]:
    """The names of operations before the first and behind the last layer with weights.

    The addition of a bias belongs to its layer: NNCF corrects it.
    """
    ordered = model.get_ordered_ops()
    below: set[str] = set()  # layers with weights, and what is behind one
    above: set[str] = set()  # layers with weights, and what is before one
    for op in ordered:
        if is_weighted(op) or {source.get_friendly_name() for source in inputs_of(op)} & below:
            below.add(op.get_friendly_name())
    for op in reversed(ordered):
        if is_weighted(op) or {target.get_friendly_name() for target in targets_of(op)} & above:
            above.add(op.get_friendly_name())
    return {
        op.get_friendly_name()
        for op in ordered
        if op.get_type_name() not in _NO_LAYER and not is_bias(op) and op.get_friendly_name() not in below & above
    }


def inputs_of(op: Any) -> list[Any]:
    """The operations that give an operation its inputs."""
    return [value.get_node() for value in op.input_values()]


def targets_of(op: Any) -> list[Any]:
    """The operations that take an operation's outputs."""
    return [use.get_node() for output in op.outputs() for use in output.get_target_inputs()]


def is_weighted(op: Any) -> bool:
    """Whether an operation is a layer, which multiplies by weights."""
    return op.get_type_name() in _WEIGHTED and any(map(is_constant, inputs_of(op)))


def is_bias(op: Any) -> bool:
    """Whether an operation adds a layer's bias."""
    return op.get_type_name() == "Add" and any(map(is_weighted, inputs_of(op))) and any(map(is_constant, inputs_of(op)))


def is_constant(op: Any) -> bool:
    """Whether an operation gives the same in every inference."""
    return op.get_type_name() == "Constant" or (bool(inputs_of(op)) and all(map(is_constant, inputs_of(op))))


def _is_int8(op: Any) -> bool:
    """Whether an operation gives weights that are stored as int8, or rounded to it."""
    if not is_constant(op):
        return False
    stored = op.get_type_name() == "Constant" and op.get_element_type().get_type_name() in ("i8", "u8")
    return stored or op.get_type_name() == "FakeQuantize" or any(map(_is_int8, inputs_of(op)))
