"""Users' SavedModels and .keras files: what is found by looking, the artefacts, and what is refused."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from exporters import saved_model, tensorflow_runtime
from exporters.adding import keras_files, saved_models
from exporters.adding.plan import Description, Hints, Plan
from exporters.errors import ArtefactRefusedError, ExportError, UnclearModelError, UnknownFormatError

tf = tensorflow_runtime.start()
import keras  # noqa: E402  (after its log output has been silenced)

L = keras.layers
NONE = Hints()
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def classifier(
    *first: Any, side: int | None = 32, channels: int = 3, last: str | None = "softmax", **options: Any
) -> Any:
    tensorflow_runtime.start(5)
    layers = [L.Conv2D(8, 3, strides=2), L.BatchNormalization(), L.ReLU(), L.Dropout(0.2), L.GlobalAveragePooling2D()]
    inputs = keras.Input((side, side, channels), name="photo", **options)
    return keras.Sequential([inputs, *first, *layers, L.Dense(5, activation=last)], name="own")


def keras_file(folder: Path, network: Any) -> tuple[ModuleType, Path]:
    network.save(folder / "own.keras")
    return keras_files, folder / "own.keras"


def exported(folder: Path, network: Any) -> tuple[ModuleType, Path]:
    network.export(folder / "own", verbose=False)
    return saved_models, folder / "own"


def exported_for_one(folder: Path, network: Any) -> tuple[ModuleType, Path]:
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint("serve", network.call, [tf.TensorSpec([1, 32, 32, 3], tf.float32)])
    archive.write_out(str(folder / "own"), verbose=False)
    return saved_models, folder / "own"


def plan(found: Description, **stated: Any) -> Plan:
    """What the command would plan, with pixels in -1..1 unless the file states another scaling."""
    values: dict[str, Any] = {
        "name": "own",
        "task": "classification",
        "platform": found.platform,
        "original_outputs": (found.scores or next(iter(found.outputs)),),
        "size_hw": found.size_hw or (40, 40),
        "channels": found.channels or 3,
        "layout": found.layout or "nhwc",
        "mean": found.mean or (127.5,),
        "std": found.std or (127.5,),
        "activation": found.activation or "none",
        "max_batch_size": found.max_batch_size,
    }
    return Plan(**{**values, **stated})


def images(height: int, width: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    """A drawn image and noise."""
    noise = np.random.default_rng(1).integers(0, 256, (2, height, width, channels), np.uint8)
    noise[0, : height // 2] = 250
    return noise


def facts(found: Description) -> dict[str, tuple[str, bool]]:
    return {fact.what: (fact.value, fact.sure) for fact in found.facts}


CLASSIFIERS: dict[str, tuple[Callable[..., Any], Callable[[], Any], dict[str, Any], Callable[[Any], Any]]] = {
    "keras": (keras_file, classifier, {"size_hw": (32, 32), "mean": None}, lambda rgb: rgb / 127.5 - 1),
    "keras that scales itself": (
        keras_file,
        lambda: classifier(L.Rescaling(1 / 127.5, offset=-1)),
        {"mean": (0.0,), "std": (1.0,)},
        lambda rgb: rgb,
    ),
    "keras that subtracts a mean": (
        keras_file,
        lambda: classifier(
            L.Normalization(mean=(123.0, 116.0, 103.0), variance=(1.0, 1.0, 1.0)), L.ReLU(), L.Rescaling(0.01)
        ),
        {"mean": (0.0,), "std": (1.0,)},
        lambda rgb: rgb,
    ),
    "keras that normalises 0..1": (
        keras_file,
        lambda: classifier(L.Normalization(mean=(0.5, 0.4, 0.4), variance=(0.06, 0.05, 0.05))),
        {"mean": (0.0,), "std": (255.0,)},
        lambda rgb: rgb / 255,
    ),
    "keras with logits of any size": (
        keras_file,
        lambda: classifier(L.Rescaling(1 / 255), side=None, last=None),
        {"size_hw": None, "activation": "softmax"},
        lambda rgb: rgb,
    ),
    "keras of grey images": (
        keras_file,
        lambda: classifier(L.Rescaling(1 / 255), channels=1),
        {"channels": 1},
        lambda rgb: (rgb @ np.array([0.299, 0.587, 0.114]))[..., None],
    ),
    "SavedModel": (exported, classifier, {"size_hw": (32, 32), "mean": None}, lambda rgb: rgb / 127.5 - 1),
    "SavedModel that scales itself": (
        exported,
        lambda: classifier(L.Rescaling(1 / 255)),
        {"mean": (0.0,), "std": (1.0,)},
        lambda rgb: rgb,
    ),
    "SavedModel of UINT8": (
        exported,
        lambda: classifier(L.Rescaling(1 / 255), dtype="uint8"),
        {"mean": (0.0,), "std": (1.0,)},
        lambda rgb: rgb,
    ),
    "SavedModel whose signature states one image": (
        exported_for_one,
        lambda: classifier(L.Rescaling(1 / 255)),
        {"max_batch_size": 8},
        lambda rgb: rgb,
    ),
}


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_a_classifier_is_looked_at_and_served_as_it_answers(case: str, tmp_path: Path) -> None:
    write, make, expected, scale = CLASSIFIERS[case]
    network = make()
    module, path = write(tmp_path, network)

    found = module.describe(path, NONE)
    planned = plan(found)
    module.build(path, planned, tmp_path / "model.savedmodel")
    samples = images(*planned.size_hw)
    reference = module.reference(path, planned, samples)["probabilities"]
    batches = [samples] if planned.max_batch_size > 1 else [samples[:1], samples[1:]]
    answers = [saved_model.served_answer(tmp_path / "model.savedmodel", "images", batch) for batch in batches]

    stated = {"classes": 5, "activation": "none", "layout": "nhwc", "channels": 3, "max_batch_size": 8} | expected
    assert {key: getattr(found, key) for key in stated} == stated
    served = np.concatenate([answer["probabilities"] for answer in answers])
    rows = [np.asarray(network(scale(row[None].astype(np.float32)), training=False)) for row in samples]
    own = np.concatenate([np.asarray(tf.nn.softmax(row)) if found.activation == "softmax" else row for row in rows])
    np.testing.assert_allclose(served, reference, rtol=0, atol=1e-5)
    np.testing.assert_allclose(reference, own, rtol=0, atol=1e-5)
    assert np.abs(served[0] - served[1]).max() > 1e-3


def test_applications_scaling_is_assumed_and_said_to_be(tmp_path: Path) -> None:
    tensorflow_runtime.start(5)
    inputs = keras.Input((32, 32, 3))
    body = keras.Sequential([keras.Input((32, 32, 3)), L.Conv2D(4, 3)], name="mobilenetv2_1.00_224")
    network = keras.Model(inputs, L.Dense(5)(L.GlobalAveragePooling2D()(body(inputs))))

    found = keras_files.describe(keras_file(tmp_path, network)[1], NONE)

    assert (found.mean, found.std) == ((127.5,), (127.5,))
    assert facts(found)["scaling"][1] is False


def autoencoder(rank: int) -> Any:
    tensorflow_runtime.start(5)
    if rank == 2:
        return keras.Sequential([keras.Input((24,)), L.Dense(6, activation="relu"), L.Dense(24)])
    return keras.Sequential(
        [keras.Input((24, 1)), L.Conv1D(4, 5, padding="same"), L.LSTM(3, return_sequences=True), L.Dense(1)]
    )


@pytest.mark.parametrize("write", [pytest.param(keras_file, id="keras"), pytest.param(exported, id="SavedModel")])
@pytest.mark.parametrize("rank", [pytest.param(2, id="[N,L]"), pytest.param(3, id="[N,L,1]")])
def test_windows_are_rebuilt_in_their_own_unit(write: Callable[..., Any], rank: int, tmp_path: Path) -> None:
    network = autoencoder(rank)
    module, path = write(tmp_path, network)
    planned = plan(module.describe(path, NONE), task="anomaly", length=24, mean=(5.0,), std=(2.0,))
    windows = np.random.default_rng(0).normal(5, 2, (3, 24)).astype(np.float32)

    module.build(path, planned, tmp_path / "model.savedmodel")
    served = saved_model.served_answer(tmp_path / "model.savedmodel", "windows", windows)
    reference = module.reference(path, planned, windows)

    given = ((windows - 5) / 2).reshape(3, 24, *([1] if rank == 3 else []))
    own = np.asarray(network(given)).reshape(3, 24) * 2 + 5
    for name, expected in {"reconstruction": own, "mae": np.abs(windows - own).mean(1, keepdims=True)}.items():
        np.testing.assert_allclose(served[name], expected, atol=1e-4)
        np.testing.assert_allclose(reference[name], expected, atol=1e-4)


class Detector(tf.Module):  # type: ignore[misc]
    """Outputs as TensorFlow's Object Detection API has them, by the loops and operators that it uses."""

    def __init__(self) -> None:
        super().__init__()
        kernel = np.random.default_rng(0).normal(size=(8, 8, 3, 7)).astype(np.float32)
        self.kernel = tf.Variable(kernel / 10)
        self.serve = tf.function(
            self.detect, input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, "input_tensor")]
        )

    def detect(self, input_tensor: Any) -> dict[str, Any]:
        pixels = tf.map_fn(lambda image: tf.image.resize(image, (64, 64)), tf.cast(input_tensor, tf.float32))
        cells = tf.reshape(tf.nn.conv2d(pixels / 255 - 0.5, self.kernel, 8, "VALID"), [1, 64, 7])
        corners = tf.sort(tf.reshape(tf.sigmoid(cells[..., :4]), [1, 64, 2, 2]), axis=2)
        boxes = tf.reshape(corners, [1, 64, 4])

        def best(given: Any) -> Any:
            rows, scores = given
            found = [tf.image.non_max_suppression_with_scores(rows, scores[:, k], 8, 0.6, 0.3) for k in range(3)]
            values = tf.concat([score for _, score in found], 0)
            classes = tf.concat([tf.fill(tf.shape(score), float(k + 1)) for k, (_, score) in enumerate(found)], 0)
            places = tf.concat([tf.gather(rows, chosen) for chosen, _ in found], 0)
            count = tf.minimum(20, tf.shape(values)[0])
            values, order = tf.math.top_k(values, count)
            rest = 20 - count
            places = tf.pad(tf.gather(places, order), [[0, rest], [0, 0]])
            return (
                places,
                tf.pad(values, [[0, rest]]),
                tf.pad(tf.gather(classes, order), [[0, rest]], constant_values=1),
                count,
            )

        types = (tf.TensorSpec([20, 4]), tf.TensorSpec([20]), tf.TensorSpec([20]), tf.TensorSpec([], tf.int32))
        found = tf.map_fn(best, (boxes, tf.sigmoid(cells[..., 4:])), fn_output_signature=types)
        names = ("detection_boxes", "detection_scores", "detection_classes")
        return {**dict(zip(names, found[:3], strict=True)), "num_detections": tf.cast(found[3], tf.float32)}


