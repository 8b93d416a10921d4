"""As a script, in NNCF's environment (`quantise_digits.py REPOSITORY`): quantises mnist by digits that OpenCV draws."""

import sys
from pathlib import Path

import cv2
import numpy as np

from exporters.quantising.images import Inputs
from exporters.quantising.making import make

FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)


def digits(count: int, seed: int) -> Inputs:
    generator = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28, 1), np.uint8)
    for image in images:
        font, digit = FONTS[generator.integers(len(FONTS))], str(generator.integers(10))
        place = 5 + int(generator.integers(5)), 21 + int(generator.integers(4))
        cv2.putText(image[..., 0], digit, place, font, generator.uniform(0.6, 0.8), 255, int(generator.integers(1, 3)))
        image[..., 0] = cv2.GaussianBlur(image[..., 0], (3, 3), 0)
    return Inputs({"images": images}, np.arange(count))


if __name__ == "__main__":
    model_dir = Path(sys.argv[1], "mnist")
    make(
        model_dir,
        "digits",
        digits(100, 5),
        digits(100, 7),
        lambda count: digits(count, 11),
        1000,
        "drawn",
        select_layers=False,
        say=print,
    )
