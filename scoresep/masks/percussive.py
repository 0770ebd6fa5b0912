"""Masks of sounds without a pitch: where a score says that something is struck.

A row of the mask depends on one thing, the frames since the latest stroke. Packed bits as in `masks.harmonic`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoresep.grid import Grid
from scoresep.score.parts import Part
from scoresep.score.piano_roll import frame_spans

NEVER = 1 << 62
"""Age in frames where nothing has been struck."""


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


def percussive_mask(parts: Sequence[Part], grid: Grid, frames: int, settings: PercussiveSettings) -> np.ndarray:
    """Every note as a stroke, broad-band and decaying from its onset on: packed bits, uint8 (T, ceil(F / 8))."""
    lead, length = grid.frames_in(settings.lead), max(grid.frames_in(settings.decay), 1)
    passed = np.maximum(np.arange(lead + length) - lead, 0) / length
    highest = grid.sample_rate / 2
    limit = highest * (min(settings.last, highest) / highest) ** passed
    marked = np.arange(grid.bins) <= np.append(np.floor(limit / grid.bin_width), -1.0)[:, None]  # -1: no bin
    patterns = np.packbits(marked, axis=1, bitorder="little")
    # The limit falls with the age, so the latest stroke decides.
    mask: np.ndarray = patterns[np.minimum(stroke_ages(parts, grid, frames, lead), len(limit))]
    return mask


def stroke_ages(parts: Sequence[Part], grid: Grid, frames: int, lead: int) -> np.ndarray:
    """Frames since the latest stroke, int64 (T,), each taken `lead` frames early; NEVER or more before the first."""
    latest = np.full(frames, -NEVER)
    for part in parts:
        first = frame_spans(part.onset, part.offset, grid)[0] - lead
        first = first[first < frames]
        np.maximum.at(latest, np.maximum(first, 0), first)  # one before frame 0 may still be heard there
    return np.arange(frames) - np.maximum.accumulate(latest)
