"""Parts as MusicXML, quantised to a steady beat, for notation programs.

A measure has four beats, a beat four steps (sixteenths). A part is one voice: notes that begin together are a chord,
and each sounds until the next begins at the latest. Long notes cross bar lines as tied ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from scoresep.score.parts import Part

BEATS, STEPS = 4, 4
"""Beats of a measure; steps of a beat."""
TEMPI = (70.0, 140.0)
"""Beats a minute that are looked for."""
LEVELS, PHASES, STEPS_OF_TEMPO, FEWEST, TICKS = (1, 2, 4), 64, 8, 4, 200
"""Beat, half and quarter; phases tried; steps in which a tempo's error adds up to a beat; fewest notes with a beat;
ticks of a second at which onsets are counted."""
LENGTHS = {16: ("whole", 0), 12: ("half", 1), 8: ("half", 0), 6: ("quarter", 1), 4: ("quarter", 0), 3: ("eighth", 1),
           2: ("eighth", 0), 1: ("16th", 0)}  # fmt: skip
"""Steps that a single note can last, and how it is written: its type and its dots."""
SPELLING = (("C", 0), ("C", 1), ("D", 0), ("E", -1), ("E", 0), ("F", 0), ("F", 1), ("G", 0), ("A", -1), ("A", 0),
            ("B", -1), ("B", 0))  # fmt: skip
"""Letter and alteration of the pitch classes."""
MIDDLE_C = 60
DOCTYPE = (
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" '
    '"http://www.musicxml.org/dtds/partwise.dtd">'
)


@dataclass(frozen=True)
class Beat:
    """A steady beat.

    Attributes:
        tempo: beats a minute.
        first: seconds at which a measure begins.
    """

    tempo: float = 120.0
    first: float = 0.0

    def steps(self, seconds: np.ndarray) -> np.ndarray:
        """The nearest steps after the first beat of the measure that holds the recording's beginning, int64."""
        measure = 60.0 / self.tempo * BEATS
        start = self.first - np.ceil(self.first / measure) * measure
        nearest: np.ndarray = np.rint((seconds - start) * (self.tempo * STEPS / 60.0)).astype(np.int64)
        return nearest


def beat_of(onsets: np.ndarray) -> Beat:
    """The steady beat that onsets (K,), seconds, fit best: their Fourier transform at the beat, its half and quarter.

    Tempi lie within `TEMPI`, an octave: half and double are the same to it. 120 beats a minute where nothing begins.
    """
    if len(onsets) < FEWEST:
        return Beat()
    ticks = np.rint((onsets - onsets.min()) * TICKS).astype(np.int64)
    size = STEPS_OF_TEMPO * max(int(ticks.max()), TICKS)
    rates = np.arange(*(round(tempo / 60 * size / TICKS) for tempo in TEMPI))
    spectrum = np.conj(np.fft.rfft(np.bincount(ticks), size))
    found = np.stack([spectrum[h * rates] for h in LEVELS])
    best = int(np.abs(found).sum(axis=0).argmax())
    phases = np.arange(PHASES) / PHASES
    turned = [np.real(found[n, best] * np.exp(-2j * np.pi * h * phases)) for n, h in enumerate(LEVELS)]
    beat = size / TICKS / rates[best]
    first = phases[np.sum(turned, axis=0).argmax()] * beat + onsets.min()
    return Beat(float(60 / beat), float(first % beat))


@dataclass(frozen=True)
class Chord:
    """What sounds from one step on: pitches (none: a rest), the first step, and how many it lasts."""

    pitches: tuple[int, ...]
    start: int
    length: int


