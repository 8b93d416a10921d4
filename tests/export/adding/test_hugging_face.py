"""Folders of Hugging Face's: what their two JSON files settle, for the kinds of image processors that there are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from exporters.adding import hugging_face
from exporters.adding.formats import FORMATS, recognise
from exporters.adding.plan import Description, Hints, Plan
from exporters.errors import UnknownFormatError

CONFIG = {"architectures": ["ViTForImageClassification"], "id2label": {"2": "c", "0": "a", "1": "b"}}
VIT = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.5, 0.25],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 16, "width": 24},
}
NETWORK = """<ir_version: 8, opset_import: ["": 17]>
network (float[batch,3,height,width] pixel_values) => (float[batch,3] logits)
<float[3,3] weights = {3, 0, 0, 0, 2, 0, 0, 0, -1}> {
  pooled = GlobalAveragePool(pixel_values)
  features = Flatten(pooled)
  logits = Gemm(features, weights)
}"""


def folder(path: Path, config: Any = CONFIG, preprocessor: Any = VIT, place: str = "model.onnx") -> Path:
    """A classifier of three classes whose logits are the means of the channels."""
    (path / place).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(onnx.parser.parse_model(NETWORK), path / place)
    (path / "config.json").write_text(json.dumps(config))
    (path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return path


def test_a_classifier_is_served_as_its_processor_prepares_images(tmp_path):
    path = folder(tmp_path / "vit", place="onnx/model.onnx")
    found = hugging_face.describe(path, Hints())
    planned = Plan(
        "vit", "classification", found.platform, original_outputs=("logits",), size_hw=found.size_hw or (0, 0),
        layout=found.layout or "nhwc", mean=found.mean or (), std=found.std or (), labels=found.labels,
        activation=found.activation or "none",
    )  # fmt: skip
    samples = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), np.uint8)

    hugging_face.build(path, planned, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (served,) = session.run(["probabilities"], {"images": samples})

    logits = (((samples / 255.0) - [0.5, 0.4, 0.3]) / [0.5, 0.5, 0.25]).mean((1, 2)) * [3, 2, -1]
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(served, expected, atol=1e-5)
    np.testing.assert_allclose(hugging_face.reference(path, planned, samples)["probabilities"], expected, atol=1e-5)
    assert FORMATS[recognise(path)].module == hugging_face.__name__
    assert (found.labels, found.activation, found.metadata["task"]) == (("a", "b", "c"), "softmax", "classify")


CONVNEXT = {**VIT, "crop_pct": 0.875, "size": {"shortest_edge": 224}, "resample": 3}
MOBILENET = {**VIT, "do_center_crop": True, "size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}


@pytest.mark.parametrize(
    ("preprocessor", "expected"),
    [
        pytest.param(VIT, {"size_hw": (16, 24), "resize_mode": "stretch", "interpolation": "bilinear"}, id="stretched"),
        pytest.param({**VIT, "size": 32}, {"size_hw": (32, 32), "resize_mode": "stretch"}, id="one number"),
        pytest.param(
            MOBILENET, {"size_hw": (224, 224), "resize_mode": "center_crop", "resize_size": 256}, id="cropped"
        ),
        pytest.param(
            CONVNEXT,
            {"size_hw": (224, 224), "resize_mode": "center_crop", "resize_size": 256, "interpolation": "bicubic"},
            id="ConvNeXT",
        ),
        pytest.param(
            {**CONVNEXT, "size": {"shortest_edge": 384}},
            {"size_hw": (384, 384), "resize_mode": "stretch", "resize_size": None},
            id="large ConvNeXT",
        ),
        pytest.param(
            {**VIT, "size": {"shortest_edge": 800, "longest_edge": 1333}},
            {"size_hw": None, "resize_mode": None},
            id="DETR, of no fixed size",
        ),
        pytest.param({**VIT, "do_normalize": False}, {"mean": (0.0,), "std": (255.0,)}, id="only rescaled"),
        pytest.param(
            {**VIT, "do_rescale": False, "do_normalize": False}, {"mean": (0.0,), "std": (1.0,)}, id="not even that"
        ),
        pytest.param({**VIT, "do_flip_channel_order": True}, {"channel_order": "bgr"}, id="BGR"),
        pytest.param(VIT, {"mean": (127.5, 102.0, 76.5), "std": (127.5, 127.5, 63.75)}, id="normalised"),
    ],
)
def test_the_processors_rule_is_read(preprocessor, expected, tmp_path):
    found: Description = hugging_face.describe(folder(tmp_path / "own", preprocessor=preprocessor), Hints())
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        pytest.param({"architectures": ["SegformerForSemanticSegmentation"]}, "is a SegformerFor", id="another task"),
        pytest.param(["no", "object"], "is not an object", id="not an object"),
    ],
)
def test_other_networks_are_named(config, complaint, tmp_path):
    with pytest.raises(UnknownFormatError, match=complaint):
        hugging_face.describe(folder(tmp_path / "own", config), Hints())


def test_weights_without_a_graph_are_refused_with_the_command_that_converts_them(tmp_path):
    path = folder(tmp_path / "own")
    (path / "model.onnx").rename(path / "model.safetensors")
    with pytest.raises(UnknownFormatError, match="optimum-cli export onnx --model own own"):
        hugging_face.describe(path, Hints())
