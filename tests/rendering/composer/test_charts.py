"""Chord charts, against charts written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scoresep.errors import Damaged, NotFound
from scoresep.rendering.composer.harmony import Chord
from scoresep.rendering.composer.material import Chart, read_chart, read_charts, read_chord

HEAD = "# title: A Song\n# artist: Somebody\n# metre: {metre}\n# tonic: {tonic}\n\n0.0\tsilence\n"


@pytest.fixture
def chart(tmp_path: Path) -> Callable[..., Chart]:
    def read(*lines: str, metre: str = "4/4", tonic: str = "D") -> Chart:
        path = tmp_path / "0001.txt"
        path.write_text(HEAD.format(metre=metre, tonic=tonic) + "".join(f"1.0\t{line}\n" for line in lines))
        return read_chart(path)

    return read


@pytest.mark.parametrize(
    ("label", "chord"),
    [
        ("C:maj", Chord(0, (0, 4, 7), 0)),
        ("D:maj/5", Chord(2, (0, 4, 7), 9)),
        ("F#:min7/b7", Chord(6, (0, 3, 7, 10), 4)),
        ("Bb:sus4(b7)", Chord(10, (0, 5, 7, 10), 10)),
        ("A:hdim7", Chord(9, (0, 3, 6, 10), 9)),
        ("N", None),
        ("&pause", None),
        ("H:maj", None),
    ],
)
def test_chords(label: str, chord: Chord | None) -> None:
    assert read_chord(label) == chord


def test_sections_and_bars(chart: Callable[..., Chart]) -> None:
    made = chart(
        "A, intro, | D:maj | G:maj . A:7 . |, (guitar",
        "| D:maj |",
        "B, verse, | B:min | x3, (voice",
        "silence",
        "Z, fadeout, | A:maj |",
    )
    assert [(section.name, len(section.bars)) for section in made.sections] == [
        ("intro", 3),
        ("verse", 3),
        ("fadeout", 1),
    ]
    g, a = Chord(7, (0, 4, 7), 7), Chord(9, (0, 4, 7, 10), 9)
    assert made.sections[0].bars[1] == (g, g, a, a)
    assert (made.title, made.artist, made.steps, made.beat) == ("A Song", "Somebody", 16, 4)


def test_bars_of_another_metre_and_silence_are_left_out(chart: Callable[..., Chart]) -> None:
    made = chart("A, verse, | D:maj | (2/4) A:maj | N | G:maj |")
    assert [bar[0].root for bar in made.sections[0].bars] == [2, 7]


def test_a_song_that_moves_begins_in_its_first_key_and_metre(chart: Callable[..., Chart]) -> None:
    made = chart("A, verse, | D:maj |\n# metre: 3/4\n# tonic: Eb")
    assert (made.steps, made.key.tonic) == (16, 2)


@pytest.mark.parametrize(("metre", "steps", "beat"), [("4/4", 16, 4), ("3/4", 12, 4), ("6/8", 12, 6), ("12/8", 24, 6)])
def test_metres(chart: Callable[..., Chart], metre: str, steps: int, beat: int) -> None:
    made = chart("A, verse, | D:maj |", metre=metre)
    assert (made.steps, made.beat) == (steps, beat)


def test_the_mode_is_that_of_the_tonic_chords(chart: Callable[..., Chart]) -> None:
    assert chart("A, verse, | D:min | G:maj | D:min7 |").key.mode == "minor"
    assert chart("A, verse, | D:maj | G:min | B:min |").key.mode == "major"
    assert chart("A, verse, | D:maj |", tonic="Eb").key.tonic == 3


def test_a_song_counts_once(tmp_path: Path) -> None:
    for name in ("0001.txt", "0002.txt"):
        (tmp_path / name).write_text(HEAD.format(metre="4/4", tonic="C") + "1.0\tA, verse, | C:maj |\n")
    assert len(read_charts(tmp_path)) == 1


def test_refusals(tmp_path: Path, refused: Callable) -> None:
    with refused(NotFound, tmp_path):
        read_charts(tmp_path)
    path = tmp_path / "0001.txt"
    path.write_bytes("# title: café\n".encode("latin-1"))
    with refused(Damaged, path) as fault:
        read_chart(path)
    assert "UTF-8" in fault.value.problem
    for text in (
        "",
        HEAD.format(metre="four", tonic="C"),
        HEAD.format(metre="4/4", tonic="H"),
        HEAD.format(metre="0/4", tonic="C"),
        HEAD.format(metre="100000/8", tonic="C"),
        "# metre: 4/0\n# tonic: C\n",
    ):
        path.write_text(text)
        with refused(Damaged, path):
            read_chart(path)
