"""TorchScript and torch.export files of a small classifier, as users have them."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn


class Small(nn.Module):
    """A classifier of five classes with the variations that files have."""

    def __init__(self, side: int = 0, channels: int = 3, last: nn.Module | None = None, nhwc: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.nhwc = nhwc
        self.conv = nn.Conv2d(channels, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8 * (side // 2) ** 2 if side else 8, 5)
        self.fixed = side > 0
        self.last = last or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 3, 1, 2) if self.nhwc else x
        x = torch.relu(self.norm(self.conv(x)))
        return self.last(self.linear(x.flatten(1) if self.fixed else x.mean((2, 3))))


def script(path: Path, network: nn.Module, *shape: int, extra: Mapping[str, str] | None = None) -> Path:
    """Scripted, or traced with an example of this shape."""
    kind = next((parameter.dtype for parameter in network.parameters()), torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.trace(network.eval(), torch.zeros(shape, dtype=kind)) if shape else torch.jit.script(network)
        torch.jit.save(made.eval(), str(path), _extra_files=dict(extra or {}))
    return path


def program(path: Path, network: nn.Module, *shape: int, dynamic: bool = True) -> Path:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.export.save(torch.export.export(network.eval(), (torch.zeros(shape),), dynamic_shapes=shapes), str(path))
    return path


def frozen(path: Path, network: nn.Module, *shape: int) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.freeze(torch.jit.trace(network.eval(), torch.zeros(shape))).save(str(path))
    return path
