"""Instrument groups."""

from __future__ import annotations

import pytest

from scoresep.errors import ScoresepError
from scoresep.instruments import DEFAULT_INSTRUMENTS, INSTRUMENTS, choose, group_of, nearest


def test_groups_do_not_overlap():
    programs = [program for instrument in INSTRUMENTS.values() for program in instrument.programs]
    assert len(programs) == len(set(programs))


@pytest.mark.parametrize(
    ("program", "group"),
    [(0, "piano"), (7, "piano"), (8, None), (23, None), (24, "guitar"), (31, "guitar"), (32, "bass"), (39, "bass")],
)
def test_programs_of_the_default_groups(program, group):
    found = group_of(program, False, choose(DEFAULT_INSTRUMENTS))
    assert (None if found is None else DEFAULT_INSTRUMENTS[found]) == group


def test_drums_are_no_piano_whatever_their_program():
    assert group_of(0, True, choose(DEFAULT_INSTRUMENTS)) is None
    assert group_of(128, False, choose(DEFAULT_INSTRUMENTS)) is None
    assert group_of(0, True, tuple(INSTRUMENTS.values())) == list(INSTRUMENTS).index("drums")


def test_chosen_instruments_keep_their_order():
    assert [instrument.name for instrument in choose(["bass", "piano"])] == ["bass", "piano"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["piano", "guitra"], "unknown instrument 'guitra'; did you mean 'guitar'"),
        (["piano", "xyzzy"], "unknown instrument 'xyzzy'; known: piano"),
        (["piano", "drums"], "'drums' has no pitch"),
        (["piano", "piano"], "two or more different ones"),
        (["piano"], "two or more different ones"),
        ([], "two or more different ones"),
    ],
)
def test_bad_choices_are_refused(names, message):
    with pytest.raises(ScoresepError, match=message):
        choose(names)


def test_nearest_suggests_or_lists():
    assert nearest("smal", ["small", "large"]) == "; did you mean 'small'?"
    assert nearest("q", ["small", "large"]) == "; known: small, large"
