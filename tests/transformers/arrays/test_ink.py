"""Images of digits to MNIST's form."""

import time
from contextlib import suppress

import cv2
import numpy as np
import pytest

from kserve_transformers.arrays.ink import to_mnist
from kserve_transformers.errors import UnprocessableError


def drawing(size_wh=(400, 300), at=(60, 220), ink=20, paper=235, noise=0):
    rng = np.random.default_rng(0)
    grey = np.full(size_wh[::-1], paper, np.uint8)
    cv2.putText(grey, "5", at, cv2.FONT_HERSHEY_SIMPLEX, 5, ink, 14, cv2.LINE_AA)
    grey = np.clip(grey + rng.normal(0, noise, grey.shape), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def test_mnists_own_form_stays_untouched():
    digit = np.zeros((28, 28, 3), np.uint8)
    digit[2:9, 5:7] = 250  # off centre on purpose
    assert (to_mnist(digit) == digit[..., 0]).all()


@pytest.mark.parametrize(
    "rgb",
    [
        pytest.param(drawing(), id="dark on light"),
        pytest.param(255 - drawing(), id="light on dark"),
        pytest.param(drawing(noise=6), id="with noise"),
        pytest.param(drawing(ink=120, paper=200), id="pencil on grey paper"),
        pytest.param(
            np.clip(drawing() * np.linspace(0.55, 1, 400)[None, :, None], 0, 255).astype(np.uint8), id="shaded page"
        ),
        pytest.param(drawing((1600, 1200), (900, 800)), id="small on a large page"),
    ],
)
def test_ink_becomes_white_on_black_centred_by_mass(rgb):
    digit = to_mnist(rgb)
    assert digit.shape == (28, 28)
    assert digit.dtype == np.uint8
    rows, columns = np.nonzero(digit)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    mass = digit.astype(float)
    centre = (mass.sum(axis=1) @ np.arange(28) / mass.sum(), mass.sum(axis=0) @ np.arange(28) / mass.sum())
    np.testing.assert_allclose(centre, (13.5, 13.5), atol=0.6)
    assert digit[:3].max() == 0
    assert digit.max() > 150


def test_the_same_digit_comes_out_alike_however_it_was_written():
    reference = to_mnist(drawing()).astype(float)
    for other in (255 - drawing(), drawing(noise=6), drawing(ink=90, paper=210)):
        assert np.abs(to_mnist(other) - reference).mean() < 12


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (28, 28), (300, 1), (240, 320)])
@pytest.mark.parametrize("level", [0, 240])
def test_an_empty_page_has_no_ink(size, level):
    with pytest.raises(UnprocessableError, match="no digit in the image"):
        to_mnist(np.full((*size, 3), level, np.uint8))


@pytest.mark.parametrize("size", [(2, 500_000), (1, 5_000_000), (5_000_000, 1), (12, 400_000)])
def test_an_image_as_thin_as_a_hair_takes_no_longer_than_another(size):
    thin = np.full((*size, 3), 240, np.uint8)
    thin[:, size[1] // 2 :] = 10
    began = time.process_time()
    with suppress(UnprocessableError):
        assert to_mnist(thin).shape == (28, 28)
    assert time.process_time() - began < 3  # it was up to 33 s, or an error of OpenCV's
