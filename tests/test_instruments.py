"""Instrument groups: the built-in ones, those of a TOML file, and which part belongs to which."""

from __future__ import annotations

import pytest

from scoresep.errors import InvalidValue, WrongFormat
from scoresep.instruments import (
    DEFAULT_INSTRUMENTS,
    INSTRUMENTS,
    OTHER,
    Instrument,
    checked,
    choose,
    group_of,
    read_instruments,
    suggestion,
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
    ("names", "remedy"),
    [
        (["piano", "guitra"], "'guitar'"),
        (["piano", "xyzzy"], "piano, "),
        (["piano", "othr"], "'other'"),
        (["piano", "piano"], "two"),
        (["piano"], "two"),
        (["other"], "two"),
        ([], "two"),
    ],
)
def test_bad_choices_are_refused(refused, names, remedy):
    with refused(InvalidValue) as fault:
        choose(names)
    assert remedy in fault.value.remedy


def test_only_one_group_takes_what_is_left_over(refused):
    rest = Instrument("rest", kind="other")
    with refused(InvalidValue):
        checked((rest, OTHER))
    with refused(InvalidValue):
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
mask = "everywhere"
"""


def test_a_toml_file_of_groups(read):
    assert read(BAND) == (
        Instrument("keys", (*range(8), *range(16, 21), 80), 4),
        Instrument("strings", tuple(range(40, 55)), 40, names=("*violin*", "Viola", "*cello*")),
        Instrument("kit", (128,), 0, "percussive"),
        Instrument("mallets", tuple(range(8, 16)), 8, "percussive"),
        Instrument("voice", (), 52, names=("*vocal*", "*voice*"), mask="everywhere"),
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


def test_other_as_a_table_is_a_group_with_a_score(tmp_path):
    path = tmp_path / "groups.toml"
    path.write_text(TWO + "programs = [1]\n[other]\nprograms = [2]\n")
    groups = read_instruments(path)
    assert [(group.name, group.scored) for group in groups] == [("a", True), ("b", True), ("other", True)]
    assert group_of(2, False, groups) == 2 and group_of(3, False, groups) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "''"),
        ("[a]\nprograms = [0]\n", "'a'"),
        ("other = true\n", "'other'"),
        ("other = 1\n" + TWO + "programs = [1]\n", "'other'"),
        ("piano = [0]\n", "'piano'"),
        ('["a/b"]\nprograms = [1]\n', "[a/b]"),
        ('["_"]\nprograms = [1]\n', "[_]"),
        (TWO + "progams = [1]\n", "[b] has an unknown setting 'progams'; did you mean 'programs'"),
        (TWO, "[b]"),
        (TWO + "programs = 1\n", "[b] programs"),
        (TWO + 'names = "*x*"\n', "[b] names"),
        (TWO + "names = [1]\n", "[b] names"),
        (TWO + "programs = [0]\n", "both a and b"),
        (TWO + "programs = [129]\n", "[b] program 129"),
        (TWO + "programs = [-1]\n", "[b] program -1"),
        (TWO + 'programs = ["7-3"]\n', "[b] program '7-3'"),
        (TWO + 'programs = ["7-"]\n', "[b] program '7-'"),
        (TWO + 'programs = ["1-2-3"]\n', "[b] program '1-2-3'"),
        (TWO + 'programs = ["piano"]\n', "[b] program 'piano'"),
        (TWO + "programs = [1.0]\n", "[b] program 1.0"),
        (TWO + "programs = [true]\n", "[b] program True"),
        (TWO + 'programs = [1]\nkind = "drums"\n', "[b] kind is 'drums'"),
        (TWO + 'programs = [1]\nkind = "other"\n', "[b] kind is 'other'"),
        (TWO + 'programs = [128]\nkind = "harmonic"\n', "128"),
        (TWO + "programs = [1]\nmidi_program = 128\n", "[b] midi_program is 128"),
        (TWO + "programs = [1]\nmidi_program = true\n", "[b] midi_program is True"),
        (TWO + 'programs = [1]\nmidi_program = "1"\n', "[b] midi_program is '1'"),
        (TWO + "programs = [1]\nmask = 1\n", "[b] mask is 1"),
    ],
)
def test_impossible_groups_are_named_with_the_file(read, tmp_path, refused, text, named):
    with refused(InvalidValue, tmp_path / "groups.toml") as fault:
        read(text)
    assert named in str(fault.value)


@pytest.mark.parametrize("text", ["[a", "[a]\nprograms = [1]\n[a]\nprograms = [2]\n", f"a = {'9' * 5000}\n"])
def test_what_is_no_toml_is_named(read, tmp_path, refused, text):
    with refused(WrongFormat, tmp_path / "groups.toml"):
        read(text)


def test_a_missing_or_foreign_file_is_named(tmp_path, refused):
    with refused(WrongFormat, tmp_path / "none.toml"):
        read_instruments(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xff\n")
    with refused(WrongFormat, tmp_path / "latin.toml"):
        read_instruments(tmp_path / "latin.toml")


def test_a_misspelt_name_gets_the_nearest_or_all():
    assert suggestion("smal", ["small", "large"]) == "did you mean 'small'?"
    assert suggestion("q", ["small", "large"]) == "known: small, large"


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
