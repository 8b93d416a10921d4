"""NNCF quantises a small network: it is written only where it is proven, and served only where it proves itself.

The network tells which of three colours is brightest.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporters.config import FILENAME, Config, Tensor, to_pbtxt
from exporters.errors import ArtefactRefusedError, ProofMissedError
from exporters.files import content_sha256
from exporters.golden import Golden, write_golden
from exporters.quantising import network, ptq
from exporters.quantising.images import Inputs
from exporters.quantising.making import make
from exporters.quantising.processors import instruction_sets
from kserve_transformers.arrays.golden import Expected
from modelport.stack.triton_distribution import Distribution

SIZE = 16
OUTPUT = "probabilities"
Nodes = list[onnx.NodeProto]


def save(path: Path, layers: bool = True) -> None:
    """Normalisation, a convolution, a matrix product and softmax; or no layer at all."""
    generator = np.random.default_rng(7)
    filters = np.eye(3)[np.arange(8) % 3][:, :, None, None] / 9 + generator.normal(0, 0.01, (8, 3, 3, 3))
    weights = {"filters": filters, "bias": generator.normal(0, 0.01, 8), "rows": 12 * np.eye(3)[np.arange(8) % 3]}
    nodes: Nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "most"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "filters", "bias"], ["maps"]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active" if layers else "planes"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "rows"], ["logits"]),
        helper.make_node("Softmax", ["logits" if layers else "flat"], [OUTPUT]),
    ]
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(
        [node for node in nodes if layers or node.op_type not in ("Conv", "Relu", "MatMul")],
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.float32(255), "most"), *constants],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def images(count: int, seed: int, light: float = 1.0) -> Inputs:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    means = generator.uniform(20, 110, (count, 3)) + 100 * np.eye(3)[labels]
    pixels = means[:, None, None] + generator.normal(0, 20, (count, SIZE, SIZE, 3))
    return Inputs({"images": (np.clip(pixels, 0, 255) * light).astype(np.uint8)}, np.arange(count), labels)


def proof_images(count: int) -> Inputs:
    return images(count, 11)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """Version 1 is the artefact alone, version 2 has an int8 network."""
    folder = new_model(tmp_path_factory.mktemp("repository") / "colours")
    assert quantise(folder).version == 2
    return folder


def new_model(folder: Path, layers: bool = True) -> Path:
    (folder / "1").mkdir(parents=True)
    save(folder / "1" / "model.onnx", layers)
    tensors = Tensor("images", "TYPE_UINT8", (SIZE, SIZE, 3)), Tensor(OUTPUT, "TYPE_FP32", (3,))
    config = Config(folder.name, "onnxruntime_onnx", tensors[:1], tensors[1:])
    (folder / FILENAME).write_text(to_pbtxt(config))
    sample = images(1, 3).arrays
    answer = network.answering(network.read(folder), (OUTPUT,))(sample)[OUTPUT][0]
    write_golden(folder, Golden({"images": sample["images"][0]}, {OUTPUT: Expected(answer, 0.005)}))
    return folder


def quantise(model_dir: Path, light: float = 1.0) -> Any:
    return make(
        model_dir,
        "classification",
        images(50, 5, light),
        images(50, 6, light),
        proof_images,
        600,
        "here",
        select_layers=False,
    )


def test_what_is_proven_becomes_a_version_beside_its_artefact(model_dir, distribution):
    int8 = model_dir / "2" / "int8"
    proof = json.loads((int8 / "proof.json").read_text())
    assert content_sha256(model_dir / "2" / "model.onnx") == content_sha256(model_dir / "1" / "model.onnx")
    assert proof["artefact"]["sha256"] == content_sha256(model_dir / "1" / "model.onnx")
    assert proof["quantisation"]["int8_layers"] == 2
    assert (proof["calibration"]["inputs"], proof["evaluation"]["inputs"]) == (50, 600)
    assert tuple(proof["instruction_sets"]) == instruction_sets()
    assert all(one["passed"] and one["findings"] for one in proof["instruction_sets"].values())
    assert proof["golden"]["power"] >= 0.95
    assert proof["files"] == {path.name: content_sha256(path) for path in int8.iterdir() if path.name != "proof.json"}
    assert load(distribution, int8).passed.endswith("golden answers are right on this processor")


def test_a_saturating_network_is_refused_by_the_proof_and_at_load(model_dir, distribution, tmp_path):
    """Ranges that were chosen by dark images: bright ones are above all of them."""
    with pytest.raises(ProofMissedError, match=r"int8 colours is not proven.*on AVX.*top-1 agreement .*broken"):
        quantise(model_dir, light=0.02)
    assert sorted(path.name for path in model_dir.iterdir()) == ["1", "2", "config.pbtxt", "golden"]

    import openvino

    int8 = Path(shutil.copytree(model_dir / "2" / "int8", tmp_path / "int8"))
    dark = [{"images": row[None]} for row in images(50, 5, 0.02).arrays["images"]]
    openvino.save_model(ptq.quantise(network.read(model_dir), dark), int8 / "model.xml", compress_to_fp16=False)
    proof = json.loads((int8 / "proof.json").read_text())
    proof["files"] |= {name: content_sha256(int8 / name) for name in ("model.xml", "model.bin")}
    (int8 / "proof.json").write_text(json.dumps(proof))
    with pytest.raises(Exception, match=r"golden answers are wrong on this processor, \d may be") as refused:
        load(distribution, int8)
    assert type(refused.value).__name__ == "Int8Error"


def test_a_network_without_layers_is_refused(tmp_path):
    with pytest.raises(ArtefactRefusedError, match="no layer that can be quantised"):
        quantise(new_model(tmp_path / "colours", layers=False))


def test_scaling_and_softmax_stay_as_they_are(model_dir):
    model = network.read(model_dir)
    kinds = {op.get_friendly_name(): op.get_type_name() for op in model.get_ordered_ops()}
    kept = {kinds[name] for name in ptq.outside(model)}
    assert {"Convert", "Softmax", "Transpose"} <= kept
    assert not {"Convolution", "MatMul", "Relu", "Add"} & kept
    quantised = ptq.quantise(model, [{"images": row[None]} for row in images(20, 5).arrays["images"]])
    users = {
        use.get_node().get_type_name()
        for op in quantised.get_ordered_ops()
        if op.get_type_name() == "FakeQuantize"
        for output in op.outputs()
        for use in output.get_target_inputs()
    }
    assert ptq.quantised_layers(quantised) == len(ptq.weighted_layers(model)) == 2
    assert not {"Softmax", "Convert", "Transpose", "Divide", "Multiply"} & users


def load(distribution: Distribution, int8: Path) -> Any:
    """The network as the Triton backend loads it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(distribution.backends / "python")
        import int8 as backend
        from modelport_backend import TensorSpec

        inputs, outputs = TensorSpec("images", "uint8", (SIZE, SIZE, 3)), TensorSpec(OUTPUT, "float32", (3,))
        return backend.Int8Network(int8, 1, [inputs], [outputs], batches=True)
