"""Piano rolls and onsets on the frame grid. Called by cache preparation and evaluation.

`pretty_midi.get_piano_roll` drops notes shorter than a frame and stretches notes by the pedal; here every note keeps at
least one frame and ends where the score ends it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scoresep.features.score import Part
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid


def frame_spans(onset: np.ndarray, offset: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """First frame and frame after the last of each note: int64 (K,), (K,); at least one frame a note.

    A frame belongs to a note if its centre lies within half a hop of the note's span.
    """
    first = np.floor(onset * grid.frame_rate + 0.5).astype(np.int64)
    end = np.floor(offset * grid.frame_rate + 0.5).astype(np.int64)
    return first, np.maximum(end, first + 1)


def rasterise(parts: Sequence[Part], grid: Grid, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Union of parts on the grid: roll and onsets, bool (T, P) each.

    Bends are followed frame by frame and rounded to the nearest semitone. An onset marks a note's first frame.
    """
    roll = np.zeros((frames, PITCHES), dtype=bool)
    onsets = np.zeros((frames, PITCHES), dtype=bool)
    for first, pitches in sounding_pitches(parts, grid, frames):
        rows = np.rint(pitches).astype(np.int64) - LOWEST_PITCH
        inside = (rows >= 0) & (rows < PITCHES)
        roll[first + np.flatnonzero(inside), rows[inside]] = True
        if inside[0]:
            onsets[first, rows[0]] = True
    return roll, onsets


def sounding_pitches(parts: Sequence[Part], grid: Grid, frames: int) -> Iterator[tuple[int, np.ndarray]]:
    """For each note: its first frame and its pitch in each of its frames, float64 (K,), bends included."""
    for part in parts:
        starts, ends = frame_spans(part.onset, part.offset, grid)
        for onset, pitch, first, end in zip(part.onset, part.pitch, starts, np.minimum(ends, frames), strict=True):
            if first < end:
                times = np.maximum(grid.seconds(np.arange(first, end)), onset)
                yield int(first), pitch + part.bend_at(times)