def musicxml(parts: Sequence[Part], beat: Beat) -> bytes:
    """A partwise score of the parts, by their names; drums are on a staff without pitches."""
    root = ElementTree.Element("score-partwise", version="4.0")
    listed = ElementTree.SubElement(root, "part-list")
    voices = [voice(part, beat) for part in parts]
    measures = max(
        (-(-(chord.start + chord.length) // (BEATS * STEPS)) for each in voices for chord in each), default=1
    )
    for number, (part, chords) in enumerate(zip(parts, voices, strict=True), start=1):
        entry = ElementTree.SubElement(listed, "score-part", id=f"P{number}")
        _text(entry, "part-name", part.name)
        _list_sounds(entry, part)
        _write(ElementTree.SubElement(root, "part", id=f"P{number}"), part, chords, measures, beat)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{DOCTYPE}\n{text}\n'.encode()


def _list_sounds(entry: ElementTree.Element, part: Part) -> None:
    """The part's program; of drums, their keys, which notes name."""
    tag = "midi-unpitched" if part.is_drum else "midi-program"
    numbers = {key: key + 1 for key in np.unique(part.pitch)} if part.is_drum else {0: part.program + 1}
    for key in numbers:
        sound = ElementTree.SubElement(entry, "score-instrument", id=f"{entry.get('id')}-{key}")
        _text(sound, "instrument-name", part.name)
    for key, number in numbers.items():
        sound = ElementTree.SubElement(entry, "midi-instrument", id=f"{entry.get('id')}-{key}")
        _text(sound, tag, str(number))


def voice(part: Part, beat: Beat) -> list[Chord]:
    """The chords of a part, none of which overlaps the next."""
    starts, ends = np.maximum(beat.steps(part.onset), 0), beat.steps(part.offset)
    chords = []
    steps = np.unique(starts)
    for step, following in zip(steps, np.append(steps[1:], np.iinfo(np.int64).max), strict=True):
        here = starts == step
        length = int(min(max(int(ends[here].max()) - step, 1), following - step))
        chords.append(Chord(tuple(sorted({int(pitch) for pitch in part.pitch[here]})), int(step), length))
    return chords


def with_rests(chords: Sequence[Chord], end: int) -> Iterator[Chord]:
    """The chords and the rests between them, up to step `end`."""
    now = 0
    for chord in chords:
        if chord.start > now:
            yield Chord((), now, chord.start - now)
        yield chord
        now = chord.start + chord.length
    if end > now:
        yield Chord((), now, end - now)


def written(start: int, length: int) -> Iterator[tuple[int, int]]:
    """First steps and lengths that single notes can have, of which none crosses a bar line."""
    while length:
        left = min(length, BEATS * STEPS - start % (BEATS * STEPS))
        step = next(each for each in LENGTHS if each <= left)
        yield start, step
        start, length = start + step, length - step


def _write(element: ElementTree.Element, part: Part, chords: Sequence[Chord], measures: int, beat: Beat) -> None:
    drums = element.get("id", "") if part.is_drum else ""
    bars = [ElementTree.SubElement(element, "measure", number=str(n + 1)) for n in range(measures)]
    _begin(bars[0], part, beat)
    for chord in with_rests(chords, measures * BEATS * STEPS):
        pieces = [*written(chord.start, chord.length)]
        for n, (start, length) in enumerate(pieces):
            ties = (n > 0, n < len(pieces) - 1)
            for place, pitch in enumerate(chord.pitches or (None,)):
                _note(bars[start // (BEATS * STEPS)], pitch, length, drums, ties, place > 0)


def _begin(bar: ElementTree.Element, part: Part, beat: Beat) -> None:
    """Divisions, metre, clef and tempo."""
    attributes = ElementTree.SubElement(bar, "attributes")
    _text(attributes, "divisions", str(STEPS))
    time = ElementTree.SubElement(attributes, "time")
    _text(time, "beats", str(BEATS))
    _text(time, "beat-type", "4")
    clef = ElementTree.SubElement(attributes, "clef")
    low = len(part) and float(np.median(part.pitch)) < MIDDLE_C
    sign, line = ("percussion", "") if part.is_drum else ("F", "4") if low else ("G", "2")
    _text(clef, "sign", sign)
    if line:
        _text(clef, "line", line)
    direction = ElementTree.SubElement(bar, "direction")
    words = ElementTree.SubElement(ElementTree.SubElement(direction, "direction-type"), "metronome")
    _text(words, "beat-unit", "quarter")
    _text(words, "per-minute", f"{beat.tempo:.4g}")
    ElementTree.SubElement(direction, "sound", tempo=f"{beat.tempo:.6g}")


def _note(
    bar: ElementTree.Element, pitch: int | None, length: int, drum: str, ties: tuple[bool, bool], chord: bool
) -> None:
    note = ElementTree.SubElement(bar, "note")
    if chord:
        ElementTree.SubElement(note, "chord")
    if pitch is None:
        ElementTree.SubElement(note, "rest")
    else:
        letter, alter = SPELLING[pitch % 12]
        place = ElementTree.SubElement(note, "unpitched" if drum else "pitch")
        _text(place, "display-step" if drum else "step", letter)
        if alter and not drum:
            _text(place, "alter", str(alter))
        _text(place, "display-octave" if drum else "octave", str(pitch // 12 - 1))
    _text(note, "duration", str(length))
    kinds = [kind for kind, tied in zip(("stop", "start"), ties, strict=True) if tied and pitch is not None]
    for kind in kinds:
        ElementTree.SubElement(note, "tie", type=kind)
    if drum and pitch is not None:
        ElementTree.SubElement(note, "instrument", id=f"{drum}-{pitch}")
    name, dots = LENGTHS[length]
    _text(note, "type", name)
    for _ in range(dots):
        ElementTree.SubElement(note, "dot")
    if kinds:
        notations = ElementTree.SubElement(note, "notations")
        for kind in kinds:
            ElementTree.SubElement(notations, "tied", type=kind)


def _text(element: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(element, tag).text = text
