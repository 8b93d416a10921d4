"""cars takes what people have trained, in each form that Keras has saved it, and knows the classes' names."""

import json
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters import cars, cars_checkpoint, cars_network, tensorflow_runtime
from exporters.catalog import CARS
from exporters.errors import WeightsInvalidError
from exporters.repository import REPOSITORY
from exporters.weights import Fetcher

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
HIDDEN, CLASSES = (16, 8), 5
ATOL = 1e-5


def test_the_labels_are_stanfords_in_the_datasets_order():
    """Class numbers of the dataset's cars_annos.mat, less one."""
    labels = cars.stanford_labels()

    assert len(labels) == len(set(labels)) == 196
    known = {
        0: "AM_General_Hummer_SUV_2000",
        1: "Acura_RL_Sedan_2012",
        3: "Acura_TL_Type-S_2008",
        5: "Acura_Integra_Type_R_2001",
        38: "Bentley_Continental_Supersports_Conv._Convertible_2012",
        45: "Bugatti_Veyron_16.4_Coupe_2009",
        55: "Chevrolet_Corvette_ZR1_2012",
        98: "FIAT_500_Abarth_2012",
        121: "GMC_Canyon_Extended_Cab_2012",
        156: "MINI_Cooper_Roadster_Convertible_2012",
        160: "Mercedes-Benz_300-Class_Convertible_1993",
        173: "Ram_C_V_Cargo_Van_Minivan_2012",
        184: "Tesla_Model_S_Sedan_2012",
        195: "smart_fortwo_Convertible_2012",
    }
    assert {number: labels[number] for number in known} == known
    makes = [label.split("_")[0] for label in labels]
    assert all(first <= second for first, second in pairwise(makes)), "makes are in alphabetical order, capitals first"
    assert (REPOSITORY / "cars" / "labels.txt").read_text().splitlines() == list(labels)


def trained(nested: bool, scaling: str = "-1..1") -> Any:
    """A network of which no two weights of the same shape are alike."""
    tensorflow_runtime.start(seed=1)
    network = cars_network.network(CLASSES, HIDDEN, scaling, nested=nested)
    random = np.random.default_rng(2)
    network.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in network.weights])
    return network


def layers_with_weights(network: Any) -> list[Any]:
    inner = [layers_with_weights(layer) if hasattr(layer, "layers") else [layer] for layer in network.layers]
    return [layer for layers in inner for layer in layers if layer.weights]


def checkpoint(network: Any, folder: Path) -> None:
    """Write a TensorFlow checkpoint as Keras 2 did: layers by number, a nested model's inside it."""
    import tensorflow as tf

    def tracked(layers: Sequence[Any]) -> Any:
        numbered = [layer for layer in layers if layer.weights]
        return tf.train.Checkpoint(
            **{f"layer_with_weights-{number}": one_layer(layer) for number, layer in enumerate(numbered)}
        )

    def one_layer(layer: Any) -> Any:
        if hasattr(layer, "layers"):
            return tracked(layer.layers)
        return tf.train.Checkpoint(**{weight.name: tf.Variable(weight.numpy()) for weight in layer.weights})

    root = tracked(network.layers)
    tf.train.CheckpointManager(root, str(folder), max_to_keep=1, checkpoint_name="cp").save()


def saved_by_keras_2(network: Any, path: Path) -> None:
    """A .keras file whose configuration Keras 3 cannot rebuild; its weights it can read."""
    network.save_weights(path.parent / "model.weights.h5")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "config.json", json.dumps({"module": "keras.src.engine.functional", "class_name": "Functional"})
        )
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        archive.write(path.parent / "model.weights.h5", "model.weights.h5")


def weights_h5(network: Any, path: Path) -> None:
    network.save_weights(path)


@pytest.mark.parametrize(
    ("name", "save", "nested"),
    [
        pytest.param("cars.weights.h5", weights_h5, True, id="weights.h5, base as a layer"),
        pytest.param("cars.weights.h5", weights_h5, False, id="weights.h5, base unpacked"),
        pytest.param("cars.checkpoint", checkpoint, True, id="TensorFlow checkpoint, base as a layer"),
        pytest.param("cars.checkpoint", checkpoint, False, id="TensorFlow checkpoint, base unpacked"),
        pytest.param("cars.keras", saved_by_keras_2, True, id=".keras of Keras 2, which holds a weights.h5"),
    ],
)
def test_every_weight_comes_back_in_its_place(name, save, nested, tmp_path):
    """Files of Keras 2 itself (tf_keras 2.21) were loaded by hand too; their answers were the same within 3e-8."""
    network = trained(nested)
    save(network, tmp_path / name)

    loaded = cars_checkpoint.load(tmp_path / name, None)

    assert loaded.output_shape == (None, CLASSES)
    for expected, found in zip(layers_with_weights(network), layers_with_weights(loaded), strict=True):
        for before, after in zip(expected.get_weights(), found.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after, err_msg=expected.name)


