"""Streamlined networks answer as they did, and the network that they were made of is as it was."""

import copy

import pytest
import torch

from exporters.streamlining import streamlined


class Padded(torch.nn.Conv2d):
    """A convolution as it is converted from TensorFlow: its padding is a layer of its own."""

    def __init__(self, size: int, stride: int, sides: tuple[int, int, int, int], groups: int) -> None:
        super().__init__(4, 4, size, stride, groups=groups)
        self.static_padding = torch.nn.ZeroPad2d(sides)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(self.static_padding(x))


@pytest.mark.parametrize("groups", [pytest.param(1, id="dense"), pytest.param(4, id="depthwise")])
@pytest.mark.parametrize(
    ("size", "stride", "sides"),
    [
        pytest.param(3, 1, (1, 1, 1, 1), id="3x3 even"),
        pytest.param(5, 1, (2, 2, 2, 2), id="5x5 even"),
        pytest.param(3, 2, (0, 1, 0, 1), id="3x3 more on the right and below"),
        pytest.param(5, 2, (1, 2, 1, 2), id="5x5 more on the right and below"),
        pytest.param(3, 2, (0, 1, 1, 1), id="uneven one way only"),
    ],
)
def test_the_same_answers_without_padding_of_its_own(size, stride, sides, groups):
    network = torch.nn.Sequential(Padded(size, stride, sides, groups), torch.nn.ReLU6()).eval()
    before = copy.deepcopy(network.state_dict())
    images = torch.randn(2, 4, 14, 10, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network(images)
        made = streamlined(network)
        torch.testing.assert_close(made(images), expected, rtol=0, atol=1e-6)
    assert isinstance(made[0].static_padding, torch.nn.Identity)
    assert made[1].inplace
    assert not network[1].inplace
    assert isinstance(network[0].static_padding, torch.nn.ZeroPad2d)
    assert all(torch.equal(network.state_dict()[name], values) for name, values in before.items())
