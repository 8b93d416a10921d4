"""Operations of an int8 network go back to fp32 one by one: the others stay quantised, and all of them give fp32 again.

The network has a residual sum, a value that is pooled between its quantiser and its layer, and a layer without bias.
"""

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
import pytest
from openvino import opset13 as ops

from exporters.quantising import ptq, selection

Networks = tuple[Any, Any]
FIRST, INNER, SUM, LAST = "first", "inner", "sum", "last"


def layer(source: Any, name: str, channels: tuple[int, int], bias: bool = True) -> Any:
    generator = np.random.default_rng(len(name))
    filters = generator.normal(0, 0.3, (*channels, 3, 3)).astype(np.float32)
    found = ops.convolution(source, filters, [1, 1], [1, 1], [1, 1], [1, 1])
    found.set_friendly_name(name)
    return ops.add(found, generator.normal(0, 1, (1, channels[0], 1, 1)).astype(np.float32)) if bias else found


@pytest.fixture(scope="module")
def networks():
    """In fp32 and in int8."""
    images = ops.parameter([1, 3, 16, 16], np.float32, name="images")
    first = ops.relu(layer(images, FIRST, (8, 3)))
    both = ops.add(first, layer(first, INNER, (8, 8), bias=False))
    both.set_friendly_name(SUM)
    pooled = ops.max_pool(ops.relu(both), [2, 2], [1, 1], [0, 0], [0, 0], [2, 2])
    fp32 = openvino.Model([layer(pooled.output(0), LAST, (4, 8))], [images])
    return fp32, ptq.quantise(fp32, [{"images": one} for one in samples(20)])


def samples(count: int) -> list[npt.NDArray[np.float32]]:
    return list(np.random.default_rng(3).normal(size=(count, 1, 3, 16, 16)).astype(np.float32))


def answer(model: Any) -> npt.NDArray[np.float32]:
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array([compiled(one)[0] for one in samples(4)])


@pytest.mark.parametrize("names", [set(some) for n in range(5) for some in combinations((FIRST, INNER, SUM, LAST), n)])
def test_the_others_stay_quantised(networks, names):
    fp32, int8 = networks
    found = selection.restored(int8, fp32, names)
    assert set(selection.operations(found)) == {FIRST, INNER, SUM, LAST} - names
    assert ptq.quantised_layers(found) == 3 - len(names - {SUM})
    assert set(selection.operations(int8)) == {FIRST, INNER, SUM, LAST}  # it is not changed


def test_the_more_operations_are_fp32_the_less_is_lost(networks, tmp_path):
    fp32, int8 = networks
    for name, model in (("fp32", fp32), ("int8", int8)):
        openvino.save_model(model, tmp_path / f"{name}.xml", compress_to_fp16=False)
    rows = [{"images": one} for one in samples(4)]
    costs = selection.costs(tmp_path / "int8.xml", tmp_path / "fp32.xml", rows)
    assert costs.keys() == {FIRST, INNER, SUM, LAST}
    ranking = sorted(costs, key=costs.__getitem__, reverse=True)
    expected = answer(fp32)
    errors = [np.square(answer(selection.restored(int8, fp32, set(ranking[:n]))) - expected).mean() for n in range(5)]
    assert 0 < errors[2] < errors[0]
    assert errors[4] == pytest.approx(0, abs=1e-9)
