"""Statistics of an instance, for its record and for drift: cheap, and of a small copy of an image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.decoding import DecodedImage

SIDE = 320  # of the copy, at most: blur that a model could notice is still seen


def measure(decoded: Any) -> dict[str, Any]:
    """What the record says of a decoded instance beside its hash.

    Args:
        decoded: an image, or a window, float32 [L]; of anything else nothing is known.

    Returns:
        Of an image `width` and `height`, of a window `length`; and `statistics` by name.
    """
    if isinstance(decoded, DecodedImage):
        width, height = decoded.size_wh
        return {"width": width, "height": height, "statistics": image_statistics(decoded.rgb)}
    if isinstance(decoded, np.ndarray) and decoded.ndim == 1 and decoded.size:
        return {"length": len(decoded), "statistics": window_statistics(decoded)}
    return {}


def image_statistics(rgb: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Statistics of an image.

    Args:
        rgb: [height, width, 3], 0..255.

    Returns:
        `brightness` and `contrast`: mean and standard deviation of the luma, 0..1. `sharpness`: variance of the luma's
        Laplacian. `red` and `blue`: shares in the mean colour, 0..1; a third each where it is grey.
    """
    while max(rgb.shape[:2]) > SIDE:  # OpenCV halves whole pixels ten times as fast as it reduces to any size
        height, width = (side - side % 2 if side > 1 else 1 for side in rgb.shape[:2])
        half_wh = max(1, width // 2), max(1, height // 2)
        rgb = cv2.resize(rgb[:height, :width], half_wh, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    mean_luma, deviation_luma = (float(one[0, 0]) for one in cv2.meanStdDev(luma))
    _, deviation_laplacian = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))
    red, green, blue, _ = cv2.mean(rgb)
    total = red + green + blue
    return {
        "brightness": mean_luma / 255,
        "contrast": deviation_luma / 255,
        "sharpness": float(deviation_laplacian[0, 0]) ** 2,
        "red": red / total if total else 1 / 3,
        "blue": blue / total if total else 1 / 3,
    }


def window_statistics(window: npt.NDArray[np.float32]) -> dict[str, float]:
    """Mean, standard deviation, minimum and maximum of a window, float32 [L], L >= 1."""
    samples = window.astype(np.float64)
    return {
        "mean": float(samples.mean()),
        "deviation": float(samples.std()),
        "minimum": float(samples.min()),
        "maximum": float(samples.max()),
    }
