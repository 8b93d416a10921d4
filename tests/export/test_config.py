"""Each config.pbtxt is what NVIDIA's Triton reads, and nothing in it is of this machine or of our backends."""

import re

import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from exporters.catalog import Placement
from exporters.config import Config, Tensor, dtype, read_config, to_pbtxt
from exporters.errors import ConfigInvalidError
from exporters.repository import GPU_CONFIG, REPOSITORY

CONFIGS = sorted(REPOSITORY.glob("*/config.pbtxt"))
ON_GPU = {"yolov3_tiny", "wide_resnet50_2", "mobilenet_v2", "efficientnet_lite0", "cars"}
TRITONS_OWN = {"onnxruntime_onnx", "pytorch_libtorch", "tensorflow_savedmodel"}
BACKENDS = REPOSITORY.parent / "triton" / "backends"


def test_a_written_config_is_read_as_it_was_meant(tmp_path):
    config = Config(
        name="my_model",
        platform="pytorch_libtorch",
        inputs=(Tensor("images__0", "TYPE_UINT8", (224, 224, 3)),),
        outputs=(Tensor("probabilities__0", "TYPE_FP32", (1000,), labels=True),),
        parameters={"weights_source": 'a "quoted" back\\slash,\n  } Zürich', "accuracy": "75 %"},
        max_batch_size=16,
        placement=Placement(instances=3, threads=2),
    )
    (tmp_path / "config.pbtxt").write_text(to_pbtxt(config), encoding="utf-8")
    found = read_config(tmp_path / "config.pbtxt")
    assert (found.name, found.platform, found.max_batch_size) == ("my_model", "pytorch_libtorch", 16)
    (images,), (probabilities,) = found.input, found.output
    assert (images.name, images.data_type, list(images.dims)) == (
        "images__0",
        model_config_pb2.TYPE_UINT8,
        [224, 224, 3],
    )
    assert (probabilities.data_type, list(probabilities.dims)) == (model_config_pb2.TYPE_FP32, [1000])
    assert images.format == images.FORMAT_NHWC
    assert (dtype(images), dtype(probabilities)) == (np.uint8, np.float32)
    assert probabilities.label_filename == "labels.txt"
    assert found.dynamic_batching.default_queue_policy.allow_timeout_override
    assert [group.count for group in found.instance_group] == [3]
    assert {name: value.string_value for name, value in found.parameters.items()} == {
        "weights_source": 'a "quoted" back\\slash,\n  } Zürich',
        "accuracy": "75 %",
        "INTRA_OP_THREAD_COUNT": "2",
        "INTER_OP_THREAD_COUNT": "1",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "my_model/config.pbtxt is missing", id="no file"),
        pytest.param(
            b'name: "my_model"\nplatfrom: "x"', r"is not a ModelConfig \(2:1 : .*platfrom", id="unknown field"
        ),
        pytest.param(b"name: '\xff'", "is not a ModelConfig", id="not UTF-8"),
    ],
)
def test_a_config_that_cannot_be_read_is_named(content, message, tmp_path):
    path = tmp_path / "my_model" / "config.pbtxt"
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigInvalidError, match=message):
        read_config(path)


@pytest.mark.parametrize("path", [*CONFIGS, *REPOSITORY.glob(f"*/{GPU_CONFIG}")], ids=lambda path: path.parts[-2])
def test_inputs_of_images_say_so_to_nvidias_clients(path):
    for tensor in read_config(path).input:
        image = len(tensor.dims) == 3
        assert (tensor.format == tensor.FORMAT_NHWC) == image
        assert (tensor.data_type == model_config_pb2.TYPE_UINT8) == image


def test_there_are_configs_to_check():
    assert any(path.parent.name == "yolov3_tiny" for path in CONFIGS)
    assert {path.parents[1].name for path in REPOSITORY.glob("*/configs/gpu.pbtxt")} == ON_GPU


@pytest.mark.parametrize("model", sorted(ON_GPU))
def test_a_gpu_config_differs_in_where_the_model_runs_only(model):
    plain = read_config(REPOSITORY / model / "config.pbtxt")
    gpu = read_config(REPOSITORY / model / GPU_CONFIG)
    assert [(group.kind, group.count) for group in gpu.instance_group] == [(ModelInstanceGroup.KIND_GPU, 1)]
    assert {name for name in plain.parameters if "THREAD" in name.upper()} == set(plain.parameters) - set(
        gpu.parameters
    )
    gpu.ClearField("instance_group")
    plain.ClearField("instance_group")
    for name in set(plain.parameters) - set(gpu.parameters):
        del plain.parameters[name]
    assert gpu == plain


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
class TestTracked:
    def test_triton_parses_it(self, path):
        config = read_config(path)
        assert config.name == path.parent.name
        assert config.platform in TRITONS_OWN
        assert config.max_batch_size >= 8
        assert config.dynamic_batching.default_queue_policy.allow_timeout_override
        assert config.input
        assert config.output

    def test_it_names_neither_our_backends_nor_a_path(self, path):
        config = read_config(path)
        assert not config.backend
        assert not config.runtime
        assert not config.default_model_filename
        assert not config.cc_model_filenames
        assert not any("EXECUTION_ENV" in name for name in config.parameters)
        values = [value.string_value for value in config.parameters.values()]
        for value in (*values, *(output.label_filename for output in config.output)):
            assert not re.search(r"(^|\s)[~.]{0,2}/|\\|\$", value), value
            assert str(BACKENDS) not in value

    def test_it_says_where_the_weights_come_from(self, path):
        values = {name: value.string_value for name, value in read_config(path).parameters.items()}
        assert values["weights"] in ("trained", "untrained")
        assert ("warning" in values) == (values["weights"] == "untrained")
        assert {"weights_source", "weights_licence", "accuracy"} <= values.keys()

    def test_its_labels_are_there_and_fit(self, path):
        for output in read_config(path).output:
            if output.label_filename:
                labels = (path.parent / output.label_filename).read_text(encoding="utf-8").splitlines()
                assert all(label.strip() == label != "" for label in labels)
                if output.data_type == model_config_pb2.TYPE_FP32:
                    assert [len(labels)] == list(output.dims)
