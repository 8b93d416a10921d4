"""Users' SavedModels and .keras files that are refused, and that run nothing before they are."""

import functools
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from added_models import planned
from keras_networks import classifier, exported, keras_file

from exporters import tensorflow_runtime
from exporters.adding import keras_files, saved_models
from exporters.adding.plan import Hints
from exporters.errors import ArtefactRefusedError, UnclearModelError, UnknownFormatError

tf = tensorflow_runtime.start()
import keras  # noqa: E402  (after its log output has been silenced)

L = keras.layers
NONE = Hints()
plan = functools.partial(planned, unsure={"layout": "nhwc", "mean": (127.5,), "std": (127.5,)})
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def function(call: Callable[[Any], Any], *shape: int | None) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        module = tf.Module()
        module.serve = tf.function(lambda given: {"out": call(given)}, autograph=False)
        concrete = module.serve.get_concrete_function(tf.TensorSpec([None, *shape], tf.float32, "given"))
        tf.saved_model.save(module, str(folder / "own"), signatures=concrete)
        return folder / "own"

    return write


def with_table(folder: Path) -> Path:
    module = tf.Module()
    keys = tf.lookup.KeyValueTensorInitializer(tf.constant([1], tf.int64), tf.constant([2], tf.int64))
    module.table = tf.lookup.StaticHashTable(keys, 0)
    module.serve = tf.function(
        lambda given: {"out": tf.cast(module.table.lookup(tf.cast(given, tf.int64)), tf.float32)}
    )
    concrete = module.serve.get_concrete_function(tf.TensorSpec([None, 8], tf.float32))
    tf.saved_model.save(module, str(folder / "own"), signatures=concrete)
    return folder / "own"


def with_link(folder: Path) -> Path:
    _, path = exported(folder, classifier())
    (path / "variables" / "more").symlink_to("/etc/hostname")
    return path


def read_file(given: Any) -> Any:
    return given + tf.cast(tf.io.decode_raw(tf.io.read_file("/etc/hostname"), tf.uint8)[:1], tf.float32)


def call_python(given: Any) -> Any:
    return tf.ensure_shape(tf.numpy_function(lambda array: array, [given], tf.float32), given.shape)


def in_a_loop(given: Any) -> Any:
    return tf.map_fn(lambda row: row + tf.random.uniform([8]), given)


@pytest.mark.parametrize(
    ("write", "error", "complaint"),
    [
        pytest.param(function(read_file, 8), ArtefactRefusedError, "uses .*ReadFile", id="reads a file"),
        pytest.param(function(call_python, 8), ArtefactRefusedError, "uses .*PyFunc", id="calls Python"),
        pytest.param(function(in_a_loop, 8), ArtefactRefusedError, "uses RandomUniform", id="chance, in a loop"),
        pytest.param(with_table, ArtefactRefusedError, "has tables", id="a table"),
        pytest.param(with_link, ArtefactRefusedError, "more is a link", id="a link"),
        pytest.param(function(lambda given: given, 8, 8, 8, 3), UnclearModelError, "takes float32", id="of volumes"),
        pytest.param(
            function(lambda given: tf.reshape(given, [-1, 4, 48]), 8, 8, 3),
            UnknownFormatError,
            "convert it to ONNX",
            id="a detector's head of its own",
        ),
    ],
)
def test_saved_models_that_cannot_be_served_are_named(write, error, complaint, tmp_path):
    with pytest.raises(error, match=complaint):
        saved_models.describe(write(tmp_path), NONE)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: (path / "saved_model.pb").write_bytes(b"\x08\x01\xff"), id="graph"),
        pytest.param(lambda path: (path / "variables" / "variables.index").unlink(), id="variables"),
    ],
)
def test_a_damaged_saved_model_is_named(damage, tmp_path):
    _, path = exported(tmp_path, classifier())
    damage(path)
    with pytest.raises(UnknownFormatError, match="own"):
        saved_models.describe(path, NONE)


def test_what_openvino_cannot_read_is_named(tmp_path):
    def suppressed(given: Any) -> Any:
        boxes = tf.reshape(given[:, :6, :2, :2], [-1, 6, 1, 4])
        found = tf.image.combined_non_max_suppression(boxes, boxes[:, :, 0], 5, 5)
        return tf.concat([found[1], found[2]], 1)

    path = function(suppressed, 8, 8, 3)(tmp_path)
    planned = plan(saved_models.describe(path, NONE))
    with pytest.raises(ArtefactRefusedError, match=r"CombinedNonMaxSuppression.*convert it to ONNX"):
        saved_models.build(path, planned, tmp_path / "model.savedmodel")


@keras.saving.register_keras_serializable("mine")
class Own(L.Layer):  # type: ignore[misc]
    def call(self, given: Any) -> Any:
        return given


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "config.json": json.dumps(config).encode()}.items():
            archive.writestr(name, content)
    return path


def with_function(config: dict[str, Any]) -> None:
    config["config"]["layers"][1]["config"]["activation"] = {
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system",
    }  # fmt: skip


def with_class(config: dict[str, Any]) -> None:
    config["config"]["layers"][1] |= {"module": "subprocess", "class_name": "Popen"}


@pytest.mark.parametrize(
    ("layer", "change", "complaint"),
    [
        pytest.param(
            lambda: L.Lambda(lambda x: x, name="twice"), lambda config: None, "layer twice .Lambda.", id="lambda"
        ),
        pytest.param(Own, lambda config: None, "class Own of .*SavedModel", id="a class of its own"),
        pytest.param(L.ReLU, with_function, "names the Python function system", id="a function"),
        pytest.param(L.ReLU, with_class, "class Popen of subprocess", id="a class of Python's"),
    ],
)
def test_keras_files_that_could_run_code_are_refused(layer, change, complaint, tmp_path):
    path = changed(keras_file(tmp_path, classifier(layer()))[1], change)
    with pytest.raises(ArtefactRefusedError, match=complaint):
        keras_files.describe(path, NONE)


def test_weights_in_another_file_are_refused(tmp_path):
    _, path = keras_file(tmp_path, classifier())
    with zipfile.ZipFile(path) as archive:
        (tmp_path / "weights.h5").write_bytes(archive.read("model.weights.h5"))
        config = {name: archive.read(name) for name in ("config.json", "metadata.json")}
    with h5py.File(tmp_path / "weights.h5", "a") as weights:
        weights["layers/more"] = h5py.ExternalLink("/etc/hostname", "/x")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**config, "model.weights.h5": (tmp_path / "weights.h5").read_bytes()}.items():
            archive.writestr(name, content)
    with pytest.raises(ArtefactRefusedError, match="weights in another file"):
        keras_files.describe(path, NONE)


def test_a_damaged_keras_file_is_named(tmp_path):
    _, path = keras_file(tmp_path, classifier())
    with pytest.raises(UnknownFormatError, match=r"own\.keras cannot be read"):
        keras_files.describe(
            changed(path, lambda config: config["config"]["layers"][1]["config"].update(filters="x")), NONE
        )
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UnknownFormatError, match=r"own\.keras is damaged"):
        keras_files.describe(path, NONE)
