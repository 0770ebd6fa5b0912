"""MusicXML to parts: `partitura` reads notes, ties, tempi and repeats; what it leaves aside is prepared for it here.

That is programs and percussion: a note without pitch names its instrument, whose MIDI key the list of parts tells
(MusicXML 4.0, `midi-unpitched`); else the place on the staff stands for the usual drum kit.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import partitura

from scoresep.errors import Damaged, first_line
from scoresep.score.musicxml_writing import SPELLING
from scoresep.score.parts import MAX_HOURS, part_from_notes
from scoresep.score.reading import Score

MAX_XML_BYTES = 64 * 2**20
"""Of a larger file, unpacked, no score is expected."""
USUAL_TEMPO = 120.0
"""Quarter notes a minute until a score says otherwise."""
VELOCITY = 80
STAFF_KEYS = {
    "D4": 44,
    "F4": 36,
    "G4": 41,
    "A4": 43,
    "B4": 45,
    "C5": 38,
    "D5": 47,
    "E5": 48,
    "F5": 51,
    "G5": 42,
    "A5": 49,
}
"""General MIDI keys of the places on a staff of percussion (Weinberg, Guidelines for drumset notation, 1998)."""
OTHER_DRUM = 37
_Timed = tuple[Any, Callable[[Any], Any]]
"""A part of the library with the map from its times to quarters, which the library makes anew each time."""


@dataclass(frozen=True)
class _Player:
    """What the list of parts says of one: its name, program (0-127) and whether it plays drums."""

    name: str
    program: int
    is_drum: bool


def read_musicxml(path: str | Path) -> list[Score]:
    """The ways in which a score of MusicXML (plain, or compressed as .mxl) may be played: with all its repeats, and, if
    that is something else, without.

    Raises:
        Damaged: the file is missing, cannot be read, is no MusicXML by parts, or lasts longer than a day.
    """
    try:
        root = ElementTree.fromstring(_content(Path(path)))
        if root.tag != "score-partwise":
            raise ValueError(f"its root is <{root.tag}>, not <score-partwise>")
        players = _prepared(root)
        scores = _scores(ElementTree.tostring(root), players)
        if max(score.bar_lines.max(initial=0.0) for score in scores) > MAX_HOURS * 3600:
            raise ValueError(f"it lasts more than {MAX_HOURS:.0f} hours")
    except Exception as fault:  # of any type: the library's, on a file that it does not expect
        problem = f"not a readable MusicXML file ({first_line(fault)})"
        raise Damaged(problem, file=path, remedy="export it again, or as MIDI") from fault
    return scores


def _content(path: Path) -> bytes:
    """The XML of a file, unpacked.

    Raises:
        ValueError, OSError, BadZipFile: there is none.
    """
    if path.stat().st_size > MAX_XML_BYTES:
        raise ValueError("larger than any score")
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as packed:
        container = ElementTree.fromstring(_member(packed, "META-INF/container.xml"))
        place = next((entry.get("full-path") for entry in container.iter() if entry.tag.endswith("rootfile")), None)
        if place is None:
            raise ValueError("its container names no score")
        return _member(packed, place)


def _member(packed: zipfile.ZipFile, name: str) -> bytes:
    if name not in packed.namelist():
        raise ValueError(f"it holds no {name}")
    if packed.getinfo(name).file_size > MAX_XML_BYTES:
        raise ValueError("larger than any score")
    return packed.read(name)


def _prepared(root: ElementTree.Element) -> list[_Player]:
    """Who plays each part; notes without pitch are given that of their key in General MIDI."""
    players = []
    listed = {entry.get("id"): entry for entry in root.iter("score-part")}
    for part in root.findall("part"):
        entry = listed.get(part.get("id"))
        unpitched = [note for note in part.iter("note") if note.find("unpitched") is not None]
        keys, program, channel, name = {}, 0, "", ""
        if entry is not None:
            name = (entry.findtext("part-name") or "").strip()
            for sound in entry.findall("midi-instrument"):
                keys[sound.get("id")] = _number(sound.findtext("midi-unpitched"), 0) - 1
                program = program or _number(sound.findtext("midi-program"), 1) - 1
                channel = channel or (sound.findtext("midi-channel") or "")
        for note in unpitched:
            _give_pitch(note, keys)
        for transpose in part.iter("transpose"):
            _add_octaves(transpose)
        players.append(_Player(name, min(max(program, 0), 127), bool(unpitched) or channel.strip() == "10"))
    return players


def _number(text: str | None, fallback: int) -> int:
    return int(text) if text and text.strip().isdecimal() else fallback


def _give_pitch(note: ElementTree.Element, keys: dict[str | None, int]) -> None:
    """Turn <unpitched> of a note into the <pitch> of its key."""
    unpitched = note.find("unpitched")
    assert unpitched is not None
    named = note.find("instrument")
    place = f"{unpitched.findtext('display-step', '')}{unpitched.findtext('display-octave', '')}"
    key = keys.get(named.get("id") if named is not None else None, -1)
    key = key if 0 <= key < 128 else STAFF_KEYS.get(place, OTHER_DRUM)
    unpitched.clear()
    unpitched.tag = "pitch"
    step, alter = SPELLING[key % 12]
    for tag, value in (("step", step), ("alter", alter), ("octave", key // 12 - 1)):
        ElementTree.SubElement(unpitched, tag).text = str(value)


def _add_octaves(transpose: ElementTree.Element) -> None:
    """Put the octaves of a transposition, which the library passes over, among its semitones."""
    octaves, semitones = (transpose.find(tag) for tag in ("octave-change", "chromatic"))
    if octaves is not None and semitones is not None:
        semitones.text = str(int(float(semitones.text or 0)) + 12 * int(octaves.text or 0))
        transpose.remove(octaves)


def _scores(content: bytes, players: list[_Player]) -> list[Score]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = list(partitura.load_musicxml(io.BytesIO(content)).parts)
        if len(parts) != len(players):
            raise ValueError(f"{len(parts)} of {len(players)} parts can be read")
        unfold = (partitura.score.unfold_part_maximal, partitura.score.unfold_part_minimal)
        scores = [_score([way(part) for part in parts], players) for way in unfold]
    same = abs(scores[0].bar_lines[-1:].sum() - scores[1].bar_lines[-1:].sum()) < 1e-6
    return scores[:1] if same else scores


def _score(unfolded: list[Any], players: list[_Player]) -> Score:
    """Parts of the library, unfolded, in seconds."""
    timed = [(part, part.quarter_map) for part in unfolded]
    first = _first(timed)
    quarters, tempi = _tempi(timed, first)
    starts = np.append(0.0, np.cumsum(np.diff(quarters) * 60.0 / tempi[:-1]))

    def seconds(at: np.ndarray) -> np.ndarray:
        latest = np.maximum(np.searchsorted(quarters, at, side="right") - 1, 0)
        times: np.ndarray = starts[latest] + (at - quarters[latest]) * 60.0 / tempi[latest]
        return times

    parts = []
    for part, player in zip(unfolded, players, strict=True):
        notes = part.note_array()
        notes = notes[notes["duration_quarter"] > 0]  # grace notes have no time of their own
        onset = notes["onset_quarter"].astype(np.float64)
        offset = onset + notes["duration_quarter"]
        onset = np.maximum(onset - first, 0.0)
        offset = offset - first
        pitch = notes["pitch"] + (0 if player.is_drum else _transposition(part, notes["onset_div"]))
        rows = list(zip(seconds(onset), seconds(offset), pitch, np.full(len(notes), VELOCITY), strict=True))
        if rows:
            fields = {"program": player.program, "is_drum": player.is_drum, "name": player.name}
            parts.append(part_from_notes(rows, **fields))
    lines = {float(quarter(bar.start.t)) for part, quarter in timed for bar in part.measures}
    ends = [float(quarter(bar.end.t)) for part, quarter in timed for bar in part.measures]
    bars = np.array(sorted({*lines, max(ends, default=0.0)})) - first
    return Score(parts, seconds(np.maximum(bars, 0.0)))


def _first(timed: Sequence[_Timed]) -> float:
    """Quarter at which the music begins: before 0 where there is an upbeat."""
    return min((float(quarter(part.first_point.t)) for part, quarter in timed if part.first_point), default=0.0)


def _tempi(timed: Sequence[_Timed], first: float) -> tuple[np.ndarray, np.ndarray]:
    """Quarters, from `first` on, from which tempi hold, and quarter notes a minute: float64 (J,) each, of all parts
    together."""
    marks = {
        float(quarter(mark.start.t)) - first: 60e6 / mark.microseconds_per_quarter
        for part, quarter in timed
        for mark in part.iter_all(partitura.score.Tempo)
        if mark.bpm and mark.bpm > 0
    }
    marks = {0.0: next(iter(marks.values()), USUAL_TEMPO), **marks}
    at = sorted(marks)
    return np.array(at), np.array([marks[quarter] for quarter in at])


def _transposition(part: Any, at: np.ndarray) -> np.ndarray:
    """Semitones from the written to the sounding pitch at some moments of a part, int64."""
    marks = sorted((mark.start.t, int(mark.chromatic or 0)) for mark in part.iter_all(partitura.score.Transposition))
    times = np.array([time for time, _ in marks], dtype=np.int64)
    steps = np.array([0, *(semitones for _, semitones in marks)])
    return steps[np.searchsorted(times, at, side="right")]
