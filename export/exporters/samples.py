"""The tracked sample requests of the model repository, from which golden answers are computed."""

import json

import numpy as np
import numpy.typing as npt

from exporters.golden import read_image
from exporters.repository import REPOSITORY


def sample_image(model: str, tensor: str) -> npt.NDArray[np.uint8]:
    """The sample image of a model: UINT8 [H,W,3], RGB, or [H,W,1]."""
    return read_image(REPOSITORY / model / "golden" / f"{tensor}.png")


def sample_values(model: str, tensor: str) -> npt.NDArray[np.float32]:
    """The sample of a model whose input is not an image, FP32."""
    return np.asarray(json.loads((REPOSITORY / model / "golden" / f"{tensor}.json").read_text()), np.float32)
