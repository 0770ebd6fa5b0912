"""Instrument groups: the built-in ones, those of a TOML file, and which part belongs to which."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoresep.errors import ScoresepError
from scoresep.instruments import (
    DEFAULT_INSTRUMENTS,
    INSTRUMENTS,
    OTHER,
    Instrument,
    checked,
    choose,
    group_of,
    nearest,
    read_instruments,
)


def group(program: int, instruments: tuple[Instrument, ...], name: str = "", is_drum: bool = False) -> str | None:
    """The name of the instrument that a part belongs to."""
    found = group_of(program, is_drum, instruments, name)
    return None if found is None else instruments[found].name


@pytest.fixture
def read(tmp_path):
    """A function that reads instruments from a TOML file of the given text."""

    def reader(text: str) -> tuple[Instrument, ...]:
        path = tmp_path / "groups.toml"
        path.write_text(text, encoding="utf-8")
        return read_instruments(path)

    return reader


def test_groups_do_not_overlap():
    programs = [program for instrument in INSTRUMENTS.values() for program in instrument.programs]
    assert len(programs) == len(set(programs))
    assert checked(tuple(INSTRUMENTS.values()))


@pytest.mark.parametrize(
    ("program", "name"),
    [(0, "piano"), (7, "piano"), (8, None), (23, None), (24, "guitar"), (31, "guitar"), (32, "bass"), (39, "bass")],
)
def test_programs_of_the_default_groups(program, name):
    assert group(program, choose(DEFAULT_INSTRUMENTS)) == name


def test_drums_are_no_piano_whatever_their_program():
    assert group(0, choose(DEFAULT_INSTRUMENTS), is_drum=True) is None
    assert group(128, choose(DEFAULT_INSTRUMENTS)) is None
    assert group(0, tuple(INSTRUMENTS.values()), is_drum=True) == "drums"
    assert group(128, tuple(INSTRUMENTS.values())) == "drums"


def test_kinds():
    assert (INSTRUMENTS["piano"].pitched, INSTRUMENTS["piano"].scored) == (True, True)
    assert (INSTRUMENTS["drums"].pitched, INSTRUMENTS["drums"].scored) == (False, True)
    assert (OTHER.pitched, OTHER.scored) == (False, False)


def test_chosen_instruments_keep_their_order():
    chosen = choose(["bass", "drums", "other", "piano"])
    assert [instrument.name for instrument in chosen] == ["bass", "drums", "other", "piano"]
    assert [instrument.kind for instrument in chosen] == ["harmonic", "percussive", "other", "harmonic"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["piano", "guitra"], "unknown instrument 'guitra'; did you mean 'guitar'"),
        (["piano", "xyzzy"], "unknown instrument 'xyzzy'; known: piano"),
        (["piano", "othr"], "unknown instrument 'othr'; did you mean 'other'"),
        (["piano", "piano"], "two or more different ones"),
        (["piano"], "two or more different ones"),
        (["other"], "two or more different ones"),
        ([], "two or more different ones"),
    ],
)
def test_bad_choices_are_refused(names, message):
    with pytest.raises(ScoresepError, match=message):
        choose(names)


def test_only_one_group_takes_what_is_left_over():
    rest = Instrument("rest", kind="other")
    with pytest.raises(ScoresepError, match="none of the instruments rest, other has a score"):
        checked((rest, OTHER))
    with pytest.raises(ScoresepError, match="only one instrument can take what is left over"):
        checked((rest, OTHER, INSTRUMENTS["piano"]))


def test_other_takes_what_no_group_claims():
    chosen = choose(["other", "piano", "drums"])
    assert [group(program, chosen) for program in (0, 25, 127, 128)] == ["piano", "other", "other", "drums"]
    assert group(30, choose(["piano", "other"]), is_drum=True) == "other"


def test_instruments_survive_a_round_trip_through_plain_values(read):
    for instrument in (*INSTRUMENTS.values(), OTHER, *read(BAND)):
        assert Instrument.from_dict(instrument.to_dict()) == instrument


BAND = """
other = true

[keys]
programs = ["0-7", "16-20", 80]
midi_program = 4

[strings]
programs = ["40-54"]
names = ["*violin*", "Viola", "*cello*"]

[kit]
programs = [128]

[mallets]
programs = ["8-15"]
kind = "percussive"