def test_object_detection_apis_outputs_become_the_contracts(tmp_path: Path) -> None:
    network = Detector()
    tf.saved_model.save(network, str(tmp_path / "own"), signatures=network.serve.get_concrete_function())
    found = saved_models.describe(tmp_path / "own", Hints("detection", (96, 80), 3))
    (head,) = found.heads
    planned = plan(found, task="detection", size_hw=(96, 80), head=head.name, head_options=head.options,
                   original_outputs=tuple(found.outputs))  # fmt: skip
    samples = images(96, 80)

    saved_models.build(tmp_path / "own", planned, tmp_path / "model.savedmodel")
    reference = saved_models.reference(tmp_path / "own", planned, samples)

    assert (found.max_batch_size, found.mean, found.size_hw) == (1, (0.0,), None)
    for row, image in enumerate(samples):
        served = saved_model.served_answer(tmp_path / "model.savedmodel", "images", image[None])
        own = {name: value.numpy()[0] for name, value in network.serve(tf.constant(image[None])).items()}
        count = int(own["num_detections"])
        assert 3 < count <= 20
        assert [served[name].shape for name in ("boxes", "scores", "classes")] == [(1, 300, 4), (1, 300), (1, 300)]
        np.testing.assert_allclose(served["scores"][0, :count], own["detection_scores"][:count], atol=1e-4)
        np.testing.assert_allclose(
            served["boxes"][0, :count], own["detection_boxes"][:count][:, [1, 0, 3, 2]], atol=1e-4
        )
        np.testing.assert_array_equal(served["classes"][0, :count], own["detection_classes"][:count] - 1)
        assert not served["scores"][0, count:].any()
        for name, value in served.items():
            np.testing.assert_allclose(value[0], reference[name][row], atol=1e-4)


