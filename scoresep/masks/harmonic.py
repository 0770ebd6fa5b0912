"""Harmonic masks: which bins a score says an instrument can sound in.

For every frame of a note, the bins around each multiple of its fundamental are marked, in packed bits (1/32 of float32,
docs/reference/cache.md). The pattern of a pitch is packed once and then written into the rows of all the frames in
which that pitch sounds; where a note is bent, a frame in which the pitch changes begins another pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoresep.compiled import compiled
from scoresep.grid import Grid, packed_width
from scoresep.score.parts import Part
from scoresep.score.piano_roll import pitch_runs


@dataclass(frozen=True)
class HarmonicSettings:
    """Shape of the mask of one note.

    Attributes:
        harmonics: multiples of the fundamental that are marked, the fundamental included.
        half_width: bins marked on either side of a partial. The main lobe of the Hann window reaches two bins to either
            side; of a steady partial's energy 1.5 holds 98 to 100 % (99.5 % on average, depending on where it lies
            between two bins), 2.0 at least 99.9 %.
        inharmonicity: B of a stiff string, f_h = h f0 sqrt(1 + B h^2); 0 for exact multiples.
        release: seconds for which a note goes on sounding after the score ends it.
        detune: cents by which an instrument may be out of tune or waver: marked on either side of a partial in addition
            to `half_width`, so the higher the partial the more bins.
    """

    harmonics: int = 30
    half_width: float = 1.5
    inharmonicity: float = 0.0
    release: float = 0.1
    detune: float = 0.0


def harmonic_mask(parts: Sequence[Part], grid: Grid, frames: int, settings: HarmonicSettings) -> np.ndarray:
    """Union of the masks of all notes: packed bits, uint8 (T, ceil(F / 8)), bit k of byte b is bin 8 b + k.

    Unpack with `np.unpackbits(mask, axis=-1, count=F, bitorder="little")`.
    """
    runs = pitch_runs(parts, grid, frames)
    release = grid.frames_in(settings.release)
    count = np.where(runs.ends, np.minimum(runs.count + release, frames - runs.first), runs.count)
    pitches, pattern_of = np.unique(runs.pitch, return_inverse=True)
    mask = np.zeros((frames, packed_width(grid.bins)), dtype=np.uint8)
    merge_rows(mask, runs.first, count, pattern_of, pitch_patterns(pitches, grid, settings))
    return mask


def pitch_patterns(pitches: np.ndarray, grid: Grid, settings: HarmonicSettings) -> np.ndarray:
    """The bins around the partials of MIDI pitches (U,), float64: packed bits, uint8 (U, ceil(F / 8))."""
    h = np.arange(1, settings.harmonics + 1)
    fundamental = 440.0 * 2.0 ** ((pitches[:, None] - 69.0) / 12.0) / grid.bin_width
    centre = h * fundamental * np.sqrt(1.0 + settings.inharmonicity * h * h)
    reach = settings.half_width + (2.0 ** (settings.detune / 1200.0) - 1.0) * centre
    first = np.clip(np.ceil(centre - reach), 0, grid.bins).astype(np.int64)
    end = np.clip(np.floor(centre + reach) + 1, 0, grid.bins).astype(np.int64)
    patterns = np.zeros((len(pitches), packed_width(grid.bins)), dtype=np.uint8)
    set_bits(patterns, first, end)
    return patterns


@compiled()
def set_bits(rows: np.ndarray, first: np.ndarray, end: np.ndarray) -> None:
    """Set bits first[u, h] to before end[u, h] of packed row u, for every h.

    rows: uint8 (U, bytes); first, end: int64 (U, H).
    """
    for u in range(len(rows)):
        for h in range(first.shape[1]):
            for bit in range(first[u, h], end[u, h]):
                rows[u, bit >> 3] |= np.uint8(1 << (bit & 7))


@compiled()
def merge_rows(
    mask: np.ndarray, first: np.ndarray, count: np.ndarray, pattern_of: np.ndarray, patterns: np.ndarray
) -> None:
    """OR pattern pattern_of[r] into rows first[r] to first[r] + count[r] of `mask`, for every run r.

    mask: uint8 (T, bytes); patterns: uint8 (U, bytes); first, count, pattern_of: int64 (R,).
    """
    for r in range(len(first)):
        pattern = patterns[pattern_of[r]]
        for t in range(first[r], first[r] + count[r]):
            row = mask[t]
            for b in range(len(pattern)):
                row[b] |= pattern[b]


def warm_up() -> None:
    """Compile the kernels, or load them from numba's cache: workers that start later need not race to compile them."""
    rows, runs = np.zeros((1, 1), dtype=np.uint8), np.zeros(1, dtype=np.int64)
    set_bits(rows, runs[None], runs[None])
    merge_rows(rows, runs, runs, runs, rows)
