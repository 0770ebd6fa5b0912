"""Piano rolls: short notes, overlaps, union, bends, range, ends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scoresep.grid import LOWEST_PITCH, Grid
from scoresep.score.parts import Part, part_from_notes
from scoresep.score.piano_roll import frame_spans, pitch_runs, rasterise

GRID = Grid(16000, 2048, 512)
FRAME = 0.032


def part(*notes, **fields):
    """Notes (onset in frames, offset in frames, pitch)."""
    return part_from_notes([(a * FRAME, b * FRAME, pitch, 90) for a, b, pitch in notes], **fields)


def cells(roll):
    """{(frame, MIDI pitch)} of the true cells."""
    return {(int(t), int(p) + LOWEST_PITCH) for t, p in np.argwhere(roll)}


def test_a_note_fills_the_frames_whose_centres_it_spans():
    roll, onsets = rasterise([part((2, 5, 60))], GRID, 10)
    assert roll.shape == onsets.shape == (10, 88) and roll.dtype == onsets.dtype == bool
    assert cells(roll) == {(2, 60), (3, 60), (4, 60)} and cells(onsets) == {(2, 60)}


@pytest.mark.parametrize("start", [3.0, 3.2, 3.45, 2.55])
def test_a_note_shorter_than_a_frame_keeps_one_frame(start):
    roll, onsets = rasterise([part((start, start + 0.04, 60))], GRID, 10)
    assert cells(roll) == cells(onsets) == {(3, 60)}


def test_no_note_of_many_short_ones_is_lost():
    rng = np.random.default_rng(0)
    starts = np.arange(200) * 2 + rng.uniform(-0.4, 0.4, 200) + 1
    _, onsets = rasterise([part(*((s, s + 0.01, 60) for s in starts))], GRID, 500)
    assert onsets.sum() == 200


def test_overlapping_notes_of_one_key_have_two_onsets():
    roll, onsets = rasterise([part((1, 6, 60), (3, 8, 60))], GRID, 10)
    assert cells(roll) == {(t, 60) for t in range(1, 8)} and cells(onsets) == {(1, 60), (3, 60)}


def test_a_chord_fills_all_its_keys():
    roll, _ = rasterise([part((1, 3, 60), (1, 3, 64))], GRID, 10)
    assert cells(roll) == {(t, p) for t in (1, 2) for p in (60, 64)}


def test_parts_are_united():
    a, b = part((1, 4, 60)), part((2, 6, 60), (0, 1, 72))
    roll, onsets = rasterise([a, b], GRID, 10)
    assert cells(roll) == {(t, 60) for t in range(1, 6)} | {(0, 72)}
    assert cells(onsets) == {(1, 60), (2, 60), (0, 72)}


def test_a_bend_across_a_semitone_moves_the_key_but_is_no_onset():
    bent = part((0, 8, 60), bend_time=np.array([3, 5]) * FRAME, bend=np.array([0.4, 1.6]))
    roll, onsets = rasterise([bent], GRID, 10)
    assert cells(roll) == {(t, 60) for t in range(5)} | {(t, 62) for t in range(5, 8)}
    assert cells(onsets) == {(0, 60)}


def test_a_bend_before_the_note_counts():
    bent = part((4, 6, 60), bend_time=np.array([1]) * FRAME, bend=np.array([-2.0]))
    assert cells(rasterise([bent], GRID, 10)[0]) == {(4, 58), (5, 58)}


def test_a_note_that_begins_within_its_first_frame_has_the_bend_of_its_onset():
    """Frame 4 is centred before the onset at 4.3 frames; the bend at 4.2 frames is already in force."""
    bent = part((4.3, 4.9, 60), bend_time=np.array([4.2]) * FRAME, bend=np.array([2.0]))
    assert cells(rasterise([bent], GRID, 10)[0]) == {(4, 62)}


def test_pitches_outside_the_piano_are_left_out():
    roll, onsets = rasterise([part(*((1, 3, pitch) for pitch in (20, 21, 108, 109)))], GRID, 10)
    assert cells(roll) == {(t, p) for t in (1, 2) for p in (21, 108)} and cells(onsets) == {(1, 21), (1, 108)}


def test_a_note_bent_out_of_the_piano_ends_there():
    bent = part((0, 4, 108), bend_time=np.array([2]) * FRAME, bend=np.array([1.0]))
    assert cells(rasterise([bent], GRID, 10)[0]) == {(0, 108), (1, 108)}


def test_a_note_that_outlasts_the_audio_is_cut():
    roll, _ = rasterise([part((8, 20, 60))], GRID, 10)
    assert cells(roll) == {(8, 60), (9, 60)}


def test_a_note_after_the_audio_is_left_out():
    roll, onsets = rasterise([part((10, 12, 60), (500, 501, 61))], GRID, 10)
    assert not roll.any() and not onsets.any()


def test_an_empty_score_is_an_empty_roll():
    assert not rasterise([], GRID, 5)[0].any() and not rasterise([part()], GRID, 5)[0].any()


def test_spans_have_at_least_a_frame():
    first, end = frame_spans(np.array([0.0, 1.0]), np.array([0.001, 1.032]), GRID)
    assert first.tolist() == [0, 31] and end.tolist() == [1, 32]


def test_runs_follow_bends_without_rounding():
    bent = part((1, 4, 60), bend_time=np.array([2]) * FRAME, bend=np.array([0.25]))
    runs = pitch_runs([bent], GRID, 10)
    assert runs.first.tolist() == [1, 2] and runs.count.tolist() == [1, 2] and runs.pitch.tolist() == [60.0, 60.25]
    assert runs.begins.tolist() == [True, False] and runs.ends.tolist() == [False, True]


def test_a_bend_that_changes_nothing_cuts_no_run():
    bent = part((1, 9, 60), bend_time=np.array([2, 4, 6]) * FRAME, bend=np.array([0.25, 0.25, 0.25]))
    assert pitch_runs([bent], GRID, 10).count.tolist() == [1, 7]


def test_equal_notes_in_a_row_are_runs_of_their_own():
    bent = part((1, 3, 60), (3, 5, 60), bend_time=np.array([0.0]), bend=np.array([0.5]))
    runs = pitch_runs([bent, part((5, 6, 60))], GRID, 10)
    assert runs.first.tolist() == [1, 3, 5] and runs.begins.all() and runs.ends.all()


def test_what_lies_before_the_audio_is_cut_and_has_no_onset():
    for fields in ({}, {"bend_time": np.array([0.0]), "bend": np.array([1.0])}):
        early = part((-3, -1, 60), (-2, 2, 64), **fields)
        roll, onsets = rasterise([early], GRID, 5)
        assert len(cells(roll)) == 2 and {t for t, _ in cells(roll)} == {0, 1} and not onsets.any()


def frame_by_frame(parts: list[Part], grid: Grid, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The definition, slowly: each note, frame by frame, with the bend that is in force at the frame's centre."""
    roll, onsets = np.zeros((2, frames, 88), dtype=bool)
    for part in parts:
        for k in range(len(part)):
            first = math.floor(part.onset[k] * grid.frame_rate + 0.5)
            end = max(math.floor(part.offset[k] * grid.frame_rate + 0.5), first + 1)
            for t in range(first, min(end, frames)):
                bend = 0.0
                for time, value in zip(part.bend_time, part.bend, strict=True):
                    if time <= max(t * grid.hop / grid.sample_rate, part.onset[k]):
                        bend = value
                key = round(part.pitch[k] + bend) - LOWEST_PITCH  # to even, as np.rint
                if 0 <= key < 88:
                    roll[t, key] = True
                    onsets[t, key] |= t == first
    return roll, onsets


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("grid", [GRID, Grid(8000, 512, 64)])
def test_agrees_with_the_plain_definition(seed, grid):
    rng = np.random.default_rng(seed)
    frames = 80
    seconds = frames / grid.frame_rate
    parts = []
    for bends in (0, 0, 40):
        onsets = rng.uniform(0, 1.1 * seconds, 25)
        notes = [(t, t + rng.exponential(seconds / 10) + 1e-4, int(rng.integers(15, 115)), 90) for t in onsets]
        # values that repeat, and halves, which round to even
        bend = rng.integers(-4, 5, bends) / 2
        parts.append(part_from_notes(notes, bend_time=np.sort(rng.uniform(0, seconds, bends)), bend=bend))
    for found, expected in zip(rasterise(parts, grid, frames), frame_by_frame(parts, grid, frames), strict=True):
        assert np.array_equal(found, expected)
