"""The temporal convolutional network that transcriptor and separator share. Called by `separator` and `transcriptor`.

Shape after Conv-TasNet's separator (Luo and Mesgarani 2019): 1x1 bottleneck, `repeats` times `blocks` residual blocks
whose depthwise convolutions are dilated by 1, 2, 4, ..., skip connections summed to the output. Batch normalisation
and LeakyReLU in place of global layer normalisation and PReLU: faster, and better early on (docs/decisions.md).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from scoresep.errors import ScoresepError

KERNEL = 3
SLOPE = 0.1
LEVEL_GAIN = 1000.0
"""Magnitudes relative to the track's level enter as log(1 + LEVEL_GAIN m): linear near silence, so the gradient that a
critic sends back stays finite there, logarithmic above -60 dB, so that the decay of a piano note stays visible."""
LONGEST_CONTEXT = 10_000
"""Frames on either side that a trunk may depend on; the `paper` recipe's has 381."""


@dataclass(frozen=True)
class TrunkSettings:
    """Size of a trunk.

    Attributes:
        channels: width of the residual path.
        hidden: width inside a block.
        blocks: blocks per repeat; block b is dilated by 2^b.
        repeats: how often the series of blocks is repeated.
    """

    channels: int = 256
    hidden: int = 512
    blocks: int = 7
    repeats: int = 3

    def __post_init__(self) -> None:
        for name, size in self.to_dict().items():
            if type(size) is not int or size < 1:
                raise ScoresepError(f"impossible trunk: {name} is {size}, too small or no whole number")
        if self.blocks > LONGEST_CONTEXT.bit_length() or self.context > LONGEST_CONTEXT:
            raise ScoresepError(
                f"impossible trunk: {self.repeats} repeats of {self.blocks} blocks depend on more than "
                f"{LONGEST_CONTEXT} frames either way"
            )

    @property
    def context(self) -> int:
        """Frames on either side that an output frame depends on."""
        return self.repeats * (2**self.blocks - 1) * (KERNEL // 2)

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


class DepthwiseConv(nn.Module):
    """Dilated depthwise convolution of width 3, length kept by zeros at both ends.

    On a CPU the dilated ones are three shifted multiply-adds: `tools/bench_depthwise.py` compares them with `conv1d`.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        weight = torch.empty(channels, 1, KERNEL).uniform_(-1.0, 1.0)
        # without memory (`checkpoint`) there is nothing to divide, and torch would load its compiler for it: 3 s
        self.weight = nn.Parameter(weight if weight.is_meta else weight / KERNEL**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        d, frames = self.dilation, x.shape[-1]
        if x.is_cuda or d == 1:
            return functional.conv1d(x, self.weight, padding=d, dilation=d, groups=x.shape[1])
        left, centre, right = self.weight.to(x.dtype).unbind(-1)
        out = x * centre
        if d < frames:
            out = out + functional.pad(x[..., :-d] * left, (d, 0)) + functional.pad(x[..., d:] * right, (0, d))
        return out


class Block(nn.Module):
    """One residual block: widen, convolve over time, narrow to a residual and a skip output."""

    def __init__(self, settings: TrunkSettings, dilation: int) -> None:
        super().__init__()
        channels, hidden = settings.channels, settings.hidden
        self.widen = nn.Conv1d(channels, hidden, 1, bias=False)
        self.norm_wide = nn.BatchNorm1d(hidden)
        self.depthwise = DepthwiseConv(hidden, dilation)
        self.norm_depthwise = nn.BatchNorm1d(hidden)
        self.narrow = nn.Conv1d(hidden, 2 * channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) -> the next block's input and the skip output, (B, C, T) each."""
        hidden = functional.leaky_relu(self.norm_wide(self.widen(x)), SLOPE)
        hidden = functional.leaky_relu(self.norm_depthwise(self.depthwise(hidden)), SLOPE)
        residual, skip = self.narrow(hidden).chunk(2, dim=1)
        return x + residual, skip


class Trunk(nn.Module):
    """Magnitudes to features."""

    def __init__(self, bins: int, settings: TrunkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.norm_input = nn.BatchNorm1d(bins)
        self.bottleneck = nn.Conv1d(bins, settings.channels, 1)
        dilations = [2**b for _ in range(settings.repeats) for b in range(settings.blocks)]
        self.blocks = nn.ModuleList(Block(settings, dilation) for dilation in dilations)
        self.norm_output = nn.BatchNorm1d(settings.channels)

    @property
    def context(self) -> int:
        """Frames on either side that an output frame depends on."""
        return self.settings.context

    def forward(self, magnitude: Tensor) -> Tensor:
        """Magnitudes relative to the track's level (B, F, T), float32 >= 0 -> features (B, C, T)."""
        x = self.bottleneck(self.norm_input(torch.log1p(LEVEL_GAIN * magnitude)))
        skips = torch.zeros_like(x)
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip
        return functional.leaky_relu(self.norm_output(x + skips), SLOPE)
