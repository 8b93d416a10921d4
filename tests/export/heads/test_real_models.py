"""Trained detectors of others: they are recognised, and answer as their authors' own code does."""

import ast
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from exporters import heads
from exporters.catalog import YOLOV3_TINY, PackageMember, WeightFile
from exporters.darknet.cfg import read_cfg
from exporters.darknet.graph import build_graph
from exporters.darknet.weights import read_weights
from exporters.errors import UnknownFormatError
from exporters.weights import Fetcher
from kserve_transformers.arrays.boxes import class_wise_nms

pytestmark = pytest.mark.slow

_DDDDOCR = "c7c70f4ae2d0335440ae8b272eea48c9f6888ecef46785fe2311f0c97a133935"
_SLIDER = "975515aa8f03313fed81f1fa6c37e33a4aa8e5b5ed8b4a064f56b0389948c81a"
# Both packages have the MIT licence.
GLYPHS = WeightFile(
    "ddddocr_det.onnx", None, (PackageMember("wheel", "ddddocr==1.6.1", _DDDDOCR, "ddddocr/common_det.onnx"),)
)
GLYPHS_CODE = WeightFile(
    "ddddocr_det.py", None, (PackageMember("wheel", "ddddocr==1.6.1", _DDDDOCR, "ddddocr/core/detection_engine.py"),)
)
SLIDER = WeightFile(
    "slider.onnx",
    None,
    (PackageMember("wheel", "captcha-recognizer==1.0.2", _SLIDER, "captcha_recognizer/models/slider.onnx"),),
)
IMAGES = Path(__file__).parents[2] / "data" / "images"


def run(model: onnx.ModelProto, images: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: images}), strict=True))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    with Fetcher([], cache=tmp_path_factory.mktemp("packages")) as fetcher:
        return {file.name: fetcher.fetch(file).path for file in (GLYPHS, GLYPHS_CODE, SLIDER)}


def authors_engine(source: Path, session: onnxruntime.InferenceSession) -> Any:
    """ddddocr's detector without what it imports: the methods from the image to the boxes."""
    (engine,) = (node for node in ast.parse(source.read_text()).body if isinstance(node, ast.ClassDef))
    engine.bases = []
    engine.body = [
        node
        for node in engine.body
        if isinstance(node, ast.FunctionDef) and node.name not in ("__init__", "initialize", "predict")
    ]
    names: dict[str, Any] = {"np": np, "cv2": cv2}
    exec(compile(ast.Module([engine], []), str(source), "exec"), names)  # noqa: S102
    found = names[engine.name]()
    found.session = session
    return found


def glyphs() -> npt.NDArray[np.uint8]:
    """Four letters on a plain ground, BGR."""
    image = np.full((240, 360, 3), 200, np.uint8)
    for text, place, colour in (
        ("A", (40, 80), (20, 20, 200)),
        ("7", (200, 110), (180, 20, 20)),
        ("K", (110, 200), (20, 120, 20)),
        ("R", (270, 200), (90, 0, 90)),
    ):
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_DUPLEX, 2, colour, 4)
    return image


def test_yolox_of_ddddocr_finds_the_glyphs_that_its_own_code_finds(files):
    original = onnx.load(files[GLYPHS.name])
    head = heads.recognise(original, {})[0]
    assert (head.name, head.classes, head.channel_order, head.std, head.facts[0].sure) == (
        "yolox",
        1,
        "bgr",
        (1.0,),
        True,
    )
    engine = authors_engine(files[GLYPHS_CODE.name], onnxruntime.InferenceSession(files[GLYPHS.name]))
    image = glyphs()
    expected = np.array(engine.get_bbox(cv2.imencode(".png", image)[1].tobytes()))
    assert len(expected) == 4
    pixels, ratio = engine.preproc(image, (416, 416))
    found = run(heads.append(original, head.name, head.options, (416, 416)), pixels[np.newaxis])
    likely = found["scores"][0] > 0.1
    boxes, scores, classes = (found[name][0][likely] for name in ("boxes", "scores", "classes"))
    kept = boxes[class_wise_nms(boxes, scores, classes, 0.45)] * 416 / ratio
    assert len(kept) == 4
    for box in expected:
        assert np.abs(kept - box).max(axis=1).min() < 2  # it cuts to whole pixels


def test_raw_heads_of_yolov3_tiny_answer_as_darknets_export_does():
    """The trained network, cut off before its boxes, gets them back."""
    with Fetcher([YOLOV3_TINY]) as fetcher:
        weights, cfg, _ = (fetcher.fetch(file).path for file in YOLOV3_TINY.files)
    network = read_cfg(cfg)
    whole = build_graph(network, read_weights(weights, network))
    makers = {name: node for node in whole.graph.node for name in node.output}
    split = [node for node in whole.graph.node if node.op_type == "Reshape" and node.name.startswith("detections/")]
    raw = [node.input[0] for node in split if makers[node.input[0]].op_type == "Conv"]
    assert len(raw) == 2
    whole = onnx.shape_inference.infer_shapes(whole)
    original = onnx.utils.Extractor(whole).extract_model(["images"], raw)
    head = heads.recognise(original, {}, labels=80)[0]
    assert (head.name, head.classes, head.options["strides"]) == ("yolov3", 80, [16, 32])
    photo = cv2.resize(cv2.imread(str(IMAGES / "astronaut.jpg"))[..., ::-1], (416, 416))[np.newaxis]
    found = run(heads.append(original, head.name, head.options, (416, 416)), photo)
    expected = run(whole, photo)
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
    clear = expected["scores"] > 0.01
    assert clear.any()
    np.testing.assert_array_equal(found["classes"][clear], expected["classes"][clear])
    np.testing.assert_allclose(found["boxes"][clear], expected["boxes"][clear], atol=1e-5)


@pytest.mark.parametrize("with_metadata", [True, False])
def test_the_segmentation_model_of_captcha_recognizer_is_refused(files, with_metadata):
    model = onnx.load(files[SLIDER.name])
    metadata = {entry.key: entry.value for entry in model.metadata_props} if with_metadata else {}
    with pytest.raises(
        UnknownFormatError, match=r"(task: segment|output1 \[1,32,160,160\] holds masks).*instance segmentation"
    ):
        heads.recognise(model, metadata)
