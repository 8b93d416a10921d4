"""An artefact that reads other files is never published."""

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from exporters.errors import ArtefactRefusedError
from exporters.safety import refuse_dangerous


def stored(name: str) -> TensorProto:
    return numpy_helper.from_array(np.ones(4, np.float32), name)


def elsewhere(name: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def graph(tensor: TensorProto, *nodes: onnx.NodeProto) -> GraphProto:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    return helper.make_graph([*nodes, helper.make_node("Identity", [tensor.name], ["y"])], "g", [], [output], [tensor])


def constant(tensor: TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["c"], value=tensor)


def branch(inner: GraphProto) -> onnx.NodeProto:
    return helper.make_node("If", ["condition"], ["i"], then_branch=inner, else_branch=graph(stored("e")))


def function_of(node: onnx.NodeProto) -> ModelProto:
    function = helper.make_function("local", "f", [], ["c"], [node], [helper.make_opsetid("", 17)])
    return helper.make_model(graph(stored("w")), functions=[function])


def sparse() -> ModelProto:
    model = helper.make_model(graph(stored("w")))
    model.graph.sparse_initializer.add(values=elsewhere("s"), dims=[9])
    return model


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(helper.make_model(graph(elsewhere("w"))), id="a weight"),
        pytest.param(helper.make_model(graph(stored("w"), constant(elsewhere("c")))), id="a constant"),
        pytest.param(helper.make_model(graph(stored("w"), branch(graph(elsewhere("v"))))), id="a weight in a branch"),
        pytest.param(
            helper.make_model(graph(stored("w"), branch(graph(stored("v"), branch(graph(elsewhere("u"))))))),
            id="a branch in a branch",
        ),
        pytest.param(function_of(constant(elsewhere("c"))), id="a constant in a function"),
        pytest.param(function_of(branch(graph(elsewhere("v")))), id="a branch in a function"),
        pytest.param(sparse(), id="a sparse weight"),
    ],
)
def test_onnx_with_data_in_other_files_is_refused(model, tmp_path):
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ArtefactRefusedError, match=r"model\.onnx keeps '.' in another file"):
        refuse_dangerous(tmp_path)


def test_operators_of_others_are_refused(tmp_path):
    node = helper.make_node("Run", [], ["z"], domain="com.example")
    (tmp_path / "model.onnx").write_bytes(helper.make_model(graph(stored("w"), node)).SerializeToString())
    with pytest.raises(ArtefactRefusedError, match=r"model.onnx needs operators of 'com.example'"):
        refuse_dangerous(tmp_path)


@pytest.mark.parametrize("target", [pytest.param("model.pt", id="inside"), pytest.param("/etc/hosts", id="outside")])
def test_links_are_refused(target, tmp_path):
    folder = tmp_path / "model.savedmodel" / "variables"
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(target)
    with pytest.raises(ArtefactRefusedError, match="link is a link"):
        refuse_dangerous(tmp_path)


def test_a_whole_model_passes(tmp_path):
    model = helper.make_model(graph(stored("w"), constant(stored("c")), branch(graph(stored("v")))))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    refuse_dangerous(tmp_path)
