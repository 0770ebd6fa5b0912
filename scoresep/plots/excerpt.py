"""A few seconds of one track of a cache, to look at: which ones, and what is in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoresep.audio.spectrogram import stft
from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.instruments import nearest

SECONDS = 16.0
"""Length of the excerpt, unless told otherwise."""
PLAYS = 0.1
"""Share of an excerpt's time from which on an instrument counts as playing in it."""


@dataclass(frozen=True)
class Excerpt:
    """What is drawn: T frames of one track.

    Attributes:
        span: seconds, from and to, half a hop before the first and after the last frame.
        mixture: float32 (T, F), magnitudes.
        stems: float32 (T, N, F), magnitudes, or None if the cache has none.
        roll, onset: bool (T, N, P).
        mask: bool (T, N, F).
    """

    span: tuple[float, float]
    mixture: np.ndarray
    stems: np.ndarray | None
    roll: np.ndarray
    onset: np.ndarray
    mask: np.ndarray


def row_of(cache: Cache, track: str) -> int:
    """Row of a track by its id.

    Raises:
        ScoresepError: there is none, with the reason if it was left out, else the nearest name.
    """
    rows = np.flatnonzero(cache.tracks["id"] == track)
    if len(rows):
        return int(rows[0])
    for item in cache.excluded:
        if item.track == track:
            raise ScoresepError(f"{cache.path} left {track} out: {item.reason}")
    ids = [str(name) for name in cache.tracks["id"]]
    close = nearest(track, ids)
    raise ScoresepError(
        f"{cache.path} has no track '{track}'" + (close if "did you mean" in close else f"; the first is '{ids[0]}'")
    )


def chosen_frames(cache: Cache, row: int, span: tuple[float, float] | None) -> tuple[int, int]:
    """First frame and number of frames of the excerpt."""
    grid, frames = cache.grid, int(cache.tracks["frames"][row])
    if span is None:
        scored = [instrument.scored for instrument in cache.instruments]
        sounding = cache.slice("roll", row).any(axis=2)[:, scored]
        return busiest(sounding, min(frames, grid.frame_at(SECONDS)), max(1, grid.frame_at(1.0)))
    first, stop = grid.frame_at(max(span[0], 0.0)), min(grid.frame_at(span[1]) + 1, frames)
    if first >= stop - 1:
        length = grid.seconds(frames - 1)
        raise ScoresepError(
            f"{span[0]:g} to {span[1]:g} s is no part of {cache.tracks['id'][row]}, which lasts {length:.1f} s"
        )
    return first, stop - first


def busiest(sounding: np.ndarray, count: int, step: int) -> tuple[int, int]:
    """First frame and length of the excerpt in which most instruments play, then play longest; the earliest of equals.

    Args:
        sounding: bool (T, N).
        count: frames of the excerpt.
        step: frames between the excerpts that are compared.
    """
    sums = np.concatenate([np.zeros((1, sounding.shape[1]), dtype=np.int64), sounding.cumsum(axis=0, dtype=np.int64)])
    starts = np.arange(0, len(sounding) - count + 1, step)
    inside = sums[starts + count] - sums[starts]
    playing = (inside >= max(1.0, PLAYS * count)).sum(axis=1)
    return int(starts[np.lexsort((-inside.sum(axis=1), -playing))[0]]), count


def read_excerpt(cache: Cache, row: int, first: int, count: int) -> Excerpt:
    """Read `count` frames from `first` on."""
    grid = cache.grid
    return Excerpt(
        span=(grid.seconds(first - 0.5), grid.seconds(first + count - 0.5)),
        mixture=cache.magnitude(row, first, count).astype(np.float32),
        stems=read_stems(cache, row, first, count) if cache.has_stems else None,
        roll=cache.roll(row, first, count),
        onset=cache.onset(row, first, count),
        mask=cache.harmonic(row, first, count),
    )


def read_stems(cache: Cache, row: int, first: int, count: int) -> np.ndarray:
    """Magnitudes of the stems, float32 (T, N, F), from no more samples than the frames need."""
    grid = cache.grid
    margin = -(-grid.n_fft // 2 // grid.hop)  # frames on either side that a window reaches into
    before = min(first, margin)
    start = (first - before) * grid.hop
    stop = min((first + count + margin) * grid.hop, int(cache.tracks["samples"][row]))
    samples = cache.slice("stems", row, start, max(stop - start, 0)) * np.float32(cache.tracks["scale"][row])
    spectra = [np.abs(stft(stem, grid.n_fft, grid.hop))[before : before + count] for stem in samples.T]
    return np.stack(spectra, axis=1)
