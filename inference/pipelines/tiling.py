"""Seamless tiles: convolutions that find the opposite edge where the picture ends."""

import torch
from diffusers.models.downsampling import Downsample2D


def close_edges(part: torch.nn.Module) -> None:
    """Make every convolution of a network pad in a circle instead of with zeros, in place.

    All other layers of these networks (norms, attention, nearest-neighbour resizing) treat
    every place alike, so that a network with closed edges knows no edge at all.
    """
    for module in part.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.padding_mode = "circular"
        if isinstance(module, Downsample2D) and module.use_conv and module.padding == 0:
            _pad_within_convolution(module)


def _pad_within_convolution(module: Downsample2D) -> None:
    """The VAE's encoder pads right and below, with zeros, before it calls the convolution: its
    convolution does that now, in a circle, and the layer is told to leave it be."""
    convolution = module.conv
    assert isinstance(convolution, torch.nn.Conv2d)
    convolution._reversed_padding_repeated_twice = [0, 1, 0, 1]
    module.padding = 1
