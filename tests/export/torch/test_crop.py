"""Resize rules against torchvision's own transforms, which belong to the weights."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exporters import classifiers
from kserve_transformers.arrays.crop import ResizeRule

IMAGES = Path(__file__).parents[2] / "data" / "images"
MODES = {"bilinear": "BILINEAR", "bicubic": "BICUBIC"}


def photo(size_wh: tuple[int, int]) -> Image.Image:
    return Image.open(IMAGES / "coffee.jpg").convert("RGB").resize(size_wh, Image.Resampling.BICUBIC)


def by_torchvision(image: Image.Image, rule: ResizeRule) -> np.ndarray:
    transforms = classifiers.torchvision().transforms
    interpolation = transforms.InterpolationMode[MODES[rule.interpolation]]
    height_width = rule.frame_wh[::-1]
    if rule.mode == "stretch":
        return np.asarray(transforms.Resize(height_width, interpolation)(image))
    resized = transforms.Resize(rule.resize_size, interpolation)(image)
    return np.asarray(transforms.CenterCrop(height_width)(resized))


def in_float(image: Image.Image) -> list[Image.Image]:
    """The channels, which Pillow computes with as they are."""
    return [channel.convert("F") for channel in image.split()]


@pytest.mark.parametrize(
    "size_wh",
    [
        pytest.param((640, 480), id="VGA"),
        pytest.param((481, 640), id="tall, odd"),
        pytest.param((300, 1200), id="a strip"),
        pytest.param((256, 256), id="as large as it will be"),
        pytest.param((90, 70), id="enlarged"),
    ],
)
@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize(
    ("mode", "frame_wh", "resize_size"),
    [
        pytest.param("center_crop", (224, 224), 256, id="crop"),
        pytest.param("center_crop", (224, 200), 232, id="crop, not square"),
        pytest.param("center_crop", (224, 224), 200, id="padded with black"),
        pytest.param("stretch", (224, 224), 224, id="stretch"),
    ],
)
def test_pixels_are_those_of_the_makers_transforms(size_wh, interpolation, mode, frame_wh, resize_size):
    rule, image = ResizeRule(mode, frame_wh, resize_size, interpolation), photo(size_wh)
    made = rule.apply(np.asarray(image)).astype(int)
    assert made.shape == (frame_wh[1], frame_wh[0], 3)
    by_them = by_torchvision(image, rule).astype(int)
    # both round, and cut off what a bicubic filter overshoots, after a pass; they begin with different ones
    difference = np.abs(made - by_them)
    assert difference.max() <= (1 if interpolation == "bilinear" else 8)
    assert difference.mean() < 0.2
    # without any rounding
    exact = np.stack([by_torchvision(channel, rule) for channel in in_float(image)], axis=-1).clip(0, 255)
    assert np.abs(made - exact).mean() <= 1.03 * np.abs(by_them - exact).mean()


@pytest.mark.parametrize("parameters", [{"resize_mode": "tile"}, {"interpolation": "nearest"}])
def test_a_rule_that_nobody_knows_is_refused(parameters):
    with pytest.raises(ValueError, match="no resize rule"):
        ResizeRule.from_parameters(parameters, (224, 224))
