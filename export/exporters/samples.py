"""The tracked sample requests of the model repository, from which golden answers are computed."""

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from exporters.config import Tensor
from exporters.golden import Golden, read_image
from exporters.parity import probability_tolerance
from exporters.repository import REPOSITORY
from kserve_transformers.arrays.golden import Expected


def sample_image(model: str, tensor: str) -> npt.NDArray[np.uint8]:
    """The sample image of a model: UINT8 [H,W,3], RGB, or [H,W,1]."""
    return read_image(REPOSITORY / model / "golden" / f"{tensor}.png")


def sample_values(model: str, tensor: str) -> npt.NDArray[np.float32]:
    """The sample of a model whose input is not an image, FP32."""
    return np.asarray(json.loads((REPOSITORY / model / "golden" / f"{tensor}.json").read_text()), np.float32)


def classifier_golden(
    model: str, image: Tensor, output: Tensor, probabilities: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
) -> Golden:
    """The golden sample of a classifier: the sample image of the model, and the reference's answer to it.

    Args:
        model: name.
        image: the input, UINT8 [H,W,C].
        output: the probabilities, FP32 [classes].
        probabilities: the reference: maps UINT8 [N,H,W,C] to FP32 [N,classes].
    """
    sample = sample_image(model, image.name)
    expected = probabilities(sample[np.newaxis])[0]
    return Golden({image.name: sample}, {output.name: Expected(expected, probability_tolerance(expected))})
