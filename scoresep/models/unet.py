"""`unet`: a convolutional U-Net over frequency with a temporal network at its bottleneck, as a separator.

In the manner of TFC-TDF (Choi et al., ISMIR 2020; Kim et al., "Sound Demixing Challenge 2023 Music Demixing Track
Technical Report: TFC-TDF-UNet v3", arXiv 2306.09382, known as MDX23C), of its light relative with a sequence model at
the bottleneck (Chen et al., "Music Source Separation based on a Lightweight Deep Learning Framework (DTTNET)", ICASSP
2024), and of Moises-Light (2025), which shows how far such networks can shrink.

What differs from them: magnitudes and masks rather than complex spectra; only frequency is down-sampled, in patches
and then by 2, because frames of 32 ms are few already; the bottleneck has dilated convolutions, which end, in place of
recurrent layers, which do not (`layers`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from scoresep.models.base import Network, Separator
from scoresep.models.layers import Bottleneck, ConvBlock, FrequencyMixing, Stretch, check_sizes
from scoresep.models.tcn import LEVEL_GAIN, SLOPE, TCNSettings

NARROWING = 8
"""How many times fewer features than positions `FrequencyMixing` has in its middle."""


@dataclass(frozen=True)
class UNetSettings:
    """Sizes of a U-Net.

    Attributes:
        channels: of the first level; every level has twice as many.
        patch: bins of a position of the first level.
        levels: above the bottleneck; every level has half as many positions.
        features: width of the bottleneck's residual path.
        hidden: width inside a block of the bottleneck.
        blocks: blocks of the bottleneck; block b is dilated by 2^b.
    """

    channels: int = 24
    patch: int = 8
    levels: int = 2
    features: int = 192
    hidden: int = 256
    blocks: int = 5

    def __post_init__(self) -> None:
        check_sizes(self, channels=256, patch=64, levels=6, features=2048, hidden=4096, blocks=12)

    @property
    def bottleneck(self) -> TCNSettings:
        """Sizes of the temporal network."""
        return TCNSettings(self.features, self.hidden, self.blocks, 1)

    @property
    def context(self) -> int:
        """Frames on either side that an output frame depends on."""
        return self.bottleneck.context + 2 * self.levels

    @property
    def width(self) -> int:
        """Values a frame of its widest layer over all of frequency."""
        return self.bottleneck.width

    @property
    def width_per_bin(self) -> float:
        """Values a frame and bin of its widest layer; those of deeper levels are as many."""
        return 2 * self.channels / self.patch


class Level(nn.Module):
    """Convolution over frequency and time, then a layer over all frequencies."""

    def __init__(self, channels: int, height: int) -> None:
        super().__init__()
        self.conv = ConvBlock(channels)
        self.mixing = FrequencyMixing(channels, height, NARROWING)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, T) -> the same."""
        mixed: Tensor = self.mixing(self.conv(x))
        return mixed


class UNetSeparator(Separator):
    """Patches of bins, levels down, a temporal network, levels up, masks."""

    def __init__(self, bins: int, instruments: int, settings: UNetSettings, mask: str) -> None:
        super().__init__(bins, instruments, settings.context, mask)
        step = settings.patch << settings.levels
        self.padding = -bins % step
        heights = [(bins + self.padding) // settings.patch >> level for level in range(settings.levels + 1)]
        widths = [settings.channels << level for level in range(settings.levels + 1)]
        above = list(zip(widths, heights, strict=True))[:-1]
        self.norm_input = nn.BatchNorm1d(bins)
        patch = (settings.patch, 1)
        self.patches = nn.Conv2d(1, settings.channels, patch, stride=patch)
        self.encoder = nn.ModuleList(Level(width, height) for width, height in above)
        self.down = nn.ModuleList(nn.Conv2d(width, 2 * width, (2, 1), stride=(2, 1)) for width, _ in above)
        self.bottleneck = Bottleneck(widths[-1] * heights[-1], settings.bottleneck)
        self.up = nn.ModuleList(Stretch(2 * width, width, 2) for width, _ in above)
        self.decoder = nn.ModuleList(Level(width, height) for width, height in above)
        self.head = Stretch(settings.channels, instruments, settings.patch)
        self.offset = nn.Parameter(torch.zeros(instruments, bins, 1))

    def logits(self, magnitude: Tensor) -> Tensor:
        """See `Separator.logits`."""
        x = self.norm_input(torch.log1p(LEVEL_GAIN * magnitude))
        x = self.patches(functional.pad(x, (0, 0, 0, self.padding)).unsqueeze(1))
        skips: list[Tensor] = []
        for level, down in zip(self.encoder, self.down, strict=True):
            skips.append(level(x))
            x = functional.leaky_relu(down(skips[-1]), SLOPE)
        x = self.bottleneck(x)
        for level, up, skip in zip(reversed(self.decoder), reversed(self.up), reversed(skips), strict=True):
            x = level(up(x) + skip)
        logits: Tensor = self.head(x)[:, :, : self.bins] + self.offset
        return logits


UNET = Network(UNetSettings, UNetSeparator)
