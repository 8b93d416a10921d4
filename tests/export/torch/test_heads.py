"""The naive references decode torchvision's raw heads as torchvision does."""

import math

import numpy as np
import pytest
import torch

from exporters.classifiers import torchvision
from exporters.heads import HEADS

torchvision()
from torchvision.models.detection import _utils, anchor_utils, image_list, retinanet  # noqa: E402

CLASSES = 5


def ssd300() -> anchor_utils.DefaultBoxGenerator:
    return anchor_utils.DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )


def ssdlite320() -> anchor_utils.DefaultBoxGenerator:
    return anchor_utils.DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)


def fcos() -> anchor_utils.AnchorGenerator:
    return anchor_utils.AnchorGenerator(tuple((stride,) for stride in (8, 16, 32, 64, 128)), ((1.0,),) * 5)


@pytest.mark.parametrize(
    ("name", "generator", "hw", "strides"),
    [
        pytest.param("ssd300", ssd300, (300, 300), (38, 19, 10, 5, 3, 1), id="SSD300"),
        pytest.param("ssdlite320", ssdlite320, (320, 320), (20, 10, 5, 3, 2, 1), id="SSDlite320"),
        pytest.param("retinanet", retinanet._default_anchorgen, (256, 384), None, id="RetinaNet"),
        pytest.param("retinanet", retinanet._default_anchorgen, (200, 328), None, id="RetinaNet, odd grids"),
        pytest.param("fcos", fcos, (256, 384), None, id="FCOS"),
    ],
)
def test_boxes_and_scores_are_those_of_torchvision(name, generator, hw, strides):
    sizes = (
        [(grid, grid) for grid in strides]
        if strides
        else [(math.ceil(hw[0] / stride), math.ceil(hw[1] / stride)) for stride in (8, 16, 32, 64, 128)]
    )
    features = [torch.zeros(1, 1, *size) for size in sizes]
    (anchors,) = generator()(image_list.ImageList(torch.zeros(1, 3, *hw), [hw]), features)
    torch.manual_seed(0)
    logits, deltas = torch.randn(1, len(anchors), CLASSES), torch.randn(1, len(anchors), 4)
    deltas[0, 0, 2] = 40
    centres = torch.randn(1, len(anchors), 1)
    background = name.startswith("ssd")
    if name == "fcos":
        deltas = deltas.clamp(0, 10)
        expected = _utils.BoxLinearCoder(normalize_by_size=True).decode(deltas[0], anchors)
        scores = (logits[0].sigmoid() * centres[0].sigmoid()).sqrt()
    else:
        weights = (10.0, 10.0, 5.0, 5.0) if background else (1.0, 1.0, 1.0, 1.0)
        expected = _utils.BoxCoder(weights).decode_single(deltas[0], anchors)
        scores = logits[0].softmax(-1)[:, 1:] if background else logits[0].sigmoid()
    raw = {"logits": logits.numpy(), "boxes": deltas.numpy(), "centres": centres.numpy()}
    options = {"logits": "logits", "boxes": "boxes", "centres": "centres", "background": background}
    (found,) = HEADS[name].reference(raw, options, hw)
    np.testing.assert_allclose(found.boxes * (hw[::-1] * 2), expected.numpy(), rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found.scores, scores.numpy(), atol=1e-6)
