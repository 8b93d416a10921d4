"""Detections: how an image becomes the model's input, and where its boxes are."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from kserve_transformers.errors import BadAnswerError
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import build_task

DETECTOR = build_task(ServiceSpec.parse("detector=detection:m"))
SIZE_WH = (600, 400)  # of coffee.jpg


def model(**parameters):
    outputs = {
        name: SimpleNamespace(datatype=datatype, shape=(300, *rest))
        for name, datatype, *rest in (("boxes", "FP32", 4), ("scores", "FP32"), ("classes", "INT32"))
    }
    taken = SimpleNamespace(datatype="UINT8", shape=(96, 64, 3))
    return SimpleNamespace(name="m", input=taken, outputs=outputs, parameters=parameters, label=str)


def prepared(images, **parameters):
    decoded = DETECTOR.decode((images / "coffee.jpg").read_bytes(), [model(**parameters)], 10**6)
    return decoded, DETECTOR.prepare(decoded, model(**parameters))


@pytest.mark.parametrize(
    ("parameters", "inside"),
    [
        pytest.param({}, [0, 26, 64, 69], id="a letterbox by default"),
        pytest.param({"resize_mode": "letterbox"}, [0, 26, 64, 69], id="a letterbox"),
        pytest.param({"resize_mode": "stretch"}, [0, 0, 64, 96], id="stretched"),
    ],
)
def test_an_image_fills_its_place_and_boxes_are_mapped_back(images, parameters, inside):
    left, top, right, bottom = inside
    decoded, ready = prepared(images, **parameters)
    frame = ready.row
    assert frame.shape == (96, 64, 3)
    whole = cv2.resize(
        cv2.imread(str(images / "coffee.jpg"))[..., ::-1], (right - left, bottom - top), interpolation=cv2.INTER_AREA
    )
    assert np.abs(frame[top:bottom, left:right].astype(int) - whole).mean() < 4
    bars = np.ones(frame.shape[:2], bool)
    bars[top:bottom, left:right] = False
    assert (frame[bars] == 127).all()

    quarter = [left, top, (left + right) / 2, (top + bottom) / 2]
    boxes = np.array([quarter], np.float32) / np.array([64, 96, 64, 96], np.float32)
    outputs = {"boxes": boxes, "scores": np.array([0.9], np.float32), "classes": np.array([7], np.int32)}
    found = DETECTOR.answer(outputs, ready.context, DETECTOR.options({}), model(**parameters))
    np.testing.assert_allclose(found.boxes, [[0, 0, SIZE_WH[0] / 2, SIZE_WH[1] / 2]], atol=0.5)
    assert (found.labels, decoded.size_wh) == (("7",), SIZE_WH)


@pytest.mark.parametrize(("mode", "scale"), [("letterbox", 64 / 600), ("stretch", 96 / 400)])
def test_no_image_is_decoded_smaller_than_its_place(mode, scale):
    assert DETECTOR.model_scale(model(resize_mode=mode), SIZE_WH) == pytest.approx(scale)


def test_a_mode_that_does_not_exist(images):
    assert DETECTOR.misfit(model()) is None
    assert "correct its config.pbtxt" in DETECTOR.misfit(model(resize_mode="center_crop"))
    with pytest.raises(BadAnswerError, match=r"correct its config\.pbtxt"):
        prepared(images, resize_mode="center_crop")
