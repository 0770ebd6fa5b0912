"""What pictures share: rows of a spectrogram, tints, notes from a roll, files."""

from __future__ import annotations

import numpy as np
import pytest

from scoresep.errors import InvalidValue
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.plots.style import (
    COLOURS,
    LOG_ROWS,
    LOWEST_HZ,
    colours_of,
    log_rows,
    new_figure,
    notes_of_roll,
    pitch_range,
    save_figure,
    tinted,
)

GRID = Grid()


def test_every_partial_keeps_its_level_and_lies_on_its_row():
    edges = np.geomspace(LOWEST_HZ, GRID.sample_rate / 2, LOG_ROWS + 1)
    for bin_ in (8, 57, 400, 1000):
        magnitude, mask = np.zeros((2, GRID.bins), dtype=np.float32), np.zeros((2, GRID.bins), dtype=bool)
        magnitude[1, bin_] = 0.5
        mask[1, bin_] = True
        level, inside, covered = log_rows(magnitude, mask, GRID)
        rows = np.flatnonzero(level[1])
        assert len(rows) and not level[0].any() and level.max() == 0.5
        middles = np.sqrt(edges[rows] * edges[rows + 1])
        reach = GRID.bin_width / 2 + (edges[rows[-1] + 1] - edges[rows[-1]])
        assert np.abs(middles - bin_ * GRID.bin_width).max() <= reach
        assert inside[1, rows].all() and (covered[1, rows] > 0).all() and not covered[0].any()


def test_a_row_is_inside_if_its_loudest_bin_is():
    magnitude, mask = np.ones((2, GRID.bins), dtype=np.float32), np.zeros((2, GRID.bins), dtype=bool)
    magnitude[:, 1000] = 2.0
    mask[0, 1000] = True
    mask[1, 999] = True
    level, inside, covered = log_rows(magnitude, mask, GRID)
    row = np.flatnonzero(level[0] == 2.0)
    assert len(row) == 1 and inside[0, row].all() and not inside[1, row].any()
    assert covered[0, row] == covered[1, row] and 0 < covered[0, row[0]] < 0.2


def test_tints_tell_sound_inside_from_sound_outside_from_a_mask_without_sound():
    level = np.array([[1.0, 1.0, 0.0, 0.0]])
    inside = np.array([[True, False, True, False]])
    for colour in COLOURS:
        loud, outside, pale, nothing = tinted(level, inside, inside.astype(float), colour)[0]
        assert np.allclose(nothing, 1.0)
        assert np.ptp(outside) == 0.0 and outside[0] < 0.5
        assert np.ptp(loud) > 0.25 and loud.min() < 0.4
        assert 0.05 < np.ptp(pale) < 0.4 and pale.min() > 0.6


def test_without_a_mask_the_loudest_is_black():
    nothing = np.zeros((1, 1))
    assert not tinted(np.ones((1, 1)), nothing.astype(bool), nothing, "red").any()


def test_notes_of_a_roll_fill_the_roll_again():
    rng = np.random.default_rng(5)
    roll = rng.random((60, PITCHES)) < 0.4
    onset = roll & (rng.random(roll.shape) < 0.5)
    start = 3.0
    notes = notes_of_roll(roll, onset, start, GRID)
    again, struck = np.zeros_like(roll), np.zeros_like(roll)
    for begin, end, pitch in notes:
        first, stop = (round((seconds - start) * GRID.frame_rate) for seconds in (begin, end))
        assert not again[first:stop, int(pitch) - LOWEST_PITCH].any() and stop > first
        again[first:stop, int(pitch) - LOWEST_PITCH] = True
        struck[first, int(pitch) - LOWEST_PITCH] = True
    assert np.array_equal(again, roll)
    begins = roll & ~np.pad(roll, ((1, 0), (0, 0)))[:-1]
    assert np.array_equal(struck, onset | begins)


def test_pitch_range_shows_what_is_heard_in_the_span_and_two_octaves_at_least():
    table = np.array([[0.0, 1.0, 60.0], [1.5, 2.5, 90.0], [3.0, 4.0, 30.0]])
    assert pitch_range([table], (0.5, 2.0)) == (60, 90)
    assert pitch_range([table], (0.0, 1.2)) == (48, 72)
    assert pitch_range([table], (5.0, 6.0)) == (LOWEST_PITCH, LOWEST_PITCH + PITCHES - 1)


def test_colours_repeat_only_when_they_must():
    colours = colours_of([str(n) for n in range(9)])
    assert len(set(colours.values())) == 8 and colours["8"] == colours["0"]


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml")])
def test_the_suffix_decides_the_format(tmp_path, name, magic):
    save_figure(new_figure(1, 1), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_a_picture_that_cannot_be_written_is_refused(tmp_path, refused):
    with refused(InvalidValue, tmp_path / "a.xyz"):
        save_figure(new_figure(1, 1), tmp_path / "a.xyz")
    assert not list(tmp_path.iterdir())
