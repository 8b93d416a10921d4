"""Golden samples are written once, in a form that survives other machines, and rewritten when the answer is another."""

import json

import numpy as np
import pytest

from exporters.errors import RepositoryError
from exporters.golden import Golden, read_image, write_golden
from exporters.parity import probability_tolerance
from kserve_transformers.arrays.golden import Expected

COLOURS = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
GREY = np.arange(9, dtype=np.uint8).reshape(3, 3, 1)
SERIES = np.array([0.1, -2.5], np.float32)


def golden(score: float = 0.5) -> Golden:
    inputs = {"images": COLOURS, "digits": GREY, "windows": SERIES}
    return Golden(inputs, {"scores": Expected(np.array([score, 0.25], np.float32), atol=0.005)})


def test_images_and_answers_come_back_as_they_went(tmp_path):
    assert write_golden(tmp_path, golden())
    folder = tmp_path / "golden"
    assert sorted(path.name for path in folder.iterdir()) == ["answer.json", "digits.png", "images.png", "windows.json"]
    np.testing.assert_array_equal(read_image(folder / "images.png"), COLOURS)
    np.testing.assert_array_equal(read_image(folder / "digits.png"), GREY)
    assert json.loads((folder / "windows.json").read_text()) == [0.1, -2.5]
    assert json.loads((folder / "answer.json").read_text()) == {
        "outputs": {"scores": {"values": [0.5, 0.25], "atol": 0.005}}
    }


@pytest.mark.parametrize(
    ("score", "rewritten"),
    [
        pytest.param(0.5, False, id="the same answer"),
        pytest.param(0.5004, False, id="rounded otherwise by another processor"),
        pytest.param(0.5006, True, id="another answer"),
    ],
)
def test_an_answer_is_rewritten_when_it_is_another(score, rewritten, tmp_path):
    write_golden(tmp_path, golden())
    before = (tmp_path / "golden" / "answer.json").read_bytes()
    assert write_golden(tmp_path, golden(score)) is rewritten
    assert ((tmp_path / "golden" / "answer.json").read_bytes() != before) is rewritten


def test_the_same_pixels_compressed_otherwise_are_left_alone(tmp_path):
    write_golden(tmp_path, golden())
    path = tmp_path / "golden" / "images.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert not write_golden(tmp_path, golden())
    assert path.read_bytes().endswith(b"\0")


def test_a_damaged_image_says_what_to_do(tmp_path):
    (tmp_path / "images.png").write_bytes(b"no image")
    with pytest.raises(RepositoryError, match=r"images.png is missing or damaged: restore it \(git checkout\)"):
        read_image(tmp_path / "images.png")


@pytest.mark.parametrize(("spread", "allowed"), [(1.0, 0.005), (0.02, 0.001), (1e-8, 1e-6)])
def test_probabilities_may_differ_by_a_part_of_their_range_and_by_rounding(spread, allowed):
    assert probability_tolerance(np.array([0.2, 0.2 + spread], np.float64)) == pytest.approx(allowed)
