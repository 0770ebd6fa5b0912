"""Harmonic masks: which bins a score says an instrument can sound in.
For every frame of a note, the bins around each multiple of its fundamental are marked, in packed bits (1/32 of float32,
docs/reference/cache.md). The pattern of a pitch is packed once and then written into the rows of all the frames in
which
that pitch sounds; where a note is bent, a frame in which the pitch changes begins another pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from scoresep.grid import Grid
from scoresep.masks.kernels import mark_partials, merge_rows, packed_width
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

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def harmonic_mask(parts: Sequence[Part], grid: Grid, frames: int, settings: HarmonicSettings) -> np.ndarray:
    """Union of the masks of all notes: packed bits, uint8 (T, ceil(F / 8)), bit k of byte b is bin 8 b + k.

    Unpack with `np.unpackbits(mask, axis=-1, count=F, bitorder="little")`.
    """
    runs = pitch_runs(parts, grid, frames)
    tail = int(np.ceil(settings.release * grid.frame_rate))
    count = np.where(runs.ends, np.minimum(runs.count + tail, frames - runs.first), runs.count)
    pitches, which = np.unique(runs.pitch, return_inverse=True)
    patterns = np.zeros((len(pitches), packed_width(grid.bins)), dtype=np.uint8)
    mark_partials(
        patterns,
        pitches,
        grid.bins,
        grid.bin_width,
        settings.harmonics,
        float(settings.half_width),
        2.0 ** (settings.detune / 1200.0) - 1.0,
        float(settings.inharmonicity),
    )
    mask = np.zeros((frames, packed_width(grid.bins)), dtype=np.uint8)
    merge_rows(mask, runs.first, count, which, patterns)
    return mask
