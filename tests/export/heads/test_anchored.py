"""torchvision's raw heads: the graph against the naive reference; tests/export/torch has torchvision itself."""

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from detectors import HW, detector

from exporters import heads
from exporters.heads.finding import grid_cells

PYRAMID = grid_cells(HW, (8, 16, 32, 64, 128))


def raw_outputs(rows: int, classes: int, centres: bool, named: bool) -> dict[str, npt.NDArray[np.float32]]:
    noise = np.random.default_rng(3)
    outputs = {
        "cls_logits": noise.normal(0, 2, (1, rows, classes)),
        "bbox_regression": np.abs(noise.normal(0, 2, (1, rows, 4))) - (0 if centres else 1),
    }
    outputs["bbox_regression"][0, 0, 2] = 40 if not centres else 1  # a size beyond the clamp
    if centres:
        outputs["bbox_ctrness"] = noise.normal(0, 2, (1, rows, 1))
    names = outputs if named else ("a", "b", "c")
    return {name: values.astype(np.float32) for name, values in zip(names, outputs.values(), strict=False)}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("name", "hw", "rows", "labels", "classes"),
    [
        pytest.param("ssd300", (300, 300), 8732, 0, 4, id="SSD300"),
        pytest.param("ssdlite320", (320, 320), 3234, 0, 4, id="SSDlite320"),
        pytest.param("retinanet", HW, 9 * PYRAMID, 0, 5, id="RetinaNet"),
        pytest.param("retinanet", HW, 9 * PYRAMID, 4, 4, id="RetinaNet with a background in its labels"),
        pytest.param("fcos", HW, PYRAMID, 5, 5, id="FCOS"),
    ],
)
def test_the_graph_answers_as_the_naive_reference(name, hw, rows, labels, classes, named):
    outputs = raw_outputs(rows, 5, name == "fcos", named)
    model = detector(outputs, hw)
    head = heads.recognise(model, {}, labels=labels)[0]
    assert (head.name, head.classes, head.facts[0].sure, head.resize_mode) == (name, classes, True, "stretch")
    session = onnxruntime.InferenceSession(heads.append(model, head.name, head.options, hw).SerializeToString())
    boxes, scores, labels_found = session.run(
        ["boxes", "scores", "classes"], {"images": np.ones((1, 3, *hw), np.float32)}
    )
    expected = heads.reference(outputs, head.name, head.options, hw)
    np.testing.assert_allclose(scores, expected["scores"], atol=1e-6)
    same = labels_found == expected["classes"]
    assert same.mean() > 0.98  # of nearly equal scores, rounding decides the order
    np.testing.assert_allclose(boxes[same], expected["boxes"][same], rtol=1e-4, atol=1e-4)
