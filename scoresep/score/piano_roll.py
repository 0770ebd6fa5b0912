"""Piano rolls and onsets on the frame grid.
`pretty_midi.get_piano_roll` drops notes shorter than a frame and stretches notes by the pedal; here every note keeps at
least one frame and ends where the score ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.score.parts import Part, part_from_notes


@dataclass(frozen=True)
class Runs:
    """Stretches of frames in which a note keeps its pitch, R of them; a note without bends is one run.

    Attributes:
        first: int64 (R,), the first frame.
        count: int64 (R,), frames, at least 1.
        pitch: float64 (R,), MIDI pitch, bend included.
        begins, ends: bool (R,), whether the run is the first and the last of its note.
    """

    first: np.ndarray
    count: np.ndarray
    pitch: np.ndarray
    begins: np.ndarray
    ends: np.ndarray


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
    runs = pitch_runs(parts, grid, frames)
    key = np.rint(runs.pitch).astype(np.int64) - LOWEST_PITCH
    inside = (key >= 0) & (key < PITCHES)
    roll, onsets = np.zeros((2, frames, PITCHES), dtype=bool)
    for first, end, row in np.stack([runs.first, runs.first + runs.count, key], axis=1)[inside].tolist():
        roll[first:end, row] = True
    struck = inside & runs.begins
    onsets[runs.first[struck], key[struck]] = True
    return roll, onsets


def pitch_runs(parts: Sequence[Part], grid: Grid, frames: int) -> Runs:
    """The runs of all notes of `parts`, as far as they lie in frames 0 to `frames`; a note's follow one another."""
    runs = [_runs(part, grid, frames) for part in parts or [part_from_notes([])]]
    return Runs(*(np.concatenate([getattr(of_part, name) for of_part in runs]) for name in Runs.__dataclass_fields__))


def _runs(part: Part, grid: Grid, frames: int) -> Runs:
    start, end = frame_spans(part.onset, part.offset, grid)
    heard = (start < frames) & (end > 0)
    first = np.maximum(start[heard], 0)
    count = np.minimum(end[heard], frames) - first
    whole = Runs(first, count, part.pitch[heard].astype(np.float64), start[heard] >= 0, np.ones(len(first), dtype=bool))
    return _cut_at_bends(whole, part, part.onset[heard], grid, frames) if len(part.bend) else whole


def _cut_at_bends(notes: Runs, part: Part, onset: np.ndarray, grid: Grid, frames: int) -> Runs:
    """Whole notes of `part` and their onsets in seconds -> their runs. Works on one row for each frame of each note."""
    note = np.repeat(np.arange(len(onset)), notes.count)
    head = np.cumsum(notes.count) - notes.count
    frame = np.arange(len(note)) + (notes.first - head)[note]
    bend = part.bend_at(grid.seconds(np.arange(frames)))[frame]
    # the centre of a note's first frame may lie before its onset
    bend[head] = part.bend_at(np.maximum(grid.seconds(notes.first), onset))
    pitch = notes.pitch[note] + bend
    begins = np.zeros(len(note), dtype=bool)
    begins[head] = True
    at = np.flatnonzero(begins | (np.diff(pitch, prepend=0.0) != 0))
    after = np.append(at, len(note))
    return Runs(
        first=frame[at],
        count=np.diff(after),
        pitch=pitch[at],
        begins=begins[at] & notes.begins[note[at]],
        ends=np.append(begins, True)[after[1:]],
    )
