"""Layers that several networks have: blocks over frequency, and a temporal network at the bottleneck.

Nothing here is strided in time, and what looks along time looks a fixed way: an output frame depends on the input
frames within a known distance, so separation in blocks stays exact. Recurrent layers, which the literature has in these
places, would not allow that.

Axes: B batch, C channels, H positions along frequency, T frames.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from scoresep.errors import InvalidValue
from scoresep.models.tcn import SLOPE, Block, TCNSettings


def check_sizes(settings: Any, **most: int) -> None:
    """Refuse settings that are no whole numbers from 1 up to the most that each may be.

    Raises:
        InvalidValue: one is not.
    """
    for name, size in asdict(settings).items():
        if type(size) is not int or not 1 <= size <= most[name]:
            raise InvalidValue(
                f"impossible network: {name} is {size}", remedy=f"give a whole number from 1 to {most[name]}"
            )


class ConvBlock(nn.Module):
    """x + leaky(norm(conv(x))): a residual convolution over `height` positions and `width` frames, both odd."""

    def __init__(self, channels: int, height: int = 3, width: int = 3, dilation: int = 1) -> None:
        super().__init__()
        padding = (height // 2, width // 2 * dilation)
        self.conv = nn.Conv2d(channels, channels, (height, width), padding=padding, dilation=(1, dilation), bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, T) -> the same."""
        return x + functional.leaky_relu(self.norm(self.conv(x)), SLOPE)


class FrequencyMixing(nn.Module):
    """A linear layer over all positions along frequency and back, the same for every channel and frame.

    The time-distributed fully connected layer of TFC-TDF (Choi et al., "Investigating U-Nets with various intermediate
    blocks for spectrogram-based singing voice separation", ISMIR 2020): partials that are far apart meet in it.
    """

    def __init__(self, channels: int, height: int, narrowing: int) -> None:
        super().__init__()
        narrow = max(1, height // narrowing)
        self.narrow = nn.Conv1d(height, narrow, 1)
        self.widen = nn.Conv1d(narrow, height, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, T) -> the same."""
        mixed = self.widen(functional.leaky_relu(self.narrow(x.flatten(0, 1)), SLOPE)).view_as(x)
        return x + functional.leaky_relu(self.norm(mixed), SLOPE)


class Bottleneck(nn.Module):
    """x + all bands of a frame to a few features, a temporal convolutional network over them (`tcn.Block`), and back.

    Args:
        size: C times H.
        settings: of that network.
    """

    def __init__(self, size: int, settings: TCNSettings) -> None:
        super().__init__()
        self.narrow = nn.Conv1d(size, settings.channels, 1)
        dilations = [2**b for _ in range(settings.repeats) for b in range(settings.blocks)]
        self.blocks = nn.ModuleList(Block(settings, dilation) for dilation in dilations)
        self.norm = nn.BatchNorm1d(settings.channels)
        self.widen = nn.Conv1d(settings.channels, size, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, T) -> the same."""
        features = self.narrow(x.flatten(1, 2))
        skips = features
        for block in self.blocks:
            features, skip = block(features)
            skips = skips + skip
        widened: Tensor = self.widen(functional.leaky_relu(self.norm(skips), SLOPE))
        return x + widened.view_as(x)


class Stretch(nn.Module):
    """`factor` positions for each one: a linear layer whose outputs lie side by side along frequency."""

    def __init__(self, channels: int, outputs: int, factor: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.conv = nn.Conv2d(channels, outputs * factor, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, T) -> (B, outputs, H * factor, T)."""
        beside: Tensor = self.conv(x)
        return beside.view(len(x), self.outputs, -1, *x.shape[2:]).transpose(2, 3).flatten(2, 3)
