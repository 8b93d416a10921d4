"""Users' SavedModels and .keras files: what is found by looking, the artefacts, and what is refused."""

import functools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from added_models import facts, images, planned
from keras_networks import classifier, exported, keras_file

from exporters import saved_model, tensorflow_runtime
from exporters.adding import keras_files, saved_models
from exporters.adding.plan import Hints

tf = tensorflow_runtime.start()
import keras  # noqa: E402  (after its log output has been silenced)

L = keras.layers
NONE = Hints()
plan = functools.partial(planned, unsure={"layout": "nhwc", "mean": (127.5,), "std": (127.5,)})
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def exported_for_one(folder: Path, network: Any) -> tuple[ModuleType, Path]:
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint("serve", network.call, [tf.TensorSpec([1, 32, 32, 3], tf.float32)])
    archive.write_out(str(folder / "own"), verbose=False)
    return saved_models, folder / "own"


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
def test_a_classifier_is_looked_at_and_served_as_it_answers(case, tmp_path):
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


def test_applications_scaling_is_assumed_and_said_to_be(tmp_path):
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
def test_windows_are_rebuilt_in_their_own_unit(write, rank, tmp_path):
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


def test_object_detection_apis_outputs_become_the_contracts(tmp_path):
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


def test_labels_beside_the_graph_are_read(tmp_path):
    _, path = exported(tmp_path, classifier())
    (path / "assets" / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    assert saved_models.describe(path, NONE).labels == tuple("abcde")
