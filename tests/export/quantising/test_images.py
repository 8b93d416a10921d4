"""The inputs of calibration and proof: deterministic, varied, apart by source, and as the transformer prepares them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from exporters.config import Config, Tensor, to_pbtxt
from exporters.errors import TrainingDataError
from exporters.quantising import images
from exporters.quantising.images import Inputs, photos, varied
from kserve_transformers.arrays.crop import ResizeRule
from kserve_transformers.arrays.letterbox import Letterbox

CLASSIFIER = Config(
    "mine",
    "onnxruntime_onnx",
    (Tensor("images", "TYPE_UINT8", (48, 32, 3)),),
    (Tensor("probabilities", "TYPE_FP32", (5,)),),
    {"resize_mode": "center_crop", "resize_size": "50"},
)
BOXES = (Tensor("boxes__0", "TYPE_FP32", (9, 4)), Tensor("scores__1", "TYPE_FP32", (9,)))
DETECTOR = Config("mine", "pytorch_libtorch", (Tensor("images__0", "TYPE_UINT8", (40, 40, 3)),), BOXES)
DIGITS = Config(
    "mnist",
    "onnxruntime_onnx",
    (Tensor("images", "TYPE_UINT8", (28, 28, 1)),),
    (Tensor("probabilities", "TYPE_FP32", (10,)),),
)
WINDOWS = Config(
    "pressure",
    "onnxruntime_onnx",
    (Tensor("windows", "TYPE_FP32", (16,)),),
    (Tensor("reconstruction", "TYPE_FP32", (16,)), Tensor("mae", "TYPE_FP32", (1,))),
)


def model(folder: Path, config: Config) -> Path:
    (folder / "config.pbtxt").write_text(to_pbtxt(config))
    return folder


@pytest.fixture
def own(tmp_path):
    """Nine images of different sizes, one of them twice, in folders; each has a red of its own."""
    folder = tmp_path / "own"
    for number in range(9):
        rgb = np.random.default_rng(number).integers(0, 256, (60 + 7 * number, 90, 3), np.uint8)
        rgb[..., 0] = 20 * number
        path = folder / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rgb[..., ::-1])
    (folder / "copy.png").write_bytes((folder / "class0" / "2.png").read_bytes())
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def mnist(tmp_path):
    """MNIST's files with a few digits, which tell by their pixels in which part they are."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for part, count, start in (("train", 40, 0), ("t10k", 30, 100)):
        pixels = np.arange(start, start + count, dtype=np.uint8).repeat(28 * 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            b"\0\0\x08\x03" + np.array([count, 28, 28], ">u4").tobytes() + pixels.tobytes()
        )
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            b"\0\0\x08\x01" + np.array([count], ">u4").tobytes() + labels.tobytes()
        )
    return folder


def values(inputs: Inputs) -> np.ndarray:
    (array,) = inputs.arrays.values()
    return array


@pytest.mark.parametrize("config", [CLASSIFIER, DETECTOR], ids=["classifier", "detector"])
def test_images_of_the_models_size_are_made_again_alike(config, own, tmp_path):
    folder = model(tmp_path, config)
    first, again, other = (varied(folder, "proof", 40, seed, own) for seed in (7, 7, 8))
    assert list(first.arrays) == [config.inputs[0].name]
    assert (values(first).shape, values(first).dtype) == ((40, *config.inputs[0].dims), np.uint8)
    np.testing.assert_array_equal(values(first), values(again))
    assert not np.array_equal(values(first), values(other))
    assert len(np.unique(values(first).reshape(40, -1), axis=0)) == 40
    assert set(first.sources) == set(range(6))
    assert first.labels is None


def test_each_image_comes_first_as_the_transformer_prepares_it(own, tmp_path):
    originals = photos("proof", own)
    rule = ResizeRule.from_parameters(CLASSIFIER.parameters, (32, 48))
    for made, rgb in zip(values(varied(model(tmp_path, CLASSIFIER), "proof", 6, data=own)), originals, strict=True):
        np.testing.assert_array_equal(made, rule.apply(rgb))
    for made, rgb in zip(values(varied(model(tmp_path, DETECTOR), "proof", 6, data=own)), originals, strict=True):
        np.testing.assert_array_equal(made, Letterbox.fit(rgb.shape[1::-1], (40, 40)).draw(rgb))


