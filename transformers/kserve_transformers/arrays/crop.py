"""Resize rules of image classifiers: they belong to the weights and are read from the model's parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from cykooz_resizer import CropBox, FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image

_FILTERS = {"bilinear": FilterType.bilinear, "bicubic": FilterType.catmull_rom}
_REACH = 2.0  # of the widest filter, in pixels of the smaller of its images


@dataclass(frozen=True)
class ResizeRule:
    """How an image becomes a classifier's input."""

    # `center_crop` scales the shorter side to `resize_size` and cuts the frame out of the middle; `stretch` scales both
    # sides to the frame
    mode: Literal["center_crop", "stretch"]
    frame_wh: tuple[int, int]  # the model's input, in pixels
    resize_size: int  # length of the shorter side after scaling, in pixels; only for `center_crop`
    interpolation: Literal["bilinear", "bicubic"]  # `bilinear` or `bicubic`, both antialiased

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str], frame_wh: tuple[int, int]) -> Self:
        """Read the rule from a model's config parameters.

        Raises:
            ValueError: a parameter has a value that no rule knows.
        """
        mode = parameters.get("resize_mode", "stretch")
        interpolation = parameters.get("interpolation", "bilinear")
        resize_size = int(parameters.get("resize_size", min(frame_wh)))
        if mode not in ("center_crop", "stretch") or interpolation not in _FILTERS:
            raise ValueError(f"no resize rule for resize_mode {mode!r} with interpolation {interpolation!r}")
        return cls(mode, frame_wh, resize_size, interpolation)  # type: ignore[arg-type]

    def needed_scale(self, size_wh: tuple[int, int]) -> float:
        """The smallest scale of an image of this size at which the rule loses nothing."""
        if self.mode == "center_crop":
            return self.resize_size / min(size_wh)
        return max(frame / side for frame, side in zip(self.frame_wh, size_wh, strict=True))

    def apply(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Resize, and crop where the rule says so.

        Args:
            rgb: [h, w, 3].

        Returns:
            [frame height, frame width, 3].

        Source:
            torchvision.transforms.functional.resize and center_crop on a PIL image (their rounding rules).
        """
        (h, w), (frame_w, frame_h) = rgb.shape[:2], self.frame_wh
        if self.mode == "stretch":
            return self._scaled(rgb, (0, 0, w, h), self.frame_wh)
        shorter, longer = min(w, h), max(w, h)
        scaled = (self.resize_size, int(self.resize_size * longer / shorter))
        scaled_w, scaled_h = scaled if w <= h else scaled[::-1]
        left, top = round((scaled_w - frame_w) / 2), round((scaled_h - frame_h) / 2)
        if left < 0 or top < 0:  # padded with black, as torchvision does
            whole = Image.fromarray(self._scaled(rgb, (0, 0, w, h), (scaled_w, scaled_h)))
            return np.asarray(whole.crop((left, top, left + frame_w, top + frame_h)))
        # only what is left of it after the crop: the same pixels in half the time
        x, y = w / scaled_w, h / scaled_h
        box = (left * x, top * y, min(w, (left + frame_w) * x), min(h, (top + frame_h) * y))
        return self._scaled(rgb, box, self.frame_wh)

    def _scaled(
        self, rgb: npt.NDArray[np.uint8], box: tuple[float, float, float, float], size_wh: tuple[int, int]
    ) -> npt.NDArray[np.uint8]:
        """A part of an image in another size; what lies around it counts as far as the filter reaches.

        By fast_image_resize, which is several times faster than Pillow, and as near to the exact filter.

        Args:
            rgb: [h, w, 3].
            box: the part, xyxy in pixels.
            size_wh: of the result.
        """
        left, top, right, bottom = box
        reach = _REACH * max((right - left) / size_wh[0], (bottom - top) / size_wh[1], 1) + 1
        x, y = max(0, int(left - reach)), max(0, int(top - reach))
        part = rgb[y : ceil(bottom + reach), x : ceil(right + reach)]
        source = ImageData(part.shape[1], part.shape[0], PixelType.U8x3, part.tobytes())
        scaled = ImageData(*size_wh, PixelType.U8x3)
        crop = CropBox(left - x, top - y, right - left, bottom - top)
        Resizer().resize(
            source, scaled, ResizeOptions(ResizeAlg.convolution(_FILTERS[self.interpolation]), crop_box=crop)
        )
        return np.frombuffer(scaled.get_buffer(), np.uint8).reshape(size_wh[1], size_wh[0], 3)