[voice]
names = ["*vocal*", "*voice*"]
midi_program = 52
"""


def test_a_toml_file_of_groups(read):
    assert read(BAND) == (
        Instrument("keys", (*range(8), *range(16, 21), 80), 4),
        Instrument("strings", tuple(range(40, 55)), 40, names=("*violin*", "Viola", "*cello*")),
        Instrument("kit", (128,), 0, "percussive"),
        Instrument("mallets", tuple(range(8, 16)), 8, "percussive"),
        Instrument("voice", (), 52, names=("*vocal*", "*voice*")),
        OTHER,
    )


def test_drums_with_further_programs_are_percussive(read):
    kit = read('[kit]\nprograms = ["112-119", 128]\n[keys]\nprograms = [0]\n')[0]
    assert (kit.kind, kit.midi_program) == ("percussive", 112)


@pytest.mark.parametrize(
    ("program", "name", "is_drum", "expected"),
    [
        (0, "", False, "keys"),
        (0, "Grand", False, "keys"),
        (0, "Solo Violin 1", False, "strings"),  # the name counts more than the program
        (0, " VIOLA ", False, "strings"),
        (0, "Viola 2", False, "keys"),  # no star, no more
        (0, "lead vocals", False, "voice"),
        (42, "lead vocals", False, "voice"),
        (60, "horn", False, "other"),
        (0, "anything", True, "kit"),
        (128, "anything", False, "kit"),
        (0, "cello drum", True, "kit"),  # a drum track is never a pitched instrument
        (9, "", False, "mallets"),
    ],
)
def test_parts_are_grouped_by_name_then_by_program(read, program, name, is_drum, expected):
    assert group(program, read(BAND), name, is_drum) == expected


def test_a_drum_track_on_another_channel_is_known_by_its_name(read):
    groups = read('[keys]\nprograms = ["0-7"]\n[kit]\nprograms = [128]\nnames = ["*drum*"]\n')
    assert group(0, groups, "Drums") == "kit"
    assert group(0, groups, "Drums", is_drum=True) == "kit"


def test_without_a_group_for_the_rest_a_part_may_belong_nowhere(read):
    assert group(60, read("[a]\nprograms = [0]\n[b]\nprograms = [1]\n")) is None


TWO = "[a]\nprograms = [0]\n[b]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "is not a readable TOML file of instruments"),
        ("[a]\nprograms = [1]\n[a]\nprograms = [2]\n", "is not a readable TOML file"),
        (f"a = {'9' * 5000}\n", "is not a readable TOML file"),
        ("", "two or more different ones"),
        ("[a]\nprograms = [0]\n", "two or more different ones"),
        ("other = true\n", "two or more different ones"),
        ("other = 1\n" + TWO + "programs = [1]\n", "'other' is true or false, not a table"),
        (TWO + "programs = [1]\n[other]\nprograms = [2]\n", "'other' is true or false, not a table"),
        ("piano = [0]\n", r"'piano' is not a table; write \[piano\]"),
        ('["a/b"]\nprograms = [1]\n', r"\[a/b\]: a name of letters, digits, '_' and '-' is needed"),
        ('["_"]\nprograms = [1]\n', r"\[_\]: a name of letters"),
        (TWO + "progams = [1]\n", r"\[b\] has an unknown setting 'progams'; did you mean 'programs'"),
        (TWO, r"\[b\] has neither programs nor names"),
        (TWO + "programs = 1\n", r"\[b\] programs must be a list"),
        (TWO + 'names = "*x*"\n', r"\[b\] names must be a list"),
        (TWO + "names = [1]\n", r"\[b\] names must be texts"),
        (TWO + "programs = [0]\n", "program 0 belongs to both a and b"),
        (TWO + "programs = [129]\n", r"\[b\] programs: 129 is not within 0 to 127"),
        (TWO + "programs = [-1]\n", r"\[b\] programs: -1 is neither a number nor a span"),
        (TWO + 'programs = ["7-3"]\n', r"\[b\] programs: '7-3' is not within"),
        (TWO + 'programs = ["7-"]\n', r"\[b\] programs: '7-' is neither a number nor a span"),
        (TWO + 'programs = ["1-2-3"]\n', r"\[b\] programs: '1-2-3' is neither"),
        (TWO + 'programs = ["piano"]\n', r"\[b\] programs: 'piano' is neither"),
        (TWO + "programs = [1.0]\n", r"\[b\] programs: 1.0 is neither"),
        (TWO + "programs = [true]\n", r"\[b\] programs: True is neither"),
        (TWO + 'programs = [1]\nkind = "drums"\n', r"\[b\] kind is 'drums'; it must be harmonic or percussive"),
        (TWO + 'programs = [1]\nkind = "other"\n', r"\[b\] kind is 'other'"),
        (TWO + 'programs = [128]\nkind = "harmonic"\n', r"\[b\] programs: 128 is drums"),
        (TWO + "programs = [1]\nmidi_program = 128\n", r"\[b\] midi_program is 128; it must be 0 to 127"),
        (TWO + "programs = [1]\nmidi_program = true\n", r"\[b\] midi_program is True"),
        (TWO + 'programs = [1]\nmidi_program = "1"\n', r"\[b\] midi_program is 1"),
    ],
)
def test_impossible_groups_are_one_line_with_the_file(read, text, message):
    with pytest.raises(ScoresepError, match=message) as fault:
        read(text)
    assert "groups.toml" in str(fault.value) and "\n" not in str(fault.value)


def test_a_missing_or_foreign_file_is_named(tmp_path):
    with pytest.raises(ScoresepError, match=r"none\.toml is not a readable TOML file"):
        read_instruments(tmp_path / "none.toml")
    Path(tmp_path / "latin.toml").write_bytes(b"# \xff\n")
    with pytest.raises(ScoresepError, match=r"latin\.toml is not a readable TOML file"):
        read_instruments(tmp_path / "latin.toml")


def test_nearest_suggests_or_lists():
    assert nearest("smal", ["small", "large"]) == "; did you mean 'small'?"
    assert nearest("q", ["small", "large"]) == "; known: small, large"


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*flöte*", "FLÖTE 1"),
        ("*flöte*", "Flo\u0308te"),
        ("*flo\u0308te*", "Flöte"),
        ("große trommel", "GROSSE TROMMEL"),
        ("*ピアノ*", "ﾋﾟｱﾉ 1"),
        ("*ギター*", "キ\u3099ター"),
        ("*бас*", "БАС"),
    ],
)
def test_patterns_fit_whatever_the_form_of_letters(pattern, name):
    groups = (Instrument("a", (0,)), Instrument("b", names=(pattern,)))
    assert group_of(0, False, groups, name) == 1 and group_of(0, False, groups, "Oboe") == 0
