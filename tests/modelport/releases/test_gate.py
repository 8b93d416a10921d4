"""Whatever is wrong with a model, the gate says what, and what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from frameworks import run_script
from int8_networks import add_int8
from toy_model import add_model

from exporters.files import content_sha256
from modelport.releases.errors import GateError
from modelport.releases.gate import CHECKS, artefacts, harmless
from modelport.releases.gate.golden import check_golden_answers
from modelport.releases.release import RELEASE_FILE, SIGNATURE_FILE

Change = Callable[[Path], None]
PLATFORMS = ("onnxruntime_onnx", "pytorch_libtorch")


def pass_static_checks(folder: Path) -> None:
    for check in CHECKS.values():
        check(folder)


def in_config(old: str, new: str, file: str = "config.pbtxt") -> Change:
    def change(model: Path) -> None:
        text = (model / file).read_text()
        assert old in text
        (model / file).write_text(text.replace(old, new))

    return change


def add(path: str, content: bytes = b"x") -> Change:
    def change(model: Path) -> None:
        (model / path).parent.mkdir(exist_ok=True)
        (model / path).write_bytes(content)

    return change


def gpu_config(model: Path) -> None:
    add("configs/gpu.pbtxt", (model / "config.pbtxt").read_bytes().replace(b"dims: [3]", b"dims: [4]"))(model)


def link_artefact(model: Path) -> None:
    artefact = next((model / "1").iterdir())
    artefact.rename(model.parent.parent / artefact.name)
    artefact.symlink_to(model.parent.parent / artefact.name)


def external_data(model: Path) -> None:
    loaded = onnx.load(model / "1" / "model.onnx")
    for tensor in loaded.graph.initializer:  # only raw data is kept elsewhere
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    onnx.save(loaded, model / "1" / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    (model / "1" / "weights").unlink()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_right_model_passes(platform, tmp_path):
    add_model(tmp_path, platform)
    pass_static_checks(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(in_config("max_batch_size: 8", "max_batch_size: many"), "is not a ModelConfig", id="no number"),
        pytest.param(in_config('name: "toy"', 'title: "toy"'), "is not a ModelConfig .* no field", id="unknown field"),
        pytest.param(lambda model: (model / "config.pbtxt").unlink(), "config.pbtxt is missing", id="no config"),
        pytest.param(in_config('name: "toy"', 'name: "cat"'), "is of model 'cat'", id="another model's config"),
        pytest.param(
            in_config("max_batch", 'model_operations { op_library_filename: "x.so" }\nmax_batch'),
            "sets model_operations",
            id="a library to load",
        ),
        pytest.param(
            in_config('platform: "onnx', 'backend: "python"\nplatform: "onnx'), "sets backend", id="a backend"
        ),
        pytest.param(in_config('key: "weights"', 'key: "EXECUTION_ENV_PATH"'), "runs another program", id="a program"),
        pytest.param(in_config("onnxruntime_onnx", "ensemble"), "is of platform 'ensemble'", id="another platform"),
        pytest.param(in_config("max_batch_size: 8", "max_batch_size: 0"), "and a batch size", id="no batches"),
        pytest.param(in_config('name: "x__0"', 'name: "pixels"'), "declares input .*pixels.*x__0", id="input's name"),
        pytest.param(in_config('name: "y__0"', 'name: "score"'), "declares output .*score.*y__0", id="output's name"),
        pytest.param(in_config("FP32\n  dims: [2]", "UINT8\n  dims: [2]"), "uint8, the artefact float32", id="dtype"),
        pytest.param(in_config("dims: [2]", "dims: [5]"), r"x__0 \[5\], the artefact \[2\]", id="input's size"),
        pytest.param(in_config("dims: [3]", "dims: [3, 1]"), r"y__0 \[3, 1\], the artefact \[3\]", id="output's rank"),
        pytest.param(gpu_config, r"gpu.pbtxt declares output y__0 \[4\]", id="only the GPU's config"),
        pytest.param(add("labels.txt", b"one\ntwo\n"), "2 labels for 3 classes", id="a label too few"),
        pytest.param(add("labels.txt", b"one\n\nthree\n"), "an empty line", id="a class without name"),
        pytest.param(lambda model: (model / "labels.txt").unlink(), "labels.txt is missing", id="no labels"),
        pytest.param(add("1/model.onnx", b"\x00damaged"), "toy cannot be read", id="damaged artefact"),
        pytest.param(add("1/model.py"), "toy/1/model.py is not needed", id="a Python model"),
        pytest.param(add("libcustom.so"), "libcustom.so is not needed", id="a library"),
        pytest.param(add("golden/empty.json", b""), "empty.json is empty", id="an empty file"),
        pytest.param(link_artefact, "model.onnx is a link", id="a link"),
        pytest.param(external_data, "keeps 'weights' in another file", id="data in another file"),
        pytest.param(in_config('"trained"', '"untrained"'), "untrained: toy", id="untrained weights"),
        pytest.param(in_config('key: "weights"', 'key: "wights"'), "untrained: toy", id="weights not stated"),
    ],
)
def test_each_wrong_thing_is_refused(change, complaint, tmp_path):
    change(add_model(tmp_path / "models"))
    with pytest.raises(GateError, match=complaint):
        pass_static_checks(tmp_path / "models")


def foreign_operation(int8: Path) -> None:
    in_config('version="opset1"', 'version="extension"', "model.xml")(int8)
    repaired(int8)


def other_output(int8: Path) -> None:
    in_config('"y__0"', '"z__0"', "model.xml")(int8)
    repaired(int8)


def repaired(int8: Path) -> None:
    """Let the proof name the files as they are."""
    proof = json.loads((int8 / "proof.json").read_text())
    proof["files"] = {name: content_sha256(int8 / name) for name in proof["files"]}
    (int8 / "proof.json").write_text(json.dumps(proof))


def in_proof(**entries: object) -> Change:
    def change(int8: Path) -> None:
        proof = json.loads((int8 / "proof.json").read_text())
        (int8 / "proof.json").write_text(json.dumps({**proof, **entries}))

    return change


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_int8_network_beside_the_artefact_passes(platform, tmp_path):
    add_int8(add_model(tmp_path, platform))
    pass_static_checks(only_newest(tmp_path))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(add("model.bin"), "made for another model.bin", id="other weights"),
        pytest.param(add("golden.npz"), "made for another golden.npz", id="another golden set"),
        pytest.param(add("answer.json"), "made for another answer.json", id="another answer"),
        pytest.param(add("../model.onnx", b"x"), "made for another model.onnx|cannot be read", id="another artefact"),
        pytest.param(lambda int8: (int8 / "model.bin").unlink(), "made for another model.bin", id="no weights"),
        pytest.param(lambda int8: (int8 / "proof.json").unlink(), "proof.json is no proof", id="no proof"),
        pytest.param(add("proof.json", b"{"), "proof.json is no proof", id="a damaged proof"),
        pytest.param(add("proof.json", b"[1]"), "proof.json is no proof", id="a list for a proof"),
        pytest.param(in_proof(instruction_sets={}), "is no proof", id="proven nowhere"),
        pytest.param(in_proof(instruction_sets={"AVX2": {}}), "is no proof", id="nothing proven"),
        pytest.param(in_proof(instruction_sets={"AVX2": {"passed": False}}), "not proven on AVX2", id="not proven"),
        pytest.param(in_proof(files={}), "says nothing of model.xml", id="no digests"),
        pytest.param(foreign_operation, "operations of 'extension'", id="an operation of an extension"),
        pytest.param(other_output, "declares output .*y__0.*z__0", id="another output"),
        pytest.param(add("model.py"), "int8/model.py is not needed", id="a program"),
    ],
)
def test_an_int8_network_that_is_not_what_was_proven_is_refused(change, complaint, tmp_path):
    change(add_int8(add_model(tmp_path)))
    with pytest.raises(GateError, match=complaint):
        pass_static_checks(only_newest(tmp_path))


def only_newest(repository: Path) -> Path:
    """The folder as a release has it."""
    for model_dir in repository.iterdir():
        shutil.rmtree(model_dir / "1")
    return repository


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(in_config("dims: [2]", "dims: [5]"), "cannot be read", id="input's size"),
        pytest.param(in_config("dims: [3]", "dims: [4]"), r"y__0 \[4\], the artefact \[3\]", id="output's size"),
        pytest.param(lambda model: (model / "1/model.pt").write_bytes(b"x"), "cannot be read", id="damaged"),
    ],
)
def test_torchscript_is_compared_with_its_config(change, complaint, tmp_path):
    change(add_model(tmp_path, "pytorch_libtorch"))
    with pytest.raises(GateError, match=complaint):
        pass_static_checks(tmp_path)


def test_saved_models_are_compared_with_their_config(tmp_path, repository):
    shutil.copytree(repository / "mnist", tmp_path / "mnist")
    artefacts.check_artefacts(tmp_path)
    in_config("dims: [28, 28, 1]", "dims: [28, 28, 3]")(tmp_path / "mnist")
    with pytest.raises(GateError, match=r"images \[28, 28, 3\], the artefact \[28, 28, 1\]"):
        artefacts.check_artefacts(tmp_path)


def test_a_saved_model_that_reads_files_is_refused(tmp_path, repository):
    shutil.copytree(repository / "mnist", tmp_path / "mnist")
    graph_file = next((tmp_path / "mnist").glob("*/model.savedmodel/saved_model.pb"))
    run_script("tensorflow", "saved_model.py", "add", graph_file, "ReadFile")
    with pytest.raises(GateError, match=r"mnist: model\.savedmodel uses ReadFile"):
        artefacts.check_artefacts(tmp_path)


def test_torchscript_that_prints_is_refused(tmp_path):
    add_model(tmp_path, "pytorch_libtorch", printing=True)
    with pytest.raises(GateError, match=r"toy: model\.pt uses prim::Print"):
        artefacts.check_artefacts(tmp_path)


def test_labels_of_class_numbers_reach_as_far_as_the_golden_answer(tmp_path, repository):
    shutil.copytree(repository / "yolov3_tiny", tmp_path / "yolov3_tiny", ignore=shutil.ignore_patterns("*.onnx"))
    artefacts.check_labels(tmp_path)
    labels = tmp_path / "yolov3_tiny" / "labels.txt"
    labels.write_text("".join(labels.read_text().splitlines(keepends=True)[:45]))
    with pytest.raises(GateError, match="45 labels and answers class 45"):
        artefacts.check_labels(tmp_path)


def test_weights_of_the_catalog_have_its_sha256(tmp_path, repository):
    shutil.copytree(repository / "yolov3_tiny", tmp_path / "yolov3_tiny", ignore=shutil.ignore_patterns("*.onnx"))
    check = CHECKS["weights are those of the catalog"]
    check(tmp_path)
    in_config("dccea06f", "0ccea06f")(tmp_path / "yolov3_tiny")
    with pytest.raises(GateError, match=r"states weights 0ccea06f.*, the catalog has dccea06f"):
        check(tmp_path)


def test_what_is_too_large_is_refused(tmp_path):
    artefact = add_model(tmp_path) / "1" / "model.onnx"
    with artefact.open("r+b") as stream:
        stream.truncate(harmless.MAX_BYTES)
    with pytest.raises(GateError, match=r"2\.0 GB are more than 2 GB"):
        pass_static_checks(tmp_path)


def test_a_real_triton_gives_the_golden_answer_beside_what_a_release_adds(tmp_path):
    model = add_model(tmp_path)
    for name in (RELEASE_FILE, SIGNATURE_FILE):
        (tmp_path / name).write_bytes(b"{}")
    assert check_golden_answers(tmp_path, ["toy"]).startswith("2.")

    answer = json.loads((model / "golden" / "answer.json").read_text())
    answer["outputs"]["y__0"]["values"][1] = 12.002
    (model / "golden" / "answer.json").write_text(json.dumps(answer))
    with pytest.raises(GateError, match=r"output y__0 is off by 0\.002"):
        check_golden_answers(tmp_path, ["toy"])


def test_what_triton_cannot_load_is_refused(tmp_path):
    in_config("dims: [2]", "dims: []")(add_model(tmp_path))
    with pytest.raises(GateError, match=r"Triton does not serve it: .*toy.*dims"):
        check_golden_answers(tmp_path, ["toy"])
