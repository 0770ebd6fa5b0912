"""Who plays when, from CSV files: what is read, what is refused, what is then known in each frame."""

from __future__ import annotations

import numpy as np
import pytest

from scoresep.errors import NotFound, WrongFormat
from scoresep.grid import LOWEST_PITCH, Grid
from scoresep.score.weak_labels import (
    ABSENT,
    FIRST_SET,
    MARGIN,
    PRESENT,
    UNKNOWN,
    Stretch,
    known_in,
    read_weak_labels,
)

GRID = Grid(16000, 2048, 512)
FRAMES = 200


def test_a_line_is_a_stretch_of_an_instrument(tmp_path):
    path = tmp_path / "song.csv"
    path.write_text("Start,end,instrument,notes\n0.5,2,Piano,\n\n2,4,piano,60 64\n,,bass,-\n3,,guitar,?\n", "utf-8")
    piano, notes, bass, guitar = read_weak_labels(path)
    assert piano == Stretch("Piano", 0.5, 2.0, PRESENT)
    assert notes == Stretch("piano", 2.0, 4.0, FIRST_SET, (60, 64))
    assert (bass.known, bass.begin) == (ABSENT, 0.0) and bass.end > 3600
    assert (guitar.known, guitar.begin) == (UNKNOWN, 3.0) and guitar.end == bass.end


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("start,end\n0,1\n", "instrument"),
        ("", "instrument"),
        ("start,end,instrument\n0,1,piano\n2,1,piano\n", "line 3"),
        ("start,end,instrument\n0,nan,piano\n", "line 2"),
        ("start,end,instrument\n0,1,\n", "line 2"),
        ("start,end,instrument,notes\n0,1,piano,C4\n", "line 2"),
        ("start,end,instrument,notes\n0,1,piano,20\n", "line 2"),
        ("start,end,instrument,notes\n0,3,piano,60,64,67\n", "line 2: more cells"),
        ("instrument,start,end\npiano,0,5,3,5\n", "line 2: more cells"),
        ("begin,finish,instrument,note\n0,3,piano,60\n", "line 2: there is no column 'begin'"),
        ('start,end,instrument,notes\n0,3,"piano,\n1,2,bass,\n', "quotation mark"),
        ("start,end,instrument,notes,notes\n0,3,piano,60,61\n", "the column notes twice"),
        ("start;end;instrument\n0;1;piano\n", "separated by commas"),
        ("start,end,instrument\n0:00,1,piano\n", "line 2: start is '0:00'"),
    ],
)
def test_what_is_no_label_is_refused_with_its_line(tmp_path, text, told, refused):
    path = tmp_path / "song.csv"
    path.write_text(text, "utf-8")
    with refused(WrongFormat, path) as fault:
        read_weak_labels(path)
    assert told in fault.value.problem


def test_a_file_that_is_gone_is_refused(tmp_path, refused):
    with refused(NotFound, tmp_path / "none.csv"):
        read_weak_labels(tmp_path / "none.csv")


def test_what_is_not_listed_does_not_sound_and_edges_are_open():
    known, roll = known_in([Stretch("", 2.0, 4.0, PRESENT)], GRID, FRAMES)
    seconds = GRID.seconds(np.arange(FRAMES))
    inside, near = (seconds > 2.02) & (seconds < 3.98), np.abs(seconds - 3.0) < 1.0 + MARGIN - 0.04
    far = np.abs(seconds - 3.0) > 1.0 + MARGIN + 0.04
    assert (known[inside] == PRESENT).all() and (known[near & (np.abs(seconds - 3) > 1.04)] == UNKNOWN).all()
    assert (known[far] == ABSENT).all()
    assert roll[near].all() and not roll[far].any()
    silent, nothing = known_in([], GRID, FRAMES)
    assert (silent == ABSENT).all() and not nothing.any()


def test_a_set_of_notes_allows_these_keys_alone_and_the_last_line_counts():
    bars = [Stretch("", 0.0, 6.4, PRESENT), Stretch("", 1.0, 2.0, FIRST_SET, (60, 64)), Stretch("", 2.0, 3.0, 9, (62,))]
    known, roll = known_in([*bars, Stretch("", 4.0, 5.0, ABSENT)], GRID, FRAMES)
    first, second = GRID.frame_at(1.5), GRID.frame_at(2.5)
    assert known[first] != known[second] and min(known[first], known[second]) >= FIRST_SET
    assert [*np.flatnonzero(roll[first]) + LOWEST_PITCH] == [60, 64] and [*np.flatnonzero(roll[second])] == [62 - 21]
    assert known[GRID.frame_at(4.5)] == ABSENT and not roll[GRID.frame_at(4.5)].any()
    assert known[GRID.frame_at(0.5)] == PRESENT and roll[GRID.frame_at(0.5)].all()
