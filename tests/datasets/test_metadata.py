"""Metadata that is wrong in every way: it is read rightly or refused with a reason, never guessed at."""

from __future__ import annotations

import random
import textwrap
from itertools import pairwise

import pytest

from scoresep.datasets.slakh import LARGEST_METADATA, SAFE_FOR_LIBYAML, program_of, read_metadata

GOOD = textwrap.dedent("""\
    UUID: 1a81ae092884234f
    audio_dir: stems
    stems:
      S00:
        is_drum: false
        plugin_name: elektrik_guitar.nkm
        program_num: 30
      S01: {is_drum: true, program_num: 128}
    """)


@pytest.fixture
def read(tmp_path):
    """A function that reads metadata of the given text or bytes."""

    def reader(content: str | bytes):
        path = tmp_path / "metadata.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_metadata(path)

    return reader


def test_good_metadata(read):
    uuid, stems, foreign = read(GOOD)
    assert uuid == "1a81ae092884234f" and not foreign
    assert stems["S00"] == {"is_drum": False, "plugin_name": "elektrik_guitar.nkm", "program_num": 30}
    assert program_of("S01", stems["S01"]) == (128, True)


@pytest.mark.parametrize("folder", ["/data/Track00001/stems", "C:\\slakh\\stems", "\\\\server\\stems"])
def test_folders_of_another_machine_are_noticed(read, folder):
    assert read(f"audio_dir: '{folder}'\nstems: {{}}\n").foreign


def test_both_parsers_read_the_same(read):
    assert read(GOOD) == read(GOOD + "#" * SAFE_FOR_LIBYAML + "\n")


@pytest.mark.parametrize(
    ("line", "uuid"), [("", ""), ("UUID: null", ""), ("UUID:", ""), ("UUID: 17", "17"), ("UUID: a b", "a b")]
)
def test_a_track_may_have_no_uuid(read, line, uuid):
    assert read(f"{line}\nstems: {{}}\n") == (uuid, {}, False)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("hello", "holds 'hello' instead of a table"),
        ("", "holds nothing instead of a table"),
        ("[1, 2]", "holds a list instead of a table"),
        ("a: [1, 2", "not YAML: .*, line 2"),
        ("a: 1\nb: 2\nc: [}\n", "not YAML: .*, line 3"),
        ("\t\0", "not YAML: "),
        (b"UUID: \xff\xfe", "not YAML: 'utf-8' codec can't decode"),
        ("UUID: !!python/object:os.system x", "not YAML: could not determine a constructor"),
        ("UUID: !a%00b x", "not YAML: could not determine a constructor"),
        ("UUID: 2001-13-45", "not YAML: month must be in 1..12"),
        ("UUID: x", "has no stems"),
        ("UUID: x\nstems:", "stems is nothing instead of a table"),
        ("UUID: x\nstems: [1]", "stems is a list instead of a table"),
        ("UUID: x\nstems: piano", "stems is 'piano' instead of a table"),
        ("UUID: [x]\nstems: {}", "UUID is a list instead of a short text"),
        ('UUID: "a\\0b"\nstems: {}', "UUID is 'a.x00b' instead of a short text"),
        (f"UUID: {'x' * 300}\nstems: {{}}", "UUID is 'xxx.* instead of a short text"),
        ("#" * SAFE_FOR_LIBYAML + '\nUUID: "\\ud800"\nstems: {}', "UUID is '.ud800' instead of a short text"),
        ("[" * 8000, "not YAML: "),
        ("[" * 500_000, "not YAML: maximum recursion depth"),
        ("# " + "x" * LARGEST_METADATA, "larger than 1 MiB"),
    ],
)
def test_unreadable_metadata_is_refused_with_a_short_reason(read, content, reason):
    with pytest.raises(ValueError, match=reason) as fault:
        read(content)
    assert str(fault.value).isprintable() and len(str(fault.value)) < 300


def test_metadata_that_grows_without_end_is_neither_unfolded_nor_printed(read):
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrstu"))
    with pytest.raises(ValueError, match="UUID is a list"):
        read(bomb + "UUID: *u\nstems: {}\n")
    stems = read(bomb + "stems: {S00: {is_drum: false, program_num: *u}}\n").stems
    with pytest.raises(ValueError, match="program_num a list instead"):
        program_of("S00", stems["S00"])


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ("piano", "stem S00 is 'piano' instead of a table"),
        (None, "stem S00 is nothing instead of a table"),
        ({"is_drum": False}, "stem S00 has no program_num"),
        ({"is_drum": False, "program_num": None}, "stem S00 has no program_num"),
        ({"program_num": 3}, "stem S00 has no is_drum"),
        ({"is_drum": "false", "program_num": 3}, "stem S00 has is_drum 'false' instead of true or false"),
        ({"is_drum": 0, "program_num": 3}, "stem S00 has is_drum 0"),
        ({"is_drum": False, "program_num": "many"}, "stem S00 has program_num 'many' instead of 0 to 127"),
        ({"is_drum": False, "program_num": "9" * 5000}, "stem S00 has program_num '999"),
        ({"is_drum": False, "program_num": 129}, "stem S00 has program_num 129"),
        ({"is_drum": False, "program_num": -1}, "stem S00 has program_num -1"),
        ({"is_drum": False, "program_num": 3.0}, "stem S00 has program_num 3.0"),
        ({"is_drum": False, "program_num": True}, "stem S00 has program_num True"),
        ({"is_drum": False, "program_num": {}}, "stem S00 has program_num a table"),
    ],
)
def test_stems_whose_instrument_is_not_told_are_refused(about, reason):
    with pytest.raises(ValueError) as fault:
        program_of("S00", about)
    assert str(fault.value).startswith(reason) and len(str(fault.value)) < 150


@pytest.mark.parametrize(("program", "number"), [(0, 0), (127, 127), (128, 128), ("33", 33)])
def test_programs_that_are_understood(program, number):
    assert program_of("S00", {"is_drum": False, "program_num": program}) == (number, False)


@pytest.mark.parametrize("size", [0, SAFE_FOR_LIBYAML])
def test_damaged_metadata_is_read_or_refused(read, size):
    """Bytes changed, removed, doubled and moved at random: only ValueError may come of it."""
    rng = random.Random(3)
    good = GOOD.encode() + b"#" * size
    refused = 0
    for _ in range(200):
        content = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            place, other = sorted(rng.randrange(len(GOOD)) for _ in range(2))
            content[place:other] = rng.choice(
                [
                    b"",
                    content[place:other] * 2,
                    bytes(rng.randrange(256) for _ in range(3)),
                    rng.choice(b"[]{}:-&*!'\"\t\n").to_bytes(),
                ]
            )
        try:
            uuid, stems, _ = read(bytes(content))
            for name, about in stems.items():
                program_of(name, about)
            assert uuid.isprintable()
        except ValueError as fault:
            assert str(fault).isprintable()
            refused += 1
    assert 20 < refused < 200
