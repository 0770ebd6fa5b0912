"""`tcn`: a temporal convolutional network, as a separator, a transcriptor and a critic that only knows who plays.

Shape after Conv-TasNet's separator (Luo and Mesgarani 2019): 1x1 bottleneck, `repeats` times `blocks` residual blocks
whose depthwise convolutions are dilated by 1, 2, 4, ..., skip connections summed to the output. Batch normalisation
and LeakyReLU in place of global layer normalisation and PReLU: faster, and better early on
(docs/explanation/decisions.md). All of them have the same trunk and one layer more; those of one size can start from
each other's.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from scoresep.errors import InvalidValue
from scoresep.grid import PITCHES
from scoresep.models.base import MAX_CONTEXT, Network, Rolls, Separator, Transcriptor

KERNEL = 3
SLOPE = 0.1
"""Of LeakyReLU."""
LEVEL_GAIN = 1000.0
"""Magnitudes relative to the track's level enter as log(1 + LEVEL_GAIN m): linear near silence, so the gradient that a
critic sends back stays finite there, logarithmic above -60 dB, so that the decay of a piano note stays visible."""
RARE = -4.0
"""Starting bias of a roll's logits, a probability of 2 %: about the share of frames in which a key sounds."""
INPUT_AXIS = {
    **dict.fromkeys((f"norm_input.{name}" for name in ("weight", "bias", "running_mean", "running_var")), 0),
    "bottleneck.weight": 1,
}
"""Which axis of a trunk's weights and statistics is that of its inputs."""
MAX_WEIGHT = 2**24
"""Values of a layer's weight: protects the memory from absurd sizes. The `paper` config takes a hundredth."""


