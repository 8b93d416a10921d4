"""cars is trained in two phases, goes on after a crash as if there had been none, and can be exported."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from exporters import __main__ as export_command
from exporters import cars_checkpoint, tensorflow_runtime, training_record
from exporters.config import read_config
from exporters.errors import TrainingDataError
from exporters.training import Options
from exporters.training import __main__ as command
from exporters.training.cars import PHASES, WEIGHTS, load_image, train

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
COLOURS = {"blue": (30, 30, 230), "green": (30, 200, 30), "red": (230, 30, 30)}


def write_cars(root: Path, count: int) -> Path:
    """A coloured block before a grey street: classes that a network can tell."""
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            rgb = random.integers(90, 160, (60, 80, 3)).astype(np.uint8)
            top, left = random.integers(5, 20, 2)
            rgb[top : top + 30, left : left + 50] = colour
            cv2.imwrite(str(root / name / f"{number}.png"), rgb[..., ::-1])
    return root


def small_network(classes: int, base_weights: str | None = None) -> Any:
    """A network with the parts that training handles by name: a base, its last block, a head with dropout."""
    import keras

    layers = keras.layers
    inside = keras.Input((224, 224, 3))
    pooled = layers.AveragePooling2D(16, name="conv1_pool")(inside)
    convolved = layers.Conv2D(8, 3, activation="relu", name="conv5_block1")(
        layers.Conv2D(8, 3, activation="relu", name="conv2_block1")(pooled)
    )
    base = keras.Model(inside, convolved, name="resnet50v2")
    images = keras.Input((224, 224, 3))
    features = base(layers.Rescaling(1 / 127.5, offset=-1)(images), training=False)
    dropped = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(images, layers.Dense(classes, activation="softmax")(dropped), name="cars")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_cars(tmp_path_factory.mktemp("cars") / "data", 20)


@pytest.fixture(autouse=True)
def no_imagenet_weights(monkeypatch):
    """The small network has no use for ResNet50V2's weights, and no test should depend on who can fetch them."""
    monkeypatch.setattr("exporters.training.cars.imagenet_base", lambda report: None)


def options(data: Path, folder: Path, epochs: int, **others: Any) -> Options:
    return Options(data=data, epochs=epochs, output=folder / "out", reports=folder / "reports", **others)


def weights_of(folder: Path) -> list[np.ndarray]:
    tensorflow_runtime.start(seed=0)
    network = small_network(len(COLOURS))
    network.load_weights(folder / "out" / WEIGHTS)
    return list(network.get_weights())


def stop_before(line: str) -> Callable[[str], None]:
    def report(said: str) -> None:
        if said.startswith(line):
            raise KeyboardInterrupt

    return report


@pytest.mark.slow
def test_a_crashed_run_goes_on_to_the_same_weights(data, tmp_path):
    train(options(data, tmp_path / "whole", 2), small_network)
    for place in ("head: epoch 2", "fine-tuning: epoch 1", "fine-tuning: epoch 2"):
        crashing = options(data, tmp_path / "crashed", 2, resume=True, report=stop_before(place))
        with pytest.raises(KeyboardInterrupt):
            train(crashing, small_network)

    said: list[str] = []
    train(options(data, tmp_path / "crashed", 2, resume=True, report=said.append), small_network)

    assert said == ["fine-tuning: epoch 2 of 2 at most"]
    for whole, crashed in zip(weights_of(tmp_path / "whole"), weights_of(tmp_path / "crashed"), strict=True):
        np.testing.assert_array_equal(whole, crashed)
    reports = [json.loads((tmp_path / run / "reports/cars/report.json").read_text()) for run in ("whole", "crashed")]
    assert reports[0]["history"] == reports[1]["history"]
    assert len(reports[0]["history"]["loss"]) == 4
    assert not (tmp_path / "whole" / "out" / "cars_checkpoints").exists()


@pytest.mark.slow
def test_it_learns_what_each_phase_may_and_says_how_well(data, tmp_path, monkeypatch):
    quick = [dataclasses.replace(phase, learning_rate=0.05) for phase in PHASES]
    monkeypatch.setattr("exporters.training.cars.PHASES", quick)
    before: dict[str, np.ndarray] = {}

    def remembered(classes: int, base_weights: str | None = None) -> Any:
        network = small_network(classes)
        before.update({weight.path: weight.numpy() for weight in network.weights} if not before else {})
        return network

    weights = train(options(data, tmp_path, 5), remembered)

    after = dict(zip(before, weights_of(tmp_path), strict=True))
    changed = {path.split("/")[0] for path in before if not np.array_equal(before[path], after[path])}
    assert changed == {"conv5_block1", "dense"}, "the head, and of the base the last block alone"
    record = training_record.read("cars", weights)
    assert record is not None
    assert record.labels == ("blue", "green", "red")
    assert float(str(record.score["top_1"])) >= 0.8, "chance would be 0.33"
    assert record.accuracy.endswith("of 6 test images")
    report = json.loads((tmp_path / "reports" / "cars" / "report.json").read_text())
    assert report["score"]["base_from_imagenet"] is False


def test_checkpoints_of_other_data_are_not_gone_on_from(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(options(data, tmp_path, 3, report=stop_before("head: epoch 2")), small_network)

    with pytest.raises(TrainingDataError, match="other data or another seed"):
        train(options(data, tmp_path, 3, resume=True, seed=8), small_network)


def test_without_data_the_error_says_what_to_give(capsys):
    assert command.main(["cars"]) == 1
    assert "DATA=" in capsys.readouterr().err


def test_images_are_read_as_for_serving(tmp_path):
    """Upright by its EXIF orientation (6: the camera was turned), RGB, stretched."""
    from PIL import Image

    sensor = np.zeros((40, 80, 3), np.uint8)
    sensor[:, :40] = (200, 0, 0)
    image = Image.fromarray(sensor)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)

    rgb = load_image(tmp_path / "turned.png")

    assert rgb.shape == (224, 224, 3)
    assert tuple(rgb[20, 112]) == (200, 0, 0)
    assert tuple(rgb[200, 112]) == (0, 0, 0)


@pytest.mark.slow
def test_from_images_to_the_model_repository(tmp_path, monkeypatch):
    """The real network, both commands, few images."""
    places = ["--output", str(tmp_path / "out"), "--reports", str(tmp_path / "reports")]
    data = write_cars(tmp_path / "data", 3)

    assert command.main(["cars", "--data", str(data), "--epochs", "1", *places]) == 0
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path / "out"))
    assert export_command.main(["cars", "--repository", str(tmp_path / "repository")]) == 0

    model = tmp_path / "repository" / "cars"
    assert (model / "labels.txt").read_text() == "blue\ngreen\nred\n"
    parameters = read_config(model / "config.pbtxt").parameters
    assert parameters["weights"].string_value == "trained"
    assert parameters["accuracy"].string_value.endswith("of 3 test images")
    network = cars_checkpoint.load(tmp_path / "out" / WEIGHTS, None)
    golden = json.loads((model / "golden" / "answer.json").read_text())["outputs"]["probabilities"]["values"]
    image = cv2.imread(str(model / "golden" / "images.png"))
    assert image is not None
    answer = np.asarray(network(image[None, ..., ::-1].astype(np.float32), training=False))[0]
    np.testing.assert_allclose(answer, golden, atol=1e-4)
