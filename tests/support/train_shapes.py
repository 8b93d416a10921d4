"""Train a small detector of drawn shapes with PyTorch, and write its weights: `train_shapes.py FILE.npz`.

It is YOLOX in small: grids at strides 8, 16 and 32; for each cell offsets and logarithms of sizes, objectness, classes.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from shapes import CLASSES, HW, STRIDES, Shape, draw
from torch import nn
from torch.nn import functional as F

STEPS, BATCH = 600, 16
WIDTHS = (12, 24, 48, 64, 64)
Target = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Network(nn.Module):
    """Five convolutions that halve the image, and a head behind each of the last three."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        before = 3
        for width in WIDTHS:
            self.stages.append(nn.Conv2d(before, width, 5 if before == 3 else 3, 2, padding=2 if before == 3 else 1))
            before = width
        self.heads = nn.ModuleList(nn.Conv2d(width, 5 + len(CLASSES), 3, padding=1) for width in WIDTHS[2:])

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """From [N,3,H,W] in 0..1 to [N,8,H/stride,W/stride] of each stride."""
        found = []
        for index, stage in enumerate(self.stages):
            pixels = F.relu(stage(pixels))
            if index >= 2:
                found.append(self.heads[index - 2](pixels))
        return found


def level_of(shape: Shape) -> int:
    """The grid that a shape belongs to, by its longer side in pixels."""
    side = max((shape.box[2] - shape.box[0]) * HW[1], (shape.box[3] - shape.box[1]) * HW[0])
    return 0 if side < 32 else 1 if side < 56 else 2


def targets(images: list[tuple[Shape, ...]]) -> list[Target]:
    """For each grid: objectness [N,H,W], boxes [N,4,H,W] and classes [N,H,W]."""
    grids = []
    for level, stride in enumerate(STRIDES):
        height, width = HW[0] // stride, HW[1] // stride
        objectness = torch.zeros(len(images), height, width)
        boxes, classes = torch.zeros(len(images), 4, height, width), torch.zeros(len(images), height, width).long()
        for index, shapes in enumerate(images):
            for shape in shapes:
                if level_of(shape) == level:
                    x1, y1, x2, y2 = (side * size / stride for side, size in zip(shape.box, HW[::-1] * 2, strict=True))
                    column, row = int((x1 + x2) / 2), int((y1 + y2) / 2)
                    objectness[index, row, column] = 1
                    place = [(x1 + x2) / 2 - column, (y1 + y2) / 2 - row, np.log(x2 - x1), np.log(y2 - y1)]
                    boxes[index, :, row, column] = torch.tensor(place)
                    classes[index, row, column] = shape.label
        grids.append((objectness, boxes, classes))
    return grids


def loss_of(found: list[torch.Tensor], wanted: list[Target]) -> torch.Tensor:
    total = torch.zeros(())
    for values, (objectness, boxes, classes) in zip(found, wanted, strict=True):
        weight = 1 + 9 * objectness
        total = total + F.binary_cross_entropy_with_logits(values[:, 4], objectness, weight, reduction="sum") / BATCH
        there = objectness > 0
        rows = values.permute(0, 2, 3, 1)[there]
        total = total + 5 * (rows[:, :4] - boxes.permute(0, 2, 3, 1)[there]).abs().sum() / BATCH
        total = (
            total
            + 3
            * F.binary_cross_entropy_with_logits(
                rows[:, 5:], F.one_hot(classes[there], len(CLASSES)).float(), reduction="sum"
            )
            / BATCH
        )
    return total


def main(path: Path) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    network = Network()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, STEPS)
    for step in range(STEPS):
        images, shapes = zip(*(draw(random) for _ in range(BATCH)), strict=True)
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        loss = loss_of(network(pixels), targets(list(shapes)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            print(step, round(loss.item(), 3), file=sys.stderr)
    np.savez(path, **{name: value.detach().numpy() for name, value in network.named_parameters()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