@dataclass(frozen=True)
class TCNSettings:
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
        for name, size in asdict(self).items():
            if type(size) is not int or size < 1:
                raise InvalidValue(f"impossible network: {name} is {size}, not a whole number from 1 on")
        if self.channels * self.hidden > MAX_WEIGHT:
            raise InvalidValue(
                f"impossible network: channels times hidden is {self.channels * self.hidden}, beyond any memory",
                remedy=f"{MAX_WEIGHT} is the most",
            )
        if self.blocks > MAX_CONTEXT.bit_length() or self.context > MAX_CONTEXT:
            raise InvalidValue(
                f"impossible network: {self.repeats} repeats of {self.blocks} blocks depend on more than "
                f"{MAX_CONTEXT} frames on either side"
            )

    @property
    def context(self) -> int:
        """Frames on either side that an output frame depends on."""
        return self.repeats * ((1 << self.blocks) - 1) * (KERNEL // 2)

    @property
    def width(self) -> int:
        """Values a frame of its widest layer."""
        return max(2 * self.channels, self.hidden)


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
        if x.is_cuda or d == 1 or torch.compiler.is_compiling():  # what is exported must serve any number of frames
            return functional.conv1d(x, self.weight, padding=d, dilation=d, groups=x.shape[1])
        left, centre, right = self.weight.to(x.dtype).unbind(-1)
        out = x * centre
        if d < frames:
            out = out + functional.pad(x[..., :-d] * left, (d, 0)) + functional.pad(x[..., d:] * right, (0, d))
        return out


class Block(nn.Module):
    """One residual block: widen, convolve over time, narrow to a residual and a skip output."""

    def __init__(self, settings: TCNSettings, dilation: int) -> None:
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

    def __init__(self, bins: int, settings: TCNSettings) -> None:
        super().__init__()
        self.norm_input = nn.BatchNorm1d(bins)
        self.bottleneck = nn.Conv1d(bins, settings.channels, 1)
        dilations = [2**b for _ in range(settings.repeats) for b in range(settings.blocks)]
        self.blocks = nn.ModuleList(Block(settings, dilation) for dilation in dilations)
        self.norm_output = nn.BatchNorm1d(settings.channels)

    def forward(self, magnitude: Tensor) -> Tensor:
        """Magnitudes relative to the track's level (B, F, T), float32 >= 0 -> features (B, C, T)."""
        x = self.bottleneck(self.norm_input(torch.log1p(LEVEL_GAIN * magnitude)))
        skips = torch.zeros_like(x)
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip
        return functional.leaky_relu(self.norm_output(x + skips), SLOPE)


class TCNSeparator(Separator):
    """A trunk and N x F logits."""

    def __init__(self, bins: int, instruments: int, settings: TCNSettings, mask: str) -> None:
        super().__init__(bins, instruments, settings.context, mask)
        self.trunk = Trunk(bins, settings)
        self.head = nn.Conv1d(settings.channels, instruments * bins, 1)

    def logits(self, magnitude: Tensor) -> Tensor:
        """See `Separator.logits`."""
        logits: Tensor = self.head(self.trunk(magnitude))
        return logits.view(len(logits), self.instruments, self.bins, -1)


class TCNTranscriptor(Transcriptor):
    """A trunk and N x 88 logits for sounding keys, with as many for onsets beside them."""

    def __init__(self, bins: int, instruments: int, settings: TCNSettings) -> None:
        super().__init__(settings.context)
        self.instruments = instruments
        self.trunk = Trunk(bins, settings)
        self.head = nn.Conv1d(settings.channels, 2 * instruments * PITCHES, 1)
        nn.init.constant_(self.head.get_parameter("bias"), RARE)

    def forward(self, magnitude: Tensor) -> Rolls:
        """See `Transcriptor.forward`."""
        logits = self.head(self.trunk(magnitude)).float()
        frame, onset = logits.unflatten(1, (2, self.instruments, PITCHES)).unbind(1)
        return Rolls(frame, onset)


class TCNClassifier(Transcriptor):
    """A critic that tells who plays, not which notes: a trunk and N logits a frame; `pooled`, a clip.

    After Pishdadian, Wichern and Le Roux, "Finding Strength in Weakness: Learning to Separate Sounds With Weak
    Supervision" (2020, arXiv 1911.02182): the separator's critic is a classifier that learns from temporal labels
    alone. The trunk is the transcriptor's, so that rows of supervision differ in their labels and in nothing else.

    Over a clip the frames' logits are joined by the logarithm of their mean exponential: a maximum (a clip has an
    instrument if any of its frames has) through which every frame gets a gradient.
    """

    def __init__(self, bins: int, instruments: int, settings: TCNSettings, *, pooled: bool) -> None:
        super().__init__(settings.context)
        self.pooled = pooled
        self.trunk = Trunk(bins, settings)
        self.head = nn.Conv1d(settings.channels, instruments, 1)

    def forward(self, magnitude: Tensor) -> Rolls:
        """Magnitudes (B, F, T) -> logits (B, N, 1, T), `pooled` (B, N, 1, 1); there are no onsets: (B, 0, 1, ...)."""
        logits = self.head(self.trunk(magnitude)).float().unsqueeze(2)
        if self.pooled:
            logits = torch.logsumexp(logits, 3, keepdim=True) - math.log(logits.shape[3])
        return Rolls(logits, logits[:, :0])

    def labels(self, roll: Tensor) -> Tensor:
        """What it learns of a score: roll (B, N, P, T) -> float 0 or 1 (B, N, 1, T), `pooled` (B, N, 1, 1)."""
        return roll.amax((2, 3) if self.pooled else 2, keepdim=True)


def inherit_trunk(separator: TCNSeparator, transcriptor: TCNTranscriptor | TCNClassifier) -> None:
    """Start the separator's trunk from the transcriptor's: it already hears notes and instruments.

    Bins that the separator does not see are left out (`Separator.seen`), and inputs that it alone has
    (`Separator.conditioned`) have no effect at first.
    """
    own = separator.trunk.state_dict()
    for name, value in transcriptor.trunk.state_dict().items():
        axis = INPUT_AXIS.get(name)
        if axis is None:
            own[name].copy_(value)
            continue
        if axis:
            own[name].zero_()
        own[name].narrow(axis, 0, separator.seen).copy_(value.narrow(axis, 0, separator.seen))
    separator.trunk.load_state_dict(own)


TCN = Network(
    TCNSettings,
    TCNSeparator,
    {
        "keys": TCNTranscriptor,
        "frames": partial(TCNClassifier, pooled=False),
        "clips": partial(TCNClassifier, pooled=True),
    },
    inherit_trunk,
)
