"""`scnet`: sparse compression of frequency, as a separator.

After Tong et al., "SCNet: Sparse Compression Network for Music Source Separation", ICASSP 2024 (arXiv 2401.13276):
every layer of the encoder splits the spectrum into three bands and compresses them the more the higher they are, by 1,
4 and 16, and gives the lower ones more layers: that is where most of the information is. The decoder undoes it, and
fuses in what the encoder had by a gated unit.

What differs from the paper: magnitudes and masks rather than complex spectra; in place of the dual path of recurrent
layers, which see all of time, a temporal network of finite reach over all bands (`layers.Bottleneck`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from scoresep.models.base import Network, Separator
from scoresep.models.layers import Bottleneck, ConvBlock, check_sizes
from scoresep.models.tcn import LEVEL_GAIN, SLOPE, TCNSettings


class Band(NamedTuple):
    """Part of a spectrum.

    Attributes:
        end: where it ends, as a share of all positions.
        stride: positions that become one.
        depth: convolutions that follow.
    """

    end: float
    stride: int
    depth: int


BANDS = (Band(0.175, 1, 2), Band(0.567, 4, 1), Band(1.0, 16, 1))
"""The paper's shares and strides."""


@dataclass(frozen=True)
class SCNetSettings:
    """Sizes of a sparse compression network.

    Attributes:
        channels: of the first layer; every layer has twice as many.
        layers: of the encoder and of the decoder.
        features: width of the bottleneck's residual path.
        hidden: width inside a block of the bottleneck.
        blocks: blocks of the bottleneck; block b is dilated by 2^b.
    """

    channels: int = 16
    layers: int = 3
    features: int = 192
    hidden: int = 256
    blocks: int = 5

    def __post_init__(self) -> None:
        check_sizes(self, channels=256, layers=5, features=2048, hidden=4096, blocks=12)

    @property
    def bottleneck(self) -> TCNSettings:
        """Sizes of the temporal network."""
        return TCNSettings(self.features, self.hidden, self.blocks, 1)

    @property
    def context(self) -> int:
        """Frames on either side that an output frame depends on."""
        return self.bottleneck.context + self.layers * max(band.depth for band in BANDS)

    @property
    def width(self) -> int:
        """Values a frame of its widest layer over all of frequency."""
        return self.bottleneck.width

    @property
    def width_per_bin(self) -> float:
        """Values a frame and bin of its widest layer."""
        return 2.0 * self.channels


def band_heights(height: int) -> list[int]:
    """Positions of each of `BANDS`, none empty where there are as many positions as bands."""
    edges = [0, *(max(k, round(band.end * height)) for k, band in enumerate(BANDS, start=1))]
    return [after - before for before, after in pairwise(edges)]


def compressed_heights(height: int) -> list[int]:
    """Positions of each band when it is compressed."""
    return [-(-part // band.stride) for part, band in zip(band_heights(height), BANDS, strict=True)]


def kernel(band: Band) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Size, stride and padding of the convolution that compresses a band; one that does not sees three positions."""
    return (max(band.stride, 3), 1), (band.stride, 1), (int(band.stride == 1), 0)


class Down(nn.Module):
    """A layer of the encoder: bands are compressed, each by its stride, and convolved, each as often as its depth."""

    def __init__(self, channels: int, outputs: int, height: int) -> None:
        super().__init__()
        self.heights = band_heights(height)
        self.compress = nn.ModuleList(nn.Conv2d(channels, outputs, *kernel(band)) for band in BANDS)
        self.convs = nn.ModuleList(nn.Sequential(*(ConvBlock(outputs) for _ in range(band.depth))) for band in BANDS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, T) -> (B, outputs, fewer positions, T)."""
        parts = []
        for part, band, compress, convs in zip(
            torch.split(x, self.heights, dim=2), BANDS, self.compress, self.convs, strict=True
        ):
            whole = functional.pad(part, (0, 0, 0, -part.shape[2] % band.stride))
            parts.append(convs(functional.leaky_relu(compress(whole), SLOPE)))
        return torch.cat(parts, dim=2)


class Up(nn.Module):
    """A layer of the decoder: fusion with what the encoder had there, and bands are stretched to what they were."""

    def __init__(self, channels: int, outputs: int, height: int) -> None:
        super().__init__()
        self.heights, self.compressed = band_heights(height), compressed_heights(height)
        self.fuse = nn.Conv2d(channels, 2 * channels, (3, 1), padding=(1, 0))
        self.stretch = nn.ModuleList(nn.ConvTranspose2d(channels, outputs, *kernel(band)) for band in BANDS)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, C, compressed positions, T) twice -> (B, outputs, H, T)."""
        x = functional.glu(self.fuse(x + skip), dim=1)
        bands = zip(torch.split(x, self.compressed, dim=2), self.stretch, self.heights, strict=True)
        return torch.cat([stretch(part)[:, :, :height] for part, stretch, height in bands], dim=2)


class SCNetSeparator(Separator):
    """Layers down, a temporal network, layers up, masks."""

    def __init__(self, bins: int, instruments: int, settings: SCNetSettings, mask: str) -> None:
        super().__init__(bins, instruments, settings.context, mask)
        heights = [bins]
        for _ in range(settings.layers):
            heights.append(sum(compressed_heights(heights[-1])))
        widths = [1, *(settings.channels << layer for layer in range(settings.layers))]
        outputs = [instruments, *widths[1:]]
        layers = range(settings.layers)
        self.norm_input = nn.BatchNorm1d(bins)
        self.encoder = nn.ModuleList(Down(widths[n], widths[n + 1], heights[n]) for n in layers)
        self.bottleneck = Bottleneck(widths[-1] * heights[-1], settings.bottleneck)
        self.decoder = nn.ModuleList(Up(widths[n + 1], outputs[n], heights[n]) for n in layers)
        self.offset = nn.Parameter(torch.zeros(instruments, bins, 1))

    def logits(self, magnitude: Tensor) -> Tensor:
        """See `Separator.logits`."""
        x = self.norm_input(torch.log1p(LEVEL_GAIN * magnitude)).unsqueeze(1)
        skips: list[Tensor] = []
        for down in self.encoder:
            x = down(x)
            skips.append(x)
        x = self.bottleneck(x)
        for place in reversed(range(len(skips))):
            x = self.decoder[place](x, skips[place])
            x = functional.leaky_relu(x, SLOPE) if place else x
        logits: Tensor = x + self.offset
        return logits


SCNET = Network(SCNetSettings, SCNetSeparator)
