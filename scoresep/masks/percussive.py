"""Masks of sounds without a pitch: where a score says that something is struck.
Both masks depend on one thing, the frames since the latest stroke: a row of the mask is the pattern of its age. Packed
bits as in `harmonics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from scoresep.grid import Grid
from scoresep.masks.kernels import mark_range, packed_width
from scoresep.score.parts import Part
from scoresep.score.piano_roll import frame_spans

NEVER = 1 << 62
"""Age in frames where nothing has been struck."""


@dataclass(frozen=True)
class OnsetSettings:
    """Shape of the mask of one attack.

    Attributes:
        low, high: Hz, the limits of the attack's noise.
        duration: seconds that it lasts.
        lead: seconds that it is marked before the onset: a frame hears half a window ahead.
    """

    low: float = 0.0
    high: float = 8000.0
    duration: float = 0.05
    lead: float = 0.0

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class PercussiveSettings:
    """Shape of the mask of one stroke: all bins at the onset, then an upper limit that falls exponentially.

    Attributes:
        decay: seconds from the onset that a stroke is marked, whatever the note's length.
        last: Hz, the upper limit when the decay ends; it begins at half the sample rate.
        lead: seconds that all bins are marked before the onset: a frame hears half a window ahead.
    """

    decay: float = 0.5
    last: float = 500.0
    lead: float = 0.0

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def onset_mask(parts: Sequence[Part], grid: Grid, frames: int, settings: OnsetSettings) -> np.ndarray:
    """The bins from `low` to `high` in the first frames of every note: packed bits, uint8 (T, ceil(F / 8))."""
    lead, length = frames_in(settings.lead, grid), max(frames_in(settings.duration, grid), 1)
    low = np.full(lead + length, np.ceil(settings.low / grid.bin_width))
    high = np.full(lead + length, np.floor(settings.high / grid.bin_width))
    return by_age(stroke_ages(parts, grid, frames, lead), low, high, grid)


def percussive_mask(parts: Sequence[Part], grid: Grid, frames: int, settings: PercussiveSettings) -> np.ndarray:
    """Every note as a stroke, broad-band and decaying from its onset on: packed bits, uint8 (T, ceil(F / 8))."""
    lead, length = frames_in(settings.lead, grid), max(frames_in(settings.decay, grid), 1)
    passed = np.maximum(np.arange(lead + length) - lead, 0) / length
    highest = grid.sample_rate / 2
    limit = highest * (min(settings.last, highest) / highest) ** passed
    return by_age(stroke_ages(parts, grid, frames, lead), np.zeros(len(limit)), np.floor(limit / grid.bin_width), grid)


def frames_in(seconds: float, grid: Grid) -> int:
    """Frames that hold `seconds`, rounded up."""
    return int(np.ceil(seconds * grid.frame_rate))


def stroke_ages(parts: Sequence[Part], grid: Grid, frames: int, lead: int) -> np.ndarray:
    """Frames since the latest stroke, int64 (T,), each taken `lead` frames early; NEVER or more before the first."""
    latest = np.full(frames, -NEVER)
    for part in parts:
        first = frame_spans(part.onset, part.offset, grid)[0] - lead
        first = first[first < frames]
        np.maximum.at(latest, np.maximum(first, 0), first)  # one before frame 0 may still be heard there
    return np.arange(frames) - np.maximum.accumulate(latest)


def by_age(age: np.ndarray, low: np.ndarray, high: np.ndarray, grid: Grid) -> np.ndarray:
    """Rows by age: bins low[a] to high[a], both included, at age a, and none from age A on; low and high are (A,).

    The latest stroke decides, so the ranges must not grow with age.
    """
    patterns = np.zeros((len(low) + 1, packed_width(grid.bins)), dtype=np.uint8)  # the last stays empty
    mark_range(patterns, low.astype(np.int64), high.astype(np.int64), grid.bins)
    return patterns[np.minimum(age, len(low))]
