"""The table of reference rows: what one would get without our model, or with knowledge it does not have.

Each is a function from a `Track` to the estimates of all instruments, float32 (N, L). A row of `BASELINES` is all that
one needs to be computed, printed and put into the paper's table; other packages add rows by entry points of the group
'scoresep.baselines' (docs/how-to/metric.md shows how).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scoresep.audio.spectrogram import istft, level_of, stft
from scoresep.grid import Grid
from scoresep.nmf import factorise
from scoresep.nmf import masks as shares
from scoresep.plugins import Registry


@dataclass(frozen=True)
class TrueTrack:
    """A test track with its truth.

    Attributes:
        mixture: float32 (L,).
        stems: float32 (N, L).
        harmonic: bins that each instrument's score covers, bool (T, N, F).
        grid: the model's grid.
        kinds: kind of each instrument, N of them (`instruments.Instrument.kind`).
        roll, onset: keys that sound, and first frames of notes, bool (T, N, P).
    """

    mixture: np.ndarray
    stems: np.ndarray
    harmonic: np.ndarray
    grid: Grid
    kinds: tuple[str, ...] = ()
    roll: np.ndarray | None = None
    onset: np.ndarray | None = None


@dataclass(frozen=True)
class Reference:
    """A reference row.

    Attributes:
        label: for tables in a terminal, at most 14 letters.
        title: for tables on paper.
        estimate: float32 (N, L) from a track.
        knows_stems: whether it looks at the true stems, so that no model can be expected to reach it.
    """

    label: str
    title: str
    estimate: Callable[[TrueTrack], np.ndarray]
    knows_stems: bool = False


def mixture(track: TrueTrack) -> np.ndarray:
    """The mixture itself for every instrument: what is to be improved on."""
    return np.broadcast_to(track.mixture, track.stems.shape)


def harmonic_mask(track: TrueTrack) -> np.ndarray:
    """The score's harmonic masks as they are: bins covered by several instruments, or by none, are shared equally."""
    covered = track.harmonic.sum(axis=1, dtype=np.float32)
    count = track.harmonic.shape[1]
    spectrum = stft(track.mixture, track.grid.n_fft, track.grid.hop)
    masks = (
        np.where(covered > 0, track.harmonic[:, n] / np.maximum(covered, 1), np.float32(1 / count))
        for n in range(count)
    )
    return np.stack([_masked(spectrum, mask, track) for mask in masks])


def score_nmf(track: TrueTrack) -> np.ndarray:
    """Score-informed non-negative matrix factorisation of the mixture (`nmf`, docs/research/teacher.md)."""
    assert track.roll is not None and track.onset is not None
    spectrum = stft(track.mixture, track.grid.n_fft, track.grid.hop)
    magnitude = np.abs(spectrum) / np.float32(level_of(track.mixture))
    roll, onset = (np.moveaxis(values, 0, 2) for values in (track.roll, track.onset))
    factors = factorise(magnitude.T, roll, track.kinds, track.grid, onset)
    return np.stack([_masked(spectrum, share.T, track) for share in shares(factors)])


def oracle_mask(track: TrueTrack) -> np.ndarray:
    """The ratio mask |S_i| / sum_j |S_j| of the true stems: about the best that masks on this grid can do."""
    spectrum = stft(track.mixture, track.grid.n_fft, track.grid.hop)
    return np.stack([_masked(spectrum, mask, track) for mask in ratio_masks(track.stems, track.grid)])


def ratio_masks(stems: np.ndarray, grid: Grid, frames: slice = slice(None)) -> np.ndarray:
    """|S_i| / sum_j |S_j| of stems (N, L) in some frames: float32 (N, T, F)."""
    magnitude = np.stack([np.abs(stft(stem, grid.n_fft, grid.hop))[frames] for stem in stems])
    magnitude /= np.maximum(magnitude.sum(axis=0), 1e-9)
    return magnitude


def _masked(spectrum: np.ndarray, mask: np.ndarray, track: TrueTrack) -> np.ndarray:
    """Apply a mask (T, F) to a spectrum (T, F) and give its sound, float32 (L,)."""
    return istft(spectrum * mask.astype(np.float32), len(track.mixture), track.grid.n_fft, track.grid.hop)


BASELINES = Registry(
    "scoresep.baselines",
    Reference,
    {
        "mixture": Reference("mixture", "the mixture itself", mixture),
        "harmonic_mask": Reference("harmonic mask", "harmonic mask of the score", harmonic_mask),
        "score_nmf": Reference("score NMF", "score-informed NMF", score_nmf),
        "oracle_mask": Reference("oracle mask", "oracle mask", oracle_mask, knows_stems=True),
    },
    reserved=("model",),
)
"""By name, in the order of what they know; names are those in `metrics.json`."""
