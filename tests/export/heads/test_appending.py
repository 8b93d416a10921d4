"""The models that appending makes: opsets, batches, names, and unusual numbers of boxes."""

import numpy as np
import onnx
import onnxruntime
import pytest
from detectors import CLASSES, FAMILIES, HW, OBJECTS, Object, detector, listed, table
from onnx import TensorProto, helper, numpy_helper

from exporters import heads


def answer(model: onnx.ModelProto, count: int = 1) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["images"]
    images = np.ones((count, 3, *HW), np.float32)
    return dict(
        zip(
            ("boxes", "scores", "classes"), session.run(["boxes", "scores", "classes"], {"images": images}), strict=True
        )
    )


def appended(model: onnx.ModelProto, text: str = "") -> onnx.ModelProto:
    head = heads.recognise(model, {}, head=text)[0]
    return heads.append(model, head.name, head.options, HW)


def assert_finds_the_objects(found: dict[str, np.ndarray]) -> None:
    for image in range(len(found["boxes"])):
        np.testing.assert_allclose(found["boxes"][image, : len(OBJECTS)], [each.box for each in OBJECTS], atol=1e-5)
        assert found["classes"][image, : len(OBJECTS)].tolist() == [each.label for each in OBJECTS]


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 18, 21])
@pytest.mark.parametrize("name", ["YOLOv3", "YOLOv8", "YOLOX", "TF OD API", "DETR", "RT-DETR, deployed"])
def test_models_of_all_usual_opsets_are_appended_to(name, opset):
    family = FAMILIES[name]
    model = detector(family.outputs(OBJECTS, CLASSES), **family.model, opset=opset)
    result = appended(model)
    onnx.checker.check_model(result, full_check=True)
    assert result.opset_import == model.opset_import
    assert_finds_the_objects(answer(result))


def reshaped(outputs: dict[str, np.ndarray], opset: int, ir_version: int) -> onnx.ModelProto:
    """A model without anything that is new: constants, which it lists among its inputs."""
    constants = [numpy_helper.from_array(values, f"{name} values") for name, values in outputs.items()]
    nodes = [helper.make_node("Identity", [f"{name} values"], [name]) for name in outputs]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape) for name, values in outputs.items()]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *HW])
    weights = [helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in constants]
    graph = helper.make_graph(nodes, "old", [images, *weights], infos, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


@pytest.mark.parametrize("opset", [7, 9, 10, 11])
def test_files_that_list_their_weights_among_the_inputs_are_appended_to(opset):
    result = appended(reshaped({"scores": table(OBJECTS, CLASSES).transpose(0, 2, 1)}, opset, ir_version=3))
    onnx.checker.check_model(result, full_check=True)
    assert_finds_the_objects(answer(result))


def test_the_model_that_is_appended_to_stays_as_it_was():
    model = detector(FAMILIES["YOLOv8"].outputs(OBJECTS, CLASSES))
    before = model.SerializeToString()
    appended(model)
    assert model.SerializeToString() == before


@pytest.mark.parametrize(("batch", "dimension"), [(None, 0), (1, 1), (4, 4)])
def test_the_batch_of_the_outputs_is_that_of_the_images(batch, dimension):
    model = detector(FAMILIES["YOLOv8"].outputs(OBJECTS, CLASSES), batch=batch)
    result = appended(model)
    assert [each.type.tensor_type.shape.dim[0].dim_value for each in result.graph.output] == [dimension] * 3
    assert_finds_the_objects(answer(result, batch or 3))


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT])
def test_sizes_are_fed_to_deployed_models_in_the_type_that_they_take(kind):
    model = detector(listed(OBJECTS, rows=300), sizes=True)
    model.graph.input[1].type.tensor_type.elem_type = kind
    assert_finds_the_objects(answer(appended(model), count=2))


@pytest.mark.parametrize("count", [0, 1, 300, 450])
@pytest.mark.parametrize("name", ["torchvision", "PaddleDetection", "YOLOv7, NMS"])
def test_lists_of_any_length_become_300(name, count):
    """The longest list has scores that ascend: the best 300 are its last."""
    family = FAMILIES[name]
    (head, *_) = heads.recognise(detector(family.outputs(OBJECTS, CLASSES), batch=1), {})
    scores = np.linspace(0.1, 0.9, count)[::-1]
    objects = [Object((0.25, 0.25, 0.5, 0.75), index % 3, float(score)) for index, score in enumerate(scores)]
    model = detector(family.outputs(objects, CLASSES), batch=1)
    found = answer(heads.append(model, head.name, head.options, HW))
    kept = min(count, 300)
    np.testing.assert_allclose(found["scores"][0, :kept], scores[:kept], atol=1e-6)
    assert found["classes"][0, :kept].tolist() == [index % 3 for index in range(kept)]
    assert not any(values[0, kept:].any() for values in found.values())


def test_more_objects_than_300_lose_the_weakest():
    values = table((), 2, rows=378, objectness=True)
    values[0, :, 4], values[0, :, 5] = 1, np.linspace(0.1, 0.9, 378)
    found = answer(appended(detector({"output0": values})))
    np.testing.assert_allclose(found["scores"][0], np.linspace(0.1, 0.9, 378)[:77:-1], atol=1e-6)
    assert not found["classes"].any()


def test_all_classes_of_a_box_count():
    values = table((), 3, rows=126)
    values[0, 5, 4:] = 0.2, 0.9, 0.6
    values[0, 9, 4:] = 0.7, 0.6, 0.1
    found = answer(appended(detector({"output0": values.transpose(0, 2, 1)})))
    np.testing.assert_allclose(found["scores"][0, :6], [0.9, 0.7, 0.6, 0.6, 0.2, 0.1])
    assert found["classes"][0, :6].tolist() == [1, 0, 2, 1, 0, 2]  # of equal scores, first that of the better box


def test_fewer_boxes_than_300_are_filled_up_with_zeros():
    found = answer(appended(detector(FAMILIES["DETR"].outputs((), 1)), "detr"))
    assert not any(values[0, 100:].any() for values in found.values())


def test_tensors_of_the_model_may_have_the_names_of_the_outputs():
    """RT-DETR's are called boxes and scores, too."""
    result = appended(detector(listed(OBJECTS, rows=300), sizes=True))
    assert [each.name for each in result.graph.output] == ["boxes", "scores", "classes"]
    assert_finds_the_objects(answer(result))