def test_labels_beside_the_graph_are_read(tmp_path: Path) -> None:
    _, path = exported(tmp_path, classifier())
    (path / "assets" / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    assert saved_models.describe(path, NONE).labels == tuple("abcde")


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
def test_saved_models_that_cannot_be_served_are_named(
    write: Callable[[Path], Path], error: type[ExportError], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=complaint):
        saved_models.describe(write(tmp_path), NONE)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: (path / "saved_model.pb").write_bytes(b"\x08\x01\xff"), id="graph"),
        pytest.param(lambda path: (path / "variables" / "variables.index").unlink(), id="variables"),
    ],
)
def test_a_damaged_saved_model_is_named(damage: Callable[[Path], object], tmp_path: Path) -> None:
    _, path = exported(tmp_path, classifier())
    damage(path)
    with pytest.raises(UnknownFormatError, match="own"):
        saved_models.describe(path, NONE)


def test_what_openvino_cannot_read_is_named(tmp_path: Path) -> None:
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
def test_keras_files_that_could_run_code_are_refused(
    layer: Callable[[], Any], change: Callable[[dict[str, Any]], object], complaint: str, tmp_path: Path
) -> None:
    path = changed(keras_file(tmp_path, classifier(layer()))[1], change)
    with pytest.raises(ArtefactRefusedError, match=complaint):
        keras_files.describe(path, NONE)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
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


def test_a_damaged_keras_file_is_named(tmp_path: Path) -> None:
    _, path = keras_file(tmp_path, classifier())
    with pytest.raises(UnknownFormatError, match=r"own\.keras cannot be read"):
        keras_files.describe(
            changed(path, lambda config: config["config"]["layers"][1]["config"].update(filters="x")), NONE
        )
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UnknownFormatError, match=r"own\.keras is damaged"):
        keras_files.describe(path, NONE)
