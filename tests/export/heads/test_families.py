"""From the raw outputs of each family to boxes: hand-made objects, and a naive reference on random outputs."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from detectors import CLASSES, FAMILIES, HW, OBJECTS, Family, detector

from exporters import heads
from exporters.adding.plan import Head

Tensors = Mapping[str, npt.NDArray[np.float32]]


def run(model: onnx.ModelProto, images: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {"images": images}
    if len(session.get_inputs()) == 2:
        feed["orig_target_sizes"] = np.array([HW[::-1]] * len(images))
    return dict(zip((output.name for output in session.get_outputs()), session.run(None, feed), strict=True))


def lights(*values: float, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[np.float32]:
    """Images of one brightness each."""
    return np.array(values, dtype).reshape(-1, 1, 1, 1) * np.ones((1, 3, *HW), dtype)


def recognised(model: onnx.ModelProto, family: Family, classes: int = CLASSES) -> Head:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    labels = classes if family.labels else 0
    return heads.recognise(model, metadata, labels=labels, head=family.stated)[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_head_is_recognised_and_finds_the_objects(name):
    family = FAMILIES[name]
    original = detector(family.outputs(OBJECTS, CLASSES), **family.model)
    head = recognised(original, family)
    assert head.name == family.head
    assert (head.facts[0].what, head.facts[0].sure) == ("head", family.sure or bool(family.stated))
    assert head.classes in (0, CLASSES)
    model = heads.append(original, head.name, head.options, HW)
    onnx.checker.check_model(model, full_check=True)
    found = run(model, lights(1))
    assert {key: (values.dtype, values.shape) for key, values in found.items()} == {
        "boxes": (np.float32, (1, 300, 4)),
        "scores": (np.float32, (1, 300)),
        "classes": (np.int32, (1, 300)),
    }
    count = len(OBJECTS)
    np.testing.assert_allclose(found["boxes"][0, :count], [each.box for each in OBJECTS], atol=1e-5)
    np.testing.assert_allclose(found["scores"][0, :count], [each.score for each in OBJECTS], atol=1e-5)
    assert found["classes"][0, :count].tolist() == [each.label for each in OBJECTS]
    assert found["scores"][0, count:].max() < 1e-3


def random_outputs(outputs: Tensors, ties: bool) -> Tensors:
    """The outputs with random scores and sizes; `ties`: scores are tenths."""
    noise = np.random.default_rng(7)
    changed = {}
    for key, values in outputs.items():
        spread = noise.random(values.shape).astype(values.dtype)
        if values.dtype.kind != "f" or key == "detection_classes":
            changed[key] = values
        elif values.min() < 0:  # logits
            changed[key] = (np.round(spread, 1) if ties else spread) * 6 - 3
        elif values.max() <= 1 and "boxes" not in key and "dets" not in key:
            changed[key] = np.round(spread, 1) if ties else spread
        else:
            changed[key] = values * (0.5 + spread / 2)
    return changed


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    ("classes", "float_type", "ties"),
    [
        pytest.param(CLASSES, np.float32, False, id="fp32"),
        pytest.param(CLASSES, np.float32, True, id="ties"),
        pytest.param(CLASSES, np.float16, False, id="fp16"),
        pytest.param(1, np.float32, False, id="one class"),
    ],
)
def test_the_graph_answers_as_the_naive_reference(name, classes, float_type, ties):
    family = FAMILIES[name]
    outputs = family.outputs([replace(each, label=each.label % classes) for each in OBJECTS], classes)
    head = recognised(detector(outputs, **family.model), family, classes)
    original = detector(random_outputs(outputs, ties), **family.model, float_type=float_type)
    images = lights(1, 0.5, 0.25, dtype=float_type)[: 1 if family.model.get("batch") == 1 else 3]
    expected = heads.reference(run(original, images), head.name, head.options, HW)
    found = run(heads.append(original, head.name, head.options, HW), images)
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-5, atol=1e-6)
    gaps = np.abs(np.diff(expected["scores"], axis=1, prepend=2, append=-1))
    distinct = (gaps[:, 1:] > 1e-5) & (gaps[:, :-1] > 1e-5)  # of others, rounding decides the order
    if ties and head.name != "detr":  # whose softmax rounds
        distinct[:] = True
    assert distinct.any()
    np.testing.assert_array_equal(found["classes"][distinct], expected["classes"][distinct])
    atol = 1e-5 if float_type == np.float32 else 1e-3
    np.testing.assert_allclose(found["boxes"][distinct], expected["boxes"][distinct], rtol=1e-4, atol=atol)
