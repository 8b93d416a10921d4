"""Which operations of an int8 network go back to fp32, because they cost more accuracy than the others.

NNCF quantises a network once. A network in which some operations are fp32 is that one without their quantisers, with
the weights and biases that the fp32 network has: fast bias correction corrects each layer by its own inputs, so that
the others stay as NNCF made them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence, Set
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from exporters.quantising.batches import Arrays
from exporters.quantising.ptq import inputs_of, is_bias, is_constant, is_weighted, targets_of

# What part of what the limits allow may be used up on calibration inputs; the second for the failure of the first.
ROOMS: tuple[float, ...] = (0.5, 0.25)


def attempts(ranked: Callable[[], Sequence[str]], used: Callable[[Sequence[str]], float]) -> Iterator[Sequence[str]]:
    """Which operations to keep in fp32: each attempt keeps more than the one before, and the next is for its failure.

    Args:
        ranked: ranks the operations, those first that cost most; it is called where none in fp32 is too few.
        used: what part of what the limits allow is used up with these operations in fp32; the more there are, the less.

    Yields:
        The shortest beginning of the ranking with which enough room is left. No attempt keeps all in fp32.
    """
    kept, rooms = 0, ROOMS
    if used(()) <= rooms[0]:
        yield ()
        rooms = rooms[1:]
    names = ranked()
    part = cache(lambda count: used(names[:count]))  # the second bisection comes by places of the first
    for room in rooms:
        kept = bisect_left(range(len(names)), True, kept + 1, key=lambda count: part(count) <= room)
        if kept >= len(names):
            return
        yield names[:kept]


def operations(int8: Any) -> list[str]:
    """The names of operations that compute with quantised values: layers, and what joins several values."""
    quantised = {name for fq in _quantisers(int8) for use in _uses(fq) for name in _fed(use)}
    return [op.get_friendly_name() for op in int8.get_ordered_ops() if op.get_friendly_name() in quantised]


def restored(int8: Any, fp32: Any, names: Set[str]) -> Any:
    """A copy of an int8 network in which some operations are fp32.

    Args:
        int8: as NNCF made it, an openvino.Model.
        fp32: what it was made of.
        names: of operations.
    """
    found = int8.clone()
    originals = {op.get_friendly_name(): op for op in fp32.clone().get_ops()}
    for op in found.get_ordered_ops() if names else ():
        if _is_quantiser(op):
            for use in _uses(op):
                if _fed(use) <= names:
                    use.replace_source_output(op.input_value(0))
        elif op.get_friendly_name() in names and is_weighted(op):
            for layer in (op, *filter(is_bias, targets_of(op))):
                _restore_constants(layer, originals.get(layer.get_friendly_name()))
    found.validate_nodes_and_infer_types()
    return found


def costs(int8_file: Path, fp32_file: Path, samples: Sequence[Arrays]) -> dict[str, float]:
    """What the quantisation of each operation costs on the instruction set of this process.

    Each is quantised alone, and the last layers' outputs are compared with fp32.

    Args:
        int8_file: the network as NNCF made it.
        fp32_file: what it was made of.
        samples: batches of inputs.

    Returns:
        By name, the power of the error as a share of the power of the outputs.
    """
    import openvino

    int8, fp32 = (openvino.Core().read_model(file) for file in (int8_file, fp32_file))
    names = operations(int8)
    expected = _outputs_of_last_layers(fp32, samples)
    found: dict[str, float] = {}
    for name in tqdm(names, disable=None, leave=False):
        answers = _outputs_of_last_layers(restored(int8, fp32, set(names) - {name}), samples)
        found[name] = sum(
            float(np.square(a - b).sum() / np.square(b).sum()) for a, b in zip(answers, expected, strict=True)
        )
    return found


def _outputs_of_last_layers(model: Any, samples: Sequence[Arrays]) -> list[npt.NDArray[np.float64]]:
    """What the layers give behind which there is no other layer, with their biases."""
    import openvino

    ordered, before = model.get_ordered_ops(), set()
    taps = []
    for op in reversed(ordered):
        later = targets_of(op)
        if any(one.get_friendly_name() in before for one in later):
            before.add(op.get_friendly_name())
        elif is_weighted(op):
            before.add(op.get_friendly_name())
            taps.append(next((one for one in later if is_bias(one)), op).output(0))
    cut = openvino.Model(taps, model.get_parameters())
    compiled = openvino.Core().compile_model(cut, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answers = [compiled(dict(batch)) for batch in samples]
    return [np.concatenate([np.ravel(one[at]) for one in answers]).astype(np.float64) for at in range(len(taps))]


def _restore_constants(op: Any, original: Any) -> None:
    """Give an operation the weights or the bias that it has in the fp32 network; none where that has no bias."""
    for mine in op.inputs():
        if is_constant(mine.get_source_output().get_node()):
            if original is None:
                value = next(one for one in op.input_values() if not is_constant(one.get_node()))
                for use in _uses(op):
                    use.replace_source_output(value)
            else:
                mine.replace_source_output(original.input_value(mine.get_index()))


def _quantisers(model: Any) -> list[Any]:
    return [op for op in model.get_ordered_ops() if _is_quantiser(op)]


def _is_quantiser(op: Any) -> bool:
    """Whether an operation quantises values that are computed, not weights."""
    return op.get_type_name() == "FakeQuantize" and not is_constant(op)


def _uses(op: Any) -> list[Any]:
    return [use for output in op.outputs() for use in output.get_target_inputs()]


def _fed(use: Any) -> set[str]:
    """The names of operations that compute with a value, which may have been moved or reshaped before."""
    op = use.get_node()
    if is_weighted(op) or sum(not is_constant(one) for one in inputs_of(op)) > 1:
        return {op.get_friendly_name()}
    return set() if _is_quantiser(op) else {name for one in _uses(op) for name in _fed(one)}
