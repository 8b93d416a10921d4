"""The graph answers as OpenCV's own Darknet importer does, pair by pair."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from exporters.catalog import YOLOV3_TINY
from exporters.darknet.cfg import read_cfg
from exporters.darknet.graph import PAIRS, build_graph
from exporters.darknet.reference import Detections, detect
from exporters.darknet.weights import read_weights
from exporters.weights import Fetcher

BOX_ATOL, SCORE_ATOL = 2e-3, 5e-3
EVERY_PAIR = 10**9
IMAGES = sorted((Path(__file__).parents[2] / "data" / "images").glob("*.jpg"))


def session_of(cfg: Path, weights: Path) -> onnxruntime.InferenceSession:
    network = read_cfg(cfg)
    graph = build_graph(network, read_weights(weights, network))
    onnx.checker.check_model(graph, full_check=True)
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def answer(session: onnxruntime.InferenceSession, images: npt.NDArray[np.uint8]) -> list[Detections]:
    boxes, scores, classes = session.run(["boxes", "scores", "classes"], {"images": images})
    return [Detections(*rows) for rows in zip(boxes, scores, classes, strict=True)]


def assert_same(found: Detections, every: Detections) -> None:
    """The best scores agree place by place, and each pair is one that the reference has, with that score and box."""
    count = min(PAIRS, len(every.scores))
    np.testing.assert_allclose(found.scores[:count], every.scores[:count], rtol=0, atol=SCORE_ATOL)
    assert (np.diff(found.scores) <= 0).all()
    for box, score, label in zip(found.boxes[:count], found.scores, found.classes, strict=False):
        candidates = (every.classes == label) & (np.abs(every.scores - score) <= SCORE_ATOL)
        assert np.abs(every.boxes[candidates] - box).max(axis=1).min() <= BOX_ATOL


def noise(height: int, width: int, count: int = 1) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("architecture", "width", "height"),
    [
        pytest.param("yolov3-tiny", 160, 160, id="tiny"),
        pytest.param("yolov3-tiny", 224, 96, id="tiny, wide"),
        pytest.param("yolov3", 96, 160, id="full, high"),
        pytest.param("yolov3-spp", 160, 96, id="spp, wide"),
        pytest.param("yolov4-tiny", 128, 96, id="groups, mish and scale_x_y of yolov4"),
    ],
)
def test_random_weights_answer_as_opencv(architecture, width, height, darknet_files):
    files = darknet_files(architecture, width, height, classes=5)
    image = noise(height, width)
    every = detect(files.cfg, files.weights, image[0], EVERY_PAIR)
    assert np.ptp(every.scores) > 0.1  # a reference that says the same of everything would show nothing
    (found,) = answer(session_of(files.cfg, files.weights), image)
    assert_same(found, every)


@pytest.fixture(scope="module")
def yolov3_tiny():
    with Fetcher([YOLOV3_TINY]) as fetcher:
        weights, cfg, _ = (fetcher.fetch(file).path for file in YOLOV3_TINY.files)
    return cfg, weights


def test_the_real_weights_answer_as_opencv_tensor_by_tensor(yolov3_tiny):
    session = session_of(*yolov3_tiny)
    assert len(IMAGES) >= 4
    for path in IMAGES:
        image = cv2.cvtColor(cv2.resize(cv2.imread(str(path)), (416, 416)), cv2.COLOR_BGR2RGB)
        (found,) = answer(session, image[None])
        every = detect(*yolov3_tiny, image, EVERY_PAIR)
        assert_same(found, every)
        reference = Detections(every.boxes[:PAIRS], every.scores[:PAIRS], every.classes[:PAIRS])
        np.testing.assert_allclose(found.scores, reference.scores, rtol=0, atol=SCORE_ATOL)
        # Where two pairs have all but the same score, either order is right.
        apart = np.minimum(-np.diff(reference.scores, prepend=2), -np.diff(reference.scores, append=-1)) > 1e-5
        assert apart.sum() > 50
        np.testing.assert_allclose(found.boxes[apart], reference.boxes[apart], rtol=0, atol=BOX_ATOL)
        np.testing.assert_array_equal(found.classes[apart], reference.classes[apart])


def test_a_batch_answers_as_its_images_do(darknet_files):
    files = darknet_files()
    session = session_of(files.cfg, files.weights)
    images = noise(96, 64, count=3)
    together = answer(session, images)
    for image, found in zip(images, together, strict=True):
        (alone,) = answer(session, image[None])
        np.testing.assert_allclose(found.scores, alone.scores, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.boxes, alone.boxes, rtol=0, atol=1e-5)
    assert not np.allclose(together[0].scores, together[1].scores, atol=1e-5)


def test_fewer_candidates_than_pairs_are_filled_up_with_zeros(darknet_files):
    files = darknet_files(width=32, height=32, classes=2)
    image = noise(32, 32)
    every = detect(files.cfg, files.weights, image[0], EVERY_PAIR)
    assert len(every.scores) == 3 * (1 + 4) * 2
    (found,) = answer(session_of(files.cfg, files.weights), image)
    assert_same(found, every)
    assert (found.boxes.shape, found.scores.shape, found.classes.shape) == ((300, 4), (300,), (300,))
    assert not found.scores[30:].any()
    assert not found.boxes[30:].any()
    assert not found.classes[30:].any()


def test_the_graph_is_what_triton_and_old_runtimes_take(darknet_files):
    files = darknet_files()
    network = read_cfg(files.cfg)
    graph = build_graph(network, read_weights(files.weights, network))
    assert (graph.ir_version, [(entry.domain, entry.version) for entry in graph.opset_import]) == (8, [("", 17)])
    again = build_graph(network, read_weights(files.weights, network))
    assert graph.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
    types = {
        value.name: (value.type.tensor_type.elem_type, [dim.dim_param or dim.dim_value for dim in dims])
        for value in (*graph.graph.input, *graph.graph.output)
        for dims in [value.type.tensor_type.shape.dim]
    }
    assert types == {
        "images": (onnx.TensorProto.UINT8, ["N", 96, 64, 3]),
        "boxes": (onnx.TensorProto.FLOAT, ["N", 300, 4]),
        "scores": (onnx.TensorProto.FLOAT, ["N", 300]),
        "classes": (onnx.TensorProto.INT32, ["N", 300]),
    }
