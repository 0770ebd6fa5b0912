"""`hppnet`: harmonic dilated convolution, as a transcriptor.

After Wei et al., "HPPNet: Modeling the Harmonic Structure and Pitch Invariance in Piano Transcription", ISMIR 2022
(arXiv 2208.14339): on an axis of pitches, the partials of every note lie at the same distances, so one convolution
whose taps are these distances sees whole notes, and a small network does for all pitches.

What differs from the paper: pitches are read off the magnitudes by a fixed bank of triangular filters, three a
semitone, rather than off a constant-Q transform; temporal convolutions of finite reach, the same for every pitch, stand
in for its recurrent layers; onsets and sounding keys have a head each, for every instrument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from scoresep.grid import LOWEST_PITCH, PITCHES
from scoresep.models.base import Network, Rolls, Transcriptor
from scoresep.models.layers import ConvBlock, check_sizes
from scoresep.models.tcn import LEVEL_GAIN, RARE, SLOPE

FINE = 3
"""Filters a semitone."""
ABOVE = 36
"""Semitones above the highest key that partials are looked for in: three octaves, as far as the eighth partial."""
HARMONICS = tuple(round(12 * math.log2(h)) for h in range(1, 9))
"""Semitones from a key to its partials."""
SUBHARMONIC = -12
"""Semitones to the key whose second partial this may be."""
TAPS = (SUBHARMONIC, *HARMONICS)
"""Semitones from a key to what is seen of it."""


@dataclass(frozen=True)
class HPPNetSettings:
    """Sizes of a harmonic transcriptor.

    Attributes:
        channels: features of a pitch.
        blocks: temporal blocks; block b is dilated by 2^b.
        sample_rate: Hz, of the grid: where the pitches are. Another grid is refused.
    """

    channels: int = 32
    blocks: int = 4
    sample_rate: int = 16000

    def __post_init__(self) -> None:
        check_sizes(self, channels=512, blocks=12, sample_rate=10**6)

    @property
    def context(self) -> int:
        """Frames on either side that an output frame depends on."""
        return 2 + (1 << self.blocks) - 1

    @property
    def width(self) -> int:
        """Values a frame of its widest layer."""
        return len(TAPS) * self.channels * PITCHES


@lru_cache(maxsize=8)
def pitch_filters(bins: int, sample_rate: int, device: torch.device) -> Tensor:
    """Triangular filters around pitches, `FINE` a semitone from the lowest key to `ABOVE` the highest: (pitches, F).

    Each is as wide as a third of a semitone, and two bins at least; those beyond the grid are 0.
    """
    hertz = torch.arange(bins, device="cpu") * (sample_rate / 2 / (bins - 1))
    pitch = LOWEST_PITCH + (torch.arange(FINE * (PITCHES + ABOVE), device="cpu") - FINE // 2) / FINE
    centre = 440.0 * 2.0 ** ((pitch - 69) / 12)
    reach = torch.maximum(centre * (2.0 ** (1 / (12 * FINE)) - 1), hertz[1])
    filters = (1 - (hertz - centre[:, None]).abs() / reach[:, None]).clamp_min(0)
    return (filters / filters.sum(1, keepdim=True).clamp_min(1e-9)).to(device)


class HarmonicConv(nn.Module):
    """A convolution over pitch whose taps are at the distances of partials."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(len(TAPS) * channels, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, PITCHES + ABOVE, T), from the lowest key up -> (B, outputs, PITCHES, T)."""
        padded = functional.pad(x, (0, 0, -SUBHARMONIC, 0))
        taps = [padded.narrow(2, tap - SUBHARMONIC, PITCHES) for tap in TAPS]
        found: Tensor = self.conv(torch.cat(taps, dim=1))
        return found


class HPPNetTranscriptor(Transcriptor):
    """Pitches, partials, time, heads."""

    def __init__(self, bins: int, instruments: int, settings: HPPNetSettings) -> None:
        super().__init__(settings.context)
        channels = settings.channels
        self.instruments, self.sample_rate = instruments, settings.sample_rate
        self.norm_input = nn.BatchNorm1d(bins)
        self.local = nn.Conv2d(1, channels, (FINE + 2, 3), (FINE, 1), (1, 1), bias=False)
        self.norm_local = nn.BatchNorm2d(channels)
        self.harmonic = HarmonicConv(channels, channels)
        self.norm_harmonic = nn.BatchNorm2d(channels)
        self.near = ConvBlock(channels)
        self.blocks = nn.ModuleList(ConvBlock(channels, 1, 3, 2**b) for b in range(settings.blocks))
        self.head = nn.Conv2d(channels, 2 * instruments, 1)
        self.offset = nn.Parameter(torch.full((2 * instruments, PITCHES, 1), RARE))

    def forward(self, magnitude: Tensor) -> Rolls:
        """See `Transcriptor.forward`."""
        filters = pitch_filters(magnitude.shape[1], self.sample_rate, magnitude.device)
        x = (filters @ self.norm_input(torch.log1p(LEVEL_GAIN * magnitude))).unsqueeze(1)
        x = functional.leaky_relu(self.norm_local(self.local(x)), SLOPE)
        x = functional.leaky_relu(self.norm_harmonic(self.harmonic(x)), SLOPE)
        x = self.near(x)
        for block in self.blocks:
            x = block(x)
        frame, onset = (self.head(x) + self.offset).float().chunk(2, dim=1)
        return Rolls(frame, onset)


HPPNET = Network(HPPNetSettings, critics={"keys": HPPNetTranscriptor})
