"""Harmonic masks: which bins a score says an instrument can sound in. Called by cache preparation.

For every frame of a note, the bins around each multiple of its fundamental are marked. The mask is written straight
into packed bits (1/32 of float32, docs/cache-format.md) by a numba kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numba
import numpy as np

from scoresep.features.roll import sounding_pitches
from scoresep.features.score import Part
from scoresep.grid import Grid


@dataclass(frozen=True)
class HarmonicSettings:
    """Shape of the mask of one note.

    Attributes:
        harmonics: multiples of the fundamental that are marked, the fundamental included.
        half_width: bins marked on either side of a partial; of a steady partial's energy under a Hann window 1.5 holds
            98 to 100 % (99.5 % on average, depending on where it lies between two bins), 2.0 at least 99.9 %.
        inharmonicity: B of a stiff string, f_h = h f0 sqrt(1 + B h^2); 0 for exact multiples.
        release: seconds for which a note goes on sounding after the score ends it.
    """

    harmonics: int = 30
    half_width: float = 1.5
    inharmonicity: float = 0.0
    release: float = 0.1

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def packed_width(bits: int) -> int:
    """Bytes that hold `bits` bits."""
    return -(-bits // 8)


def harmonic_mask(parts: Sequence[Part], grid: Grid, frames: int, settings: HarmonicSettings) -> np.ndarray:
    """Union of the masks of all notes: packed bits, uint8 (T, ceil(F / 8)), bit k of byte b is bin 8 b + k.

    Unpack with `np.unpackbits(mask, axis=-1, count=F, bitorder="little")`.
    """
    mask = np.zeros((frames, packed_width(grid.bins)), dtype=np.uint8)
    tail = int(np.ceil(settings.release * grid.frame_rate))
    starts, counts, pitches = [], [], []
    for first, pitch in sounding_pitches(parts, grid, frames):
        sounding = np.append(pitch, np.full(min(tail, frames - first - len(pitch)), pitch[-1]))
        starts.append(first)
        counts.append(len(sounding))
        pitches.append(sounding)
    if starts:
        mark_harmonics(
            mask,
            np.array(starts),
            np.array(counts),
            np.concatenate(pitches),
            grid.bins,
            grid.bin_width,
            settings.harmonics,
            settings.half_width,
            settings.inharmonicity,
        )
    return mask


@numba.njit(cache=True)
def mark_harmonics(
    mask: np.ndarray,
    starts: np.ndarray,
    counts: np.ndarray,
    pitches: np.ndarray,
    bins: int,
    bin_width: float,
    harmonics: int,
    half_width: float,
    inharmonicity: float,
) -> None:
    """Set the bits of K notes in `mask` (T, bytes): note k fills frames starts[k] to starts[k] + counts[k].

    `pitches` (float64, sum of counts) gives each note's MIDI pitch frame by frame.
    """
    position = 0
    for k in range(len(starts)):
        for t in range(starts[k], starts[k] + counts[k]):
            fundamental = 440.0 * 2.0 ** ((pitches[position] - 69.0) / 12.0) / bin_width
            position += 1
            for h in range(1, harmonics + 1):
                centre = h * fundamental * np.sqrt(1.0 + inharmonicity * h * h)
                if centre - half_width > bins - 1:
                    break
                low = max(int(np.ceil(centre - half_width)), 0)
                high = min(int(np.floor(centre + half_width)), bins - 1)
                for f in range(low, high + 1):
                    mask[t, f >> 3] |= np.uint8(1 << (f & 7))
