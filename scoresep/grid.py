"""The frame grid and the pitch axis: the one place that turns seconds into frames, bins and pitches.

Axes, everywhere: `B` batch, `N` instruments, `F` frequency bins, `T` frames, `P` = 88 pitches (MIDI 21-108).
Frame t is centred on sample t * hop, so a signal of L samples has L // hop + 1 frames.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from scoresep.errors import InvalidValue

LOWEST_PITCH = 21
PITCHES = 88
LOWEST_RATE, HIGHEST_RATE = 1000, 1_000_000 - 1
"""Hz that a recording can have."""
MOST_OVERLAP = 64
"""Frames that may lie on one sample."""
LONGEST_WINDOW = 4
"""Seconds."""


def packed_width(bits: int) -> int:
    """Bytes that hold `bits` bits, such as a row of a mask or of a piano roll."""
    return -(-bits // 8)


Frames = TypeVar("Frames", float, np.ndarray)


@dataclass(frozen=True)
class Grid:
    """Sampling of time and frequency.

    Attributes:
        sample_rate: samples per second of the audio the networks see (Hz).
        n_fft: window length of the STFT (samples, even).
        hop: distance between frames (samples); n_fft is an even multiple of it, 4 or more, for overlap-add.
    """

    sample_rate: int = 16000
    n_fft: int = 2048
    hop: int = 512

    def __post_init__(self) -> None:
        overlap, rest = divmod(self.n_fft, max(self.hop, 1))
        if min(self.sample_rate, self.n_fft, self.hop) <= 0 or rest or overlap < 4 or overlap % 2:
            raise InvalidValue(
                f"impossible frame grid: {self}",
                remedy="all must be positive, and the window 4, 6, 8 or any more even number of hops",
            )

    def __str__(self) -> str:
        return f"{self.sample_rate} Hz, window {self.n_fft}, hop {self.hop}"

    @property
    def bins(self) -> int:
        """F: frequency bins from 0 Hz to half the sample rate."""
        return self.n_fft // 2 + 1

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    @property
    def bin_width(self) -> float:
        """Hz between frequency bins."""
        return self.sample_rate / self.n_fft

    def bins_up_to(self, hertz: float) -> int:
        """Bins from 0 Hz to `hertz`, 1 to F."""
        return min(int(hertz / self.bin_width + 1e-6) + 1, self.bins)

    def frames(self, samples: int) -> int:
        """T: frames of a signal of `samples` samples."""
        return samples // self.hop + 1

    def frames_in(self, seconds: float) -> int:
        """Frames that hold `seconds`, rounded up."""
        return math.ceil(seconds * self.frame_rate)

    def frame_at(self, seconds: float) -> int:
        """The frame whose centre is nearest to `seconds`."""
        return int(seconds * self.frame_rate + 0.5)

    def seconds(self, frame: Frames) -> Frames:
        """Centre of frame `frame`, or of each of an array of frames, in seconds."""
        return frame * self.hop / self.sample_rate

    def to_dict(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Grid:
        """What `to_dict` gave, from a file that anyone may have written.

        Raises:
            InvalidValue: an impossible grid, or one that no cache is made with.
        """
        grid = cls(**{name: int(values[name]) for name in ("sample_rate", "n_fft", "hop")})
        if not LOWEST_RATE <= grid.sample_rate <= HIGHEST_RATE:
            raise InvalidValue(
                f"impossible frame grid: {grid}; no audio has that rate",
                remedy=f"rates are {LOWEST_RATE} to {HIGHEST_RATE} Hz",
            )
        if grid.n_fft > min(MOST_OVERLAP * grid.hop, LONGEST_WINDOW * grid.sample_rate):
            raise InvalidValue(
                f"impossible frame grid: {grid}; the window is too long",
                remedy=f"it can be {MOST_OVERLAP} hops and {LONGEST_WINDOW} seconds",
            )
        return grid
