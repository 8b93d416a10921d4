"""Scale an image into a fixed frame, in a letterbox that keeps its proportions or stretched, and map boxes back."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

# Darknet fills the bars with 0.5 of full scale (letterbox_image, src/image.c).
FILL = 127


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies inside its frame; all lengths in pixels."""

    frame_wh: tuple[int, int]  # the frame, that is the model's input
    offset_xy: tuple[int, int]  # the image's top left corner inside the frame
    content_wh: tuple[int, int]  # the image's size inside the frame
    image_wh: tuple[int, int]  # the image's own size

    @classmethod
    def fit(cls, image_wh: tuple[int, int], frame_wh: tuple[int, int]) -> Self:
        """The largest centred place for an image in a frame.

        Args:
            image_wh: the image's width and height, both at least 1.
            frame_wh: the frame's width and height, both at least 1.
        """
        scale = fit_scale(image_wh, frame_wh)
        content_w, content_h = (
            min(frame, max(1, round(side * scale))) for frame, side in zip(frame_wh, image_wh, strict=True)
        )
        offset_xy = ((frame_wh[0] - content_w) // 2, (frame_wh[1] - content_h) // 2)
        return cls(frame_wh, offset_xy, (content_w, content_h), image_wh)

    @classmethod
    def stretch(cls, image_wh: tuple[int, int], frame_wh: tuple[int, int]) -> Self:
        """The place of an image that fills the whole frame. The arguments are those of `fit`."""
        return cls(frame_wh, (0, 0), frame_wh, image_wh)

    def draw(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The frame with the image in it.

        Down to half its size an image is scaled bilinearly, as in Darknet (resize_image, src/image.c; it lets corners
        meet where OpenCV lets pixel centres), and by areas below, where that would leave pixels out.

        Args:
            rgb: [h, w, 3]; the image, or a reduced copy of it of the same proportions.

        Returns:
            [frame height, frame width, 3]; the bars around the image are grey.
        """
        frame_w, frame_h = self.frame_wh
        (x, y), (w, h) = self.offset_xy, self.content_wh
        frame = np.full((frame_h, frame_w, 3), FILL, np.uint8)
        by_areas = rgb.shape[0] > 2 * h or rgb.shape[1] > 2 * w
        frame[y : y + h, x : x + w] = cv2.resize(
            rgb, (w, h), interpolation=cv2.INTER_AREA if by_areas else cv2.INTER_LINEAR
        )
        return frame

    def undo(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map boxes from the frame back to the image and clip them to it.

        Args:
            boxes: [N, 4], xyxy, in 0..1 of the frame; N may be 0.

        Returns:
            [N, 4], xyxy, pixels of the image, 0 <= x <= width, 0 <= y <= height, in the order given.
        """
        frame = np.array(self.frame_wh * 2, np.float32)
        offset = np.array(self.offset_xy * 2, np.float32)
        content = np.array(self.content_wh * 2, np.float32)
        image = np.array(self.image_wh * 2, np.float32)
        return np.clip((boxes * frame - offset) * (image / content), 0, image).astype(np.float32)


def fit_scale(image_wh: tuple[int, int], frame_wh: tuple[int, int]) -> float:
    """The scale at which an image just fits into a frame."""
    return min(frame_wh[0] / image_wh[0], frame_wh[1] / image_wh[1])
