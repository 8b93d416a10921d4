"""Post-training quantisation to int8 by NNCF, of networks as OpenVINO reads them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from exporters.errors import ArtefactRefusedError, last_line
from exporters.quantising.batches import Arrays

# What is worth quantising: sums of many products with weights.
_WEIGHTED = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}
)
RANKED = 60  # calibration batches by which the cost of each layer is estimated
_NO_LAYER = frozenset({"Constant", "Parameter", "Result"})


def quantise(
    model: Any,
    calibration: Sequence[Arrays],
    score: Callable[[Any, Sequence[Arrays]], float] | None = None,
    max_drop: float = 0.0,
) -> Any:
    """Quantise a network with the mixed preset (symmetric weights, asymmetric activations) and bias correction.

    What lies before the first and behind the last layer with weights stays fp32: the scaling of pixels, softmax, the
    decoding and selection of boxes.

    Args:
        model: an openvino.Model; it is not changed.
        calibration: batches of inputs by name.
        score: of a compiled candidate on calibration batches, higher is better. Where it is given, layers go back to
            fp32, those that cost most first, until the score has dropped by no more than max_drop.
        max_drop: see score.

    Raises:
        ArtefactRefusedError: the network has no layer with weights, or NNCF cannot quantise it.
    """
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedAccuracyRestorerParameters, AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    layers = weighted_layers(model)
    if not layers:
        raise ArtefactRefusedError("the model has no layer that can be quantised (convolution or matrix product)")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    data = nncf.Dataset(list(calibration))
    # the whole range that calibration saw: NNCF's mean of each input's range cuts off what makes a box sure
    ranges = AdvancedQuantizationParameters(activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX)
    options = {
        "preset": nncf.QuantizationPreset.MIXED,
        "target_device": nncf.TargetDevice.CPU,
        "subset_size": len(calibration),
        "ignored_scope": nncf.IgnoredScope(names=sorted(outside(model)), validate=False),
    }
    try:
        if score is None:
            return nncf.quantize(model.clone(), data, advanced_parameters=ranges, **options)
        return nncf.quantize_with_accuracy_control(
            model.clone(),
            calibration_dataset=data,
            validation_dataset=data,
            validation_fn=lambda compiled, rows: (score(compiled, list(rows)), None),
            max_drop=max_drop,
            advanced_quantization_parameters=ranges,
            advanced_accuracy_restorer_parameters=AdvancedAccuracyRestorerParameters(ranking_subset_size=RANKED),
            **options,
        )
    except Exception as exc:  # NNCF's and OpenVINO's have no common base
        raise ArtefactRefusedError(f"NNCF cannot quantise it ({type(exc).__name__}: {last_line(exc)})") from exc


def weighted_layers(model: Any) -> list[str]:
    """The names of layers that multiply by weights."""
    return [op.get_friendly_name() for op in model.get_ordered_ops() if _is_weighted(op)]


def quantised_layers(model: Any) -> int:
    """How many layers of a quantised network multiply by int8 weights."""
    return sum(_is_weighted(op) and any(map(_is_int8, _inputs(op))) for op in model.get_ordered_ops())


def outside(model: Any) -> set[str]:
    """The names of operations before the first and behind the last layer with weights.

    The addition of a bias belongs to its layer: NNCF corrects it.
    """
    ordered = model.get_ordered_ops()
    below: set[str] = set()  # layers with weights, and what is behind one
    above: set[str] = set()  # layers with weights, and what is before one
    for op in ordered:
        if _is_weighted(op) or {source.get_friendly_name() for source in _inputs(op)} & below:
            below.add(op.get_friendly_name())
    for op in reversed(ordered):
        targets = {use.get_node().get_friendly_name() for out in op.outputs() for use in out.get_target_inputs()}
        if _is_weighted(op) or targets & above:
            above.add(op.get_friendly_name())
    return {
        op.get_friendly_name()
        for op in ordered
        if op.get_type_name() not in _NO_LAYER and not _is_bias(op) and op.get_friendly_name() not in below & above
    }


def _inputs(op: Any) -> list[Any]:
    return [value.get_node() for value in op.input_values()]


def _is_weighted(op: Any) -> bool:
    return op.get_type_name() in _WEIGHTED and any(map(_constant, _inputs(op)))


def _is_bias(op: Any) -> bool:
    return op.get_type_name() == "Add" and any(map(_is_weighted, _inputs(op))) and any(map(_constant, _inputs(op)))


def _constant(op: Any) -> bool:
    """Whether an operation gives the same in every inference."""
    return op.get_type_name() == "Constant" or (bool(_inputs(op)) and all(map(_constant, _inputs(op))))


def _is_int8(op: Any) -> bool:
    """Whether an operation gives weights that are stored as int8, or rounded to it."""
    if not _constant(op):
        return False
    stored = op.get_type_name() == "Constant" and op.get_element_type().get_type_name() in ("i8", "u8")
    return stored or op.get_type_name() == "FakeQuantize" or any(map(_is_int8, _inputs(op)))
