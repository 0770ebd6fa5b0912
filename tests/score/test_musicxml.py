"""MusicXML to parts: ties, transposing instruments, percussion, tempi and repeats."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from scoresep.errors import Damaged
from scoresep.score.reading import read_score

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 3.1 Partwise//EN"
 "http://www.musicxml.org/dtds/partwise.dtd">
<score-partwise version="3.1"><part-list>
<score-part id="P1"><part-name>Guitar</part-name><midi-instrument id="I1"><midi-program>26</midi-program>
</midi-instrument></score-part>
<score-part id="P2"><part-name>Drums</part-name><score-instrument id="I2"><instrument-name>x</instrument-name>
</score-instrument><midi-instrument id="I2"><midi-unpitched>39</midi-unpitched></midi-instrument></score-part>
</part-list>"""


def attributes(more: str = "") -> str:
    time = "<time><beats>4</beats><beat-type>4</beat-type></time>"
    return f"<attributes><divisions>2</divisions>{time}{more}</attributes>"


def note(step: str, octave: int, duration: int, more: str = "", chord: bool = False) -> str:
    pitch = f"<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
    return f"<note>{'<chord/>' * chord}{pitch}<duration>{duration}</duration>{more}</note>"


def drum(place: str, duration: int, instrument: str = "") -> str:
    where = f"<display-step>{place[0]}</display-step><display-octave>{place[1]}</display-octave>"
    return f"<note><unpitched>{where}</unpitched><duration>{duration}</duration>{instrument}</note>"


REPEAT = '<barline location="right"><repeat direction="backward"/></barline>'
START, STOP = '<tie type="start"/>', '<tie type="stop"/>'
SNARE = '<instrument id="I2"/>'
TRANSPOSE = "<transpose><chromatic>0</chromatic><octave-change>-1</octave-change></transpose>"


def whole(repeat: str = REPEAT) -> str:
    """Two bars, the first with a repeat: a guitar that sounds an octave lower, with a tie and a tempo, and drums."""
    guitar = (
        f'<measure number="1">{attributes(TRANSPOSE)}<direction><sound tempo="90"/></direction>'
        f"{note('C', 5, 4, START)}{note('E', 5, 4, chord=True)}"
        f"{note('C', 5, 4, STOP)}{repeat}</measure>"
        f'<measure number="2">{note("G", 5, 8)}</measure>'
    )
    drums = (
        f'<measure number="1">{attributes()}{drum("C5", 4, SNARE)}'
        f"{drum('F4', 4)}{repeat}</measure>"
        f'<measure number="2"><note><rest/><duration>8</duration></note></measure>'
    )
    return f'{HEAD}<part id="P1">{guitar}</part><part id="P2">{drums}</part></score-partwise>'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "song.musicxml"
    file.write_text(whole(), "utf-8")
    return file


def test_notes_of_a_score(path: Path) -> None:
    with_repeat, without = read_score(path)
    beat = 60 / 90
    guitar, drums = without.parts
    assert (guitar.name, guitar.program, guitar.is_drum) == ("Guitar", 25, False)
    assert drums.is_drum and drums.name == "Drums"
    notes = sorted(zip(guitar.pitch, np.round(guitar.onset, 3), np.round(guitar.offset, 3), strict=True))
    assert notes == [
        (60, 0.0, round(4 * beat, 3)),
        (64, 0.0, round(2 * beat, 3)),
        (67, round(4 * beat, 3), round(8 * beat, 3)),
    ]
    assert list(drums.pitch) == [38, 36]  # as its instrument says; as its place on the staff says
    assert np.abs(without.bar_lines - [0, 4 * beat, 8 * beat]).max() < 1e-3
    assert len(with_repeat.parts[0]) == 5 and len(with_repeat.bar_lines) == 4
    assert np.abs(with_repeat.parts[0].onset[2:] - [4 * beat, 4 * beat, 8 * beat]).max() < 1e-3


def test_a_score_without_repeats_is_played_one_way(path: Path) -> None:
    path.write_text(whole(repeat=""), "utf-8")
    assert len(read_score(path)) == 1


def test_compressed_is_the_same(path: Path, tmp_path: Path) -> None:
    packed = tmp_path / "song.mxl"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("META-INF/container.xml", '<container><rootfile full-path="a/b.xml"/></container>')
        file.writestr("a/b.xml", whole())
    for one, other in zip(read_score(path), read_score(packed), strict=True):
        assert all(
            (a.onset == b.onset).all() and (a.pitch == b.pitch).all()
            for a, b in zip(one.parts, other.parts, strict=True)
        )


@pytest.mark.parametrize(
    "content", [b"", b"<score-partwise>", b"<html/>", b"MThd", b"PK\x03\x04 and more", whole().encode()[:-400]]
)
def test_what_is_no_musicxml_is_refused(tmp_path: Path, content: bytes, refused) -> None:
    file = tmp_path / "song.mxl"
    file.write_bytes(content)
    with refused(Damaged, file):
        read_score(file)


def test_a_score_of_days_is_refused(tmp_path: Path, refused) -> None:
    """A slip of one number; a frame for every moment of it would not fit in memory."""
    file = tmp_path / "song.musicxml"
    file.write_text(whole().replace("<duration>8<", "<duration>8000000<"))
    with refused(Damaged, file):
        read_score(file)


def test_a_file_without_a_score_is_refused(tmp_path: Path, refused) -> None:
    file = tmp_path / "song.mxl"
    for members in ({"a.xml": whole()}, {"META-INF/container.xml": '<c><rootfile full-path="b.xml"/></c>'}):
        with zipfile.ZipFile(file, "w") as packed:
            for name, text in members.items():
                packed.writestr(name, text)
        with refused(Damaged, file):
            read_score(file)
    with refused(Damaged, tmp_path / "none.musicxml"):
        read_score(tmp_path / "none.musicxml")
