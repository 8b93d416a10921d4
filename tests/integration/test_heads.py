"""Every head from its file to boxes in pixels: detectors, added to one checkout and served by one stack."""

import base64
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from detectors import CLASSES, FAMILIES, HW, OBJECTS, Family, detector
from serving import answering, checkout_without_models

from modelport.adding.__main__ import main
from modelport.services import choose
from modelport.stack.stack import StackSettings

pytestmark = pytest.mark.slow
LABELS = ("disc", "square", "ring")
HEADS: dict[str, Family] = {}  # the first family of each
for each in FAMILIES.values():
    HEADS.setdefault(each.head, each)
UNSCALED = ("yolox", "tf_od")  # take 0..255
WHITE = cv2.imencode(".png", np.full((*HW, 3), 255, np.uint8))[1].tobytes()


def add(head: str, family: Family, folder: Path) -> list[str]:
    """The command that adds a detector of a family; its files are written."""
    outputs = family.outputs(OBJECTS, CLASSES)
    if head in UNSCALED:  # right for the brightest input
        outputs = {name: values / np.float32(255) for name, values in outputs.items()}
    onnx.save(detector(outputs, **family.model), folder / f"{head}.onnx")
    stated = ["--task=detection", f"--labels={folder / 'labels.txt'}", f"--sample={folder / 'white.png'}", "--yes"]
    stated += [] if family.sure else [f"--head={head}"]
    return ["add", str(folder / f"{head}.onnx"), *stated, *(["--normalise=0..1"] if head == "detr" else [])]


@pytest.fixture(scope="module")
def served(free_ports, tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    checkout = checkout_without_models(folder / "checkout")
    (folder / "labels.txt").write_text("\n".join(LABELS))
    (folder / "white.png").write_bytes(WHITE)
    for head, family in HEADS.items():
        assert main(add(head, family, folder), checkout) == 0
    services = choose(*(head.replace("_", "-") for head in HEADS), path=checkout.declaration)
    settings = StackSettings(services, *free_ports(5), repository=checkout.repository, logs=folder)
    with answering(settings) as client:
        yield client


@pytest.mark.parametrize("head", HEADS)
def test_the_objects_are_found_in_pixels(head, served):
    body = {"id": 1, "image": base64.b64encode(WHITE).decode()}
    answer = served.post(f"/{head.replace('_', '-')}/api/", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()["detections"]
    assert [one["label"] for one in found] == [LABELS[each.label] for each in OBJECTS]
    np.testing.assert_allclose([one["confidence"] for one in found], [each.score for each in OBJECTS], atol=0.01)
    x1, y1, x2, y2 = np.multiply([each.box for each in OBJECTS], (HW[1], HW[0]) * 2).T
    expected = np.stack([x1, y1, x2 - x1, y2 - y1], axis=1)
    np.testing.assert_allclose([one["bbox"] for one in found], expected, atol=1)
