"""Transforms PyTorch networks into equivalent ones that write less memory."""

import copy
from typing import Any


def streamlined(network: Any) -> Any:
    """Copy a network, with activations in place and without layers for padding.

    TensorFlow's "same" padding is larger on the right and below where it is uneven; networks converted from TensorFlow
    have a layer for it (`static_padding`). Here the convolution pads evenly instead, and its kernel has additional
    zeros on the left and above.

    Args:
        network: torch.nn.Module in evaluation mode; it is not changed.
    """
    import torch

    network = copy.deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, (torch.nn.ReLU, torch.nn.ReLU6)):
            layer.inplace = True
        padding = getattr(layer, "static_padding", None)
        if isinstance(padding, torch.nn.ZeroPad2d):
            left, right, top, bottom = padding.padding
            taps = torch.nn.functional.pad(layer.weight.detach(), (right - left, 0, bottom - top, 0))
            layer.weight = torch.nn.Parameter(taps.contiguous(memory_format=torch.channels_last))
            layer.padding = (bottom, right)
            layer.static_padding = torch.nn.Identity()
    return network
