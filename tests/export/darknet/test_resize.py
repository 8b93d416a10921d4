"""letter_box, from the cfg to boxes in pixels: as Darknet resizes, with OpenCV's importer as the oracle."""

from types import SimpleNamespace

import cv2
import numpy as np
import onnxruntime
import pytest

from exporters.__main__ import main
from exporters.config import read_config
from exporters.darknet.reference import detect
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import build_task

WIDTH, HEIGHT, IMAGE_WH = 96, 64, (90, 120)


def letterboxed(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Darknet's letterbox_image and correct_yolo_boxes: the frame, and a box's shift and scale in pixels."""
    scale = min(WIDTH / IMAGE_WH[0], HEIGHT / IMAGE_WH[1])
    w, h = round(IMAGE_WH[0] * scale), round(IMAGE_WH[1] * scale)
    x, y = (WIDTH - w) // 2, (HEIGHT - h) // 2
    frame = np.full((HEIGHT, WIDTH, 3), 127, np.uint8)
    frame[y : y + h, x : x + w] = cv2.resize(rgb, (w, h), interpolation=cv2.INTER_LINEAR)
    return frame, np.array([x, y, x, y]), np.array([IMAGE_WH[0] / w, IMAGE_WH[1] / h] * 2)


def stretched(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frame = cv2.resize(rgb, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    return frame, np.zeros(4), np.array([IMAGE_WH[0] / WIDTH, IMAGE_WH[1] / HEIGHT] * 2)


@pytest.mark.parametrize(
    ("keys", "mode", "reference"),
    [
        pytest.param("", None, letterboxed, id="not said"),
        pytest.param("letter_box=1", "letterbox", letterboxed, id="letter_box=1"),
        pytest.param("letter_box=0", "stretch", stretched, id="letter_box=0"),
    ],
)
def test_boxes_are_those_of_darknets_own_resizing(darknet_files, tmp_path, keys, mode, reference):
    files = darknet_files(width=WIDTH, height=HEIGHT, classes=2)
    files.cfg.write_text(files.cfg.read_text().replace("momentum=", f"{keys}\nmomentum=", 1))
    own = ["--cfg", str(files.cfg), "--weights", str(files.weights), "--names", str(files.names), "--name", "mine"]
    assert main([*own, "--repository", str(tmp_path / "repository")]) == 0
    folder = tmp_path / "repository" / "mine"
    config = read_config(folder / "config.pbtxt")
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    assert parameters.get("resize_mode") == mode

    noise = np.random.default_rng(5).integers(0, 256, (IMAGE_WH[1] // 10, IMAGE_WH[0] // 10, 3), np.uint8)
    image = cv2.resize(noise, IMAGE_WH, interpolation=cv2.INTER_NEAREST)
    detector = build_task(ServiceSpec.parse("mine=detection:mine"))
    model = SimpleNamespace(
        name="mine",
        input=SimpleNamespace(shape=(HEIGHT, WIDTH, 3)),
        parameters=parameters,
        label=("label 0", "label 1").__getitem__,
    )
    encoded = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    prepared = detector.prepare(detector.decode(encoded, [model], 10**6), model)
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    names = ("boxes", "scores", "classes")
    outputs = {
        name: one[0] for name, one in zip(names, session.run(names, {"images": prepared.row[None]}), strict=True)
    }
    found = detector.answer(outputs, prepared.context, {"score_threshold": 0, "iou_threshold": 1}, model)

    frame, shift, scale = reference(image)
    wanted = detect(files.cfg, files.weights, frame, 20)
    corners = np.clip((wanted.boxes * np.array([WIDTH, HEIGHT] * 2) - shift) * scale, 0, [*IMAGE_WH] * 2)
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    np.testing.assert_allclose(found.scores[:20], wanted.scores, atol=5e-3)
    for box, score, kind in zip(xywh, wanted.scores, wanted.classes, strict=True):
        near = np.abs(found.boxes - box).max(axis=1) < 0.5
        same = np.array([label == f"label {kind}" for label in found.labels])
        assert (near & same & (np.abs(found.scores - score) < 5e-3)).any()
