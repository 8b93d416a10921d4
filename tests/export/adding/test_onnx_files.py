"""ONNX models of users: what is found out about them, and that what is built of them answers as they do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx_files import save_autoencoder, save_classifier

from exporters import onnx_engine
from exporters.adding import onnx_files
from exporters.adding.plan import Hints, Plan
from exporters.errors import ArtefactRefusedError, UnknownFormatError

ULTRALYTICS = {
    "author": "Ultralytics",
    "task": "classify",
    "imgsz": "[32, 32]",
    "names": "{0: 'a', 1: 'b', 2: 'c', 3: 'd', 4: 'e', 5: 'f'}",
}


def planned(path: Path, **more) -> Plan:
    found = onnx_files.describe(path, Hints("classification"))
    plan = Plan("m", "classification", "onnxruntime_onnx", "x", ("y",), found.size_hw or (32, 32), found.channels)
    plan = replace(plan, layout=found.layout, activation=found.activation, labels=tuple("abcdefgh"[: found.classes]))
    return replace(plan, **more)


def by_hand(path: Path, sample: np.ndarray, plan: Plan, layers: np.ndarray | None = None) -> np.ndarray:
    """The probabilities, calculated from the weights alone."""
    weights = {
        one.name: onnx.numpy_helper.to_array(one).astype(np.float64) for one in onnx.load(path).graph.initializer
    }
    pixels = sample.astype(np.float64)
    if plan.channels == 1:
        pixels = pixels @ np.array([[0.299], [0.587], [0.114]])
    if plan.channel_order == "bgr":
        pixels = pixels[..., ::-1]
    pixels = (pixels - plan.mean) / plan.std
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3), axis=(0, 1))[::2, ::2]  # [h, w, c, 3, 3]
    maps = np.maximum(np.einsum("hwcij,ocij->hwo", windows, weights["kernel"]), 0)
    exponents = np.exp(maps.mean((0, 1)) @ weights["dense"])
    return exponents / exponents.sum()


@pytest.mark.parametrize(
    ("properties", "changes"),
    [
        pytest.param({}, {}, id="channels first"),
        pytest.param({"nhwc": True}, {"channel_order": "bgr"}, id="channels last, bgr"),
        pytest.param({}, {"channel_order": "bgr"}, id="channels first, bgr"),
        pytest.param({"dtype": np.float16}, {}, id="half precision"),
        pytest.param({"softmax": True}, {}, id="its own softmax"),
        pytest.param({"channels": 1}, {"mean": (99.0,), "std": (50.0,)}, id="grey"),
        pytest.param({"opset": 9}, {}, id="opset 9"),
        pytest.param({"batch": 1}, {}, id="batch of one declared"),
        pytest.param({"size": ("h", "w")}, {}, id="any size"),
        pytest.param({"classes": 2}, {}, id="two classes"),
    ],
)
def test_the_artefact_and_the_reference_answer_as_calculated_by_hand(properties, changes, tmp_path):
    path = save_classifier(tmp_path / "m.onnx", **properties)
    plan = planned(path, **({"mean": (123.0, 116.0, 103.0), "std": (58.0, 57.0, 56.0)} | changes))
    onnx_files.build(path, plan, tmp_path / "artefact.onnx")
    samples = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    expected = np.stack([by_hand(path, sample, plan) for sample in samples])
    atol = 2e-3 if properties.get("dtype") is np.float16 else 1e-5
    found = onnx_engine.answer(tmp_path / "artefact.onnx", "images", samples, ["probabilities"])["probabilities"]
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
    np.testing.assert_allclose(onnx_files.reference(path, plan, samples)["probabilities"], expected, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        pytest.param({}, {"layout": "nchw", "size_hw": (32, 32), "classes": 6, "activation": "softmax"}, id="logits"),
        pytest.param({"nhwc": True, "softmax": True}, {"layout": "nhwc", "activation": "none"}, id="probabilities"),
        pytest.param({"size": ("h", "w")}, {"layout": "nchw", "size_hw": None}, id="any size"),
        pytest.param(
            {"size": ("h", "w"), "metadata": ULTRALYTICS},
            {"size_hw": (32, 32), "labels": tuple("abcdef"), "std": (255.0,), "resize_mode": "center_crop"},
            id="metadata of Ultralytics",
        ),
        pytest.param(
            {"metadata": {"Image.NominalPixelRange": "Normalized_1_1", "Image.BitmapPixelFormat": "Bgr8"}},
            {"mean": (127.5,), "std": (127.5,), "channel_order": "bgr"},
            id="metadata of ONNX",
        ),
        pytest.param({"metadata": {"classes": "a, b, c, d, e, f"}}, {"labels": tuple("abcdef")}, id="labels in a text"),
    ],
)
def test_the_file_is_looked_at(properties, expected, tmp_path):
    found = onnx_files.describe(save_classifier(tmp_path / "m.onnx", **properties))
    assert {key: getattr(found, key) for key in expected} == expected


def test_a_network_for_one_image_declares_free_batches_and_refuses_two(tmp_path):
    path = save_classifier(tmp_path / "m.onnx", batch=1, fixed_reshape=True)
    onnx_files.build(path, planned(path), tmp_path / "artefact.onnx")
    (output,) = onnxruntime.InferenceSession(tmp_path / "artefact.onnx").get_outputs()
    assert not isinstance(output.shape[0], int)
    with pytest.raises(Exception, match="eshape"):
        onnx_engine.answer(tmp_path / "artefact.onnx", "images", np.zeros((2, 32, 32, 3), np.uint8), ["probabilities"])


@pytest.mark.parametrize("shape", [(8,), (8, 1), (1, 8), ("L", 1)], ids=str)
def test_windows_are_rebuilt_in_the_unit_of_the_series(shape, tmp_path):
    path = save_autoencoder(tmp_path / "m.onnx", shape=shape)
    plan = Plan("m", "anomaly", "onnxruntime_onnx", "series", ("rebuilt",), length=8, mean=(10.0,), std=(2.0,))
    onnx_files.build(path, plan, tmp_path / "artefact.onnx")
    windows = np.array([[10, 12, 8, 10, 10, 10, 10, 18], [10] * 8], np.float32)
    outputs = onnx_engine.answer(tmp_path / "artefact.onnx", "windows", windows, plan.outputs)
    for found in (outputs, onnx_files.reference(path, plan, windows)):
        # half of the way from the mean; 1, 1 and 4 are lost of eight values
        np.testing.assert_allclose(found["reconstruction"][0], [10, 11, 9, 10, 10, 10, 10, 14], rtol=1e-6)
        np.testing.assert_allclose(found["mae"], [[6 / 8], [0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("properties", "error", "message"),
    [
        pytest.param({"domain": "com.microsoft"}, ArtefactRefusedError, "com.microsoft", id="custom operator"),
        pytest.param({"metadata": {"task": "pose"}}, UnknownFormatError, "pose estimation", id="pose"),
        pytest.param({"metadata": {"task": "segment"}}, UnknownFormatError, "segmentation", id="segmentation"),
        pytest.param({"metadata": {"task": "obb"}}, UnknownFormatError, "OBB", id="rotated boxes"),
    ],
)
def test_what_is_not_served_is_refused(properties, error, message, tmp_path):
    with pytest.raises(error, match=message):
        onnx_files.describe(save_classifier(tmp_path / "m.onnx", **properties))


def test_weights_in_another_file_are_refused_with_what_joins_them(tmp_path):
    model = onnx.load(save_classifier(tmp_path / "m.onnx"))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(ArtefactRefusedError, match=r"onnx\.save\(onnx\.load\('m\.onnx'\)"):
        onnx_files.describe(tmp_path / "m.onnx")


def test_a_second_input_is_refused(tmp_path):
    model = onnx.load(save_classifier(tmp_path / "m.onnx"))
    model.graph.input.append(onnx.helper.make_tensor_value_info("size", onnx.TensorProto.INT64, [2]))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UnknownFormatError, match="2 inputs"):
        onnx_files.describe(tmp_path / "m.onnx")