def small_keras_model(path: Path, *before: Any) -> None:
    """A .keras file of some other network, whose answer tells how its pixels were scaled."""
    import keras

    layers = keras.layers
    keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            *before,
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, kernel_initializer="ones", bias_initializer="zeros"),
        ]
    ).save(path)


@pytest.mark.parametrize(
    ("scaling", "own", "expected"),
    [
        pytest.param(None, False, -1.0, id="pixels are -1 to 1, as ResNet50V2 wants them"),
        pytest.param("0..1", False, 0.0, id="unless the record says otherwise"),
        pytest.param(None, True, 7.0, id="or the model scales them itself"),
    ],
)
def test_black_pixels_are_scaled_as_in_training(scaling, own, expected, tmp_path):
    tensorflow_runtime.start(seed=1)
    import keras

    small_keras_model(tmp_path / "cars.keras", *([keras.layers.Rescaling(1 / 255, offset=7)] if own else []))

    loaded = cars_checkpoint.load(tmp_path / "cars.keras", scaling)

    black = np.zeros((1, 224, 224, 3), np.float32)
    np.testing.assert_allclose(np.asarray(loaded(black, training=False)), [[3 * expected] * 2], atol=ATOL)


def lambda_model(path: Path) -> None:
    import keras

    small_keras_model(path, keras.layers.Lambda(lambda pixels: pixels / 255))


def truncated(path: Path) -> None:
    trained(nested=True).save_weights(path.parent / "whole.weights.h5")
    path.write_bytes((path.parent / "whole.weights.h5").read_bytes()[:1_000_000])


def without_the_base(path: Path) -> None:
    import h5py

    trained(nested=True).save_weights(path)
    with h5py.File(path, "a") as file:
        del file["layers/functional/layers/conv2d_20"]


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        pytest.param("cars.keras", lambda_model, "cannot be loaded", id="Python code in a layer"),
        pytest.param("cars.keras", lambda path: path.write_text("no"), "cannot be loaded", id="no .keras file"),
        pytest.param("cars.weights.h5", truncated, "damaged", id="cut short"),
        pytest.param("cars.weights.h5", without_the_base, "does not fit", id="a layer is missing"),
        pytest.param("cars.ckpt", lambda path: path.mkdir(), "no TensorFlow checkpoint", id="an empty folder"),
        pytest.param("cars.pth", lambda path: path.write_text("no"), "neither", id="another framework's"),
    ],
)
def test_what_is_no_such_classifier_is_refused(name, write, message, tmp_path):
    tensorflow_runtime.start(seed=1)
    write(tmp_path / name)

    with pytest.raises(WeightsInvalidError, match=message) as refused:
        cars_checkpoint.load(tmp_path / name, None)
    assert "\n" not in str(refused.value)


def test_a_network_whose_classes_have_no_names_is_refused(tmp_path):
    tensorflow_runtime.start(seed=1)
    cars_network.network(3, (8,)).save_weights(tmp_path / "cars.weights.h5")

    with Fetcher([CARS], user_dir=tmp_path) as fetcher, pytest.raises(WeightsInvalidError, match="cars_record"):
        cars.export(CARS, fetcher.obtain(CARS), tmp_path / "cars")


def test_labels_and_scaling_may_be_written_by_hand(tmp_path):
    tensorflow_runtime.start(seed=1)
    cars_network.network(3, (8,)).save_weights(tmp_path / "cars.weights.h5")
    (tmp_path / "cars_record.json").write_text('{"labels": ["van", "bus", "kart"], "parameters": {"scaling": "0..1"}}')

    with Fetcher([CARS], user_dir=tmp_path) as fetcher:
        network, record = cars.load(CARS, fetcher.obtain(CARS))

    assert record.labels == ("van", "bus", "kart")
    assert next(layer for layer in network.layers if layer.name.startswith("rescaling")).offset == 0


def test_an_unknown_scaling_is_refused(tmp_path):
    with pytest.raises(WeightsInvalidError, match=r"one of -1\.\.1, 0\.\.1, 0\.\.255"):
        cars_checkpoint.load(tmp_path / "cars.weights.h5", "0..2")


def test_untrained_it_says_so_and_is_the_tracked_one(tmp_path):
    exported = cars.export(CARS, None, tmp_path / "cars")

    assert not exported.provenance.trained
    for name in ("config.pbtxt", "labels.txt"):
        assert (tmp_path / "cars" / name).read_bytes() == (REPOSITORY / "cars" / name).read_bytes()
    answers = [
        np.array(json.loads((folder / "golden" / "answer.json").read_text())["outputs"]["probabilities"]["values"])
        for folder in (tmp_path / "cars", REPOSITORY / "cars")
    ]
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-5)
