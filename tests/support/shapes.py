"""Images of drawn shapes: discs, squares and crosses of any colour on noise."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

HW, STRIDES = (128, 160), (8, 16, 32)
CLASSES = ("disc", "square", "cross")


@dataclass(frozen=True)
class Shape:
    """A box as x1, y1, x2, y2 in 0..1 of the image, and an index of CLASSES."""

    box: tuple[float, float, float, float]
    label: int


def draw(random: np.random.Generator, count: int | None = None) -> tuple[npt.NDArray[np.uint8], tuple[Shape, ...]]:
    """An image UINT8 [128,160,3] of up to four shapes that do not touch one another."""
    height, width = HW
    image = random.integers(60, 110, (height, width, 3), np.uint8)
    shapes: list[Shape] = []
    wanted = count or int(random.integers(1, 5))
    while len(shapes) < wanted:
        half = int(random.integers(9, 30))
        x, y = int(random.integers(half + 1, width - half - 1)), int(random.integers(half + 1, height - half - 1))
        box = (x - half, y - half, x + half, y + half)
        pixels = tuple(
            side * size for shape in shapes for side, size in zip(shape.box, (width, height) * 2, strict=True)
        )
        boxes = [pixels[index : index + 4] for index in range(0, len(pixels), 4)]
        if any(box[0] < b[2] + 4 and b[0] < box[2] + 4 and box[1] < b[3] + 4 and b[1] < box[3] + 4 for b in boxes):
            wanted = wanted if random.random() > 0.02 else len(shapes)
            continue
        label = int(random.integers(0, len(CLASSES)))
        colour = tuple(int(value) for value in random.integers(150, 256, 3) * (random.random(3) > 0.3))
        colour = colour if max(colour) > 140 else (255, 230, 40)
        if label == 0:
            cv2.circle(image, (x, y), half, colour, -1)
        elif label == 1:
            cv2.rectangle(image, box[:2], box[2:], colour, -1)
        else:
            cv2.line(image, (x - half, y), (x + half, y), colour, max(3, half // 3))
            cv2.line(image, (x, y - half), (x, y + half), colour, max(3, half // 3))
        shapes.append(Shape((box[0] / width, box[1] / height, (box[2] + 1) / width, (box[3] + 1) / height), label))
    return image, tuple(shapes)