def test_the_parts_have_no_photo_in_common(own):
    calibration, selection, proof = (
        {int(rgb[0, 0, 0]) for rgb in photos(part, own)} for part in ("calibration", "selection", "proof")
    )
    assert (len(calibration), len(proof)) == (3, 6)
    assert selection == calibration
    assert not calibration & proof
    named = [
        {(*place, name) for place, names in images._PHOTOS[part].items() for name in names} for part in images._PHOTOS
    ]
    assert not set.intersection(*named)


@pytest.mark.parametrize(
    ("config", "part", "collages"),
    [
        pytest.param(CLASSIFIER, "calibration", True, id="calibrates a classifier"),
        pytest.param(CLASSIFIER, "selection", False, id="selects a classifier's layers"),
        pytest.param(CLASSIFIER, "proof", False, id="proves a classifier"),
        pytest.param(DETECTOR, "proof", True, id="proves a detector"),
    ],
)
def test_a_classifier_is_proven_on_images_of_one_photo(config, part, collages, tmp_path):
    for number in range(9):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((60, 60, 3), 20 + 25 * number, np.uint8))
    made = values(varied(model(tmp_path, config), part, 40, data=tmp_path))[:, 5:-5, 5:-5].astype(int)
    assert bool((np.ptp(made, axis=(1, 2)) > 10).any()) == collages


def test_digits_that_calibrate_are_training_digits_and_those_that_prove_are_test_digits(mnist, tmp_path):
    folder = model(tmp_path, DIGITS)
    calibration, proof = (varied(folder, part, 25, data=mnist) for part in ("calibration", "proof"))
    assert values(calibration).max() < 100 <= values(proof).min()
    assert proof.labels is not None
    np.testing.assert_array_equal(proof.labels, (values(proof)[:, 0, 0, 0] - 100) % 10)
    assert len(varied(folder, "proof", 5000, data=mnist)) == 30


def test_windows_that_prove_come_from_another_part_of_the_series(tmp_path):
    folder, series = model(tmp_path, WINDOWS), tmp_path / "series.csv"
    points = np.sin(np.arange(600) / 9) + np.arange(600) // 200 * 100
    series.write_text("value\n" + "\n".join(map(str, points)))
    calibration, proof = (varied(folder, part, 50, data=series) for part in ("calibration", "proof"))
    assert (values(proof).shape, values(proof).dtype) == ((50, 16), np.float32)
    assert np.median(values(calibration)) < 50 < np.median(values(proof))
    assert len(set(proof.sources)) > 10
    assert not np.array_equal(values(proof)[1], points[8:24])


@pytest.mark.parametrize(
    ("config", "content", "message"),
    [
        pytest.param(CLASSIFIER, {}, "has 0 different images", id="empty folder"),
        pytest.param(CLASSIFIER, {"a.png": b"x", "b.png": b"x"}, "has 1 different", id="one image twice"),
        pytest.param(CLASSIFIER, {"a.png": b"x", "b.png": b"y"}, "cannot be read", id="damaged"),
        pytest.param(DIGITS, {}, "folder with the four files", id="no digits"),
        pytest.param(WINDOWS, None, "by --data FILE", id="no series"),
    ],
)
def test_bad_data_are_refused(config, content, message, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name, one in (content or {}).items():
        (data / name).write_bytes(one)
    with pytest.raises(TrainingDataError, match=message):
        varied(model(tmp_path, config), "proof", 10, data=None if content is None else data)


def test_a_series_that_is_too_short_is_refused(tmp_path):
    series = tmp_path / "series.csv"
    series.write_text("value\n" + "\n".join(map(str, range(30))))
    with pytest.raises(TrainingDataError, match="too few"):
        varied(model(tmp_path, WINDOWS), "calibration", 10, data=series)


def test_a_model_with_two_inputs_is_refused(tmp_path):
    config = Config("two", "onnxruntime_onnx", CLASSIFIER.inputs * 2, CLASSIFIER.outputs)
    with pytest.raises(TrainingDataError, match="has 2 inputs"):
        varied(model(tmp_path, config), "proof", 10)
