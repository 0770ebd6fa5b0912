"""Chord charts in the format of the McGill Billboard annotations (Burgoyne, Wild and Fujinaga, ISMIR 2011).

A line holds a time, a section and bars: `6.9	A, verse, | C:maj | F:maj/5 . G:7 . | x2, (voice`. Chords are in
Harte's syntax (Harte et al., ISMIR 2005), spread evenly over their bar; a dot repeats the chord before it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scoresep.errors import Damaged, NotFound, first_line
from scoresep.files import read_text
from scoresep.rendering.composer.harmony import Chord, Key


@dataclass(frozen=True)
class ChartSection:
    """A section: its name ("verse"), and for every bar its chords, spread evenly over it."""

    name: str
    bars: tuple[tuple[Chord, ...], ...]


@dataclass(frozen=True)
class Chart:
    """Harmony and form of a song.

    Attributes:
        title, artist: as the file says.
        steps, beat: length of a bar and of a beat, in sixteenths; bars of another metre are left out.
        key: tonic of the file, and major or minor by its tonic chords.
        sections: in order.
    """

    title: str
    artist: str
    steps: int
    beat: int
    key: Key
    sections: tuple[ChartSection, ...]


def read_charts(folder: Path) -> tuple[Chart, ...]:
    """All charts of a folder, in the order of their names; of two of one song the first.

    Raises:
        NotFound: the folder has no chart.
        Damaged: a file is no chart.
    """
    charts: dict[tuple[str, str], Chart] = {}
    for path in sorted(folder.rglob("*.txt")) if folder.is_dir() else ():
        chart = read_chart(path)
        if chart.sections:
            charts.setdefault((chart.title.casefold(), chart.artist.casefold()), chart)
    if not charts:
        raise NotFound("no chord chart in this folder", file=folder, remedy="name a folder of Billboard charts (.txt)")
    return tuple(charts.values())


def read_chart(path: Path) -> Chart:
    """A chart.

    Raises:
        Damaged: the file states no metre or tonic.
    """
    import mir_eval  # with SciPy behind it a second, which other commands need not spend

    try:
        lines = read_text(path).splitlines()
        stated = dict(reversed(re.findall(r"^# (\w+): (.*)$", "\n".join(lines), re.M)))  # the first of each counts
        count, unit = (int(number) for number in stated["metre"].split("/"))
        steps = count * 16 // unit
        if not 4 <= steps <= 64 or unit not in (2, 4, 8, 16):
            raise ValueError(f"{count}/{unit}")
        tonic = int(mir_eval.chord.pitch_class_to_semitone(stated["tonic"].strip()))
    except (OSError, UnicodeError) as fault:
        raise Damaged(
            f"cannot be read ({first_line(fault)})", file=path, remedy="correct it or take it out of the folder"
        ) from fault
    except (KeyError, TypeError, ValueError, ZeroDivisionError, mir_eval.chord.InvalidChordException) as fault:
        raise Damaged(
            "no metre or tonic that can be", file=path, remedy="correct it or take it out of the folder"
        ) from fault
    sections: list[tuple[str, list[tuple[Chord, ...]]]] = []
    for line in lines:
        _, _, text = line.partition("\t")
        name = re.match(r"(?:[A-Z]'*, )?([a-z][a-z -]*)(?:,|$)", text)
        if name and name[1] not in ("silence", "end"):
            sections.append((name[1], []))
        if sections and "|" in text:
            sections[-1][1].extend(_bars(text))
    kept = tuple(ChartSection(name, tuple(bars)) for name, bars in sections if bars)
    key = Key(tonic, _mode(tonic, kept))
    return Chart(stated.get("title", ""), stated.get("artist", ""), steps, 6 if unit == 8 else 4, key, kept)


def read_chord(label: str) -> Chord | None:
    """A chord in Harte's syntax; None for silence and what is not understood."""
    import mir_eval

    try:
        root, tones, bass = mir_eval.chord.encode(label)
    except mir_eval.chord.InvalidChordException:
        return None
    if root < 0:
        return None
    return Chord(int(root), tuple(np.flatnonzero(tones).tolist()), int(root + bass) % 12)


def _bars(text: str) -> list[tuple[Chord, ...]]:
    """The bars of a line, its repeats written out; bars in another metre and without a chord are left out."""
    first, last = text.index("|"), text.rindex("|")
    repeat = re.match(r"\s*x(\d+)", text[last + 1 :])
    bars: list[tuple[Chord, ...]] = []
    for bar in text[first + 1 : last].split("|"):
        chords: list[Chord] = []
        for token in bar.split():
            chord = chords[-1] if token == "." and chords else read_chord(token)
            if chord is not None:
                chords.append(chord)
        if chords and "(" not in bar.split()[0]:
            bars.append(tuple(chords))
    return bars * (int(repeat[1]) if repeat else 1)


def _mode(tonic: int, sections: tuple[ChartSection, ...]) -> str:
    thirds = Counter(
        3 in chord.intervals
        for section in sections
        for bar in section.bars
        for chord in bar
        if chord.root == tonic and {3, 4} & set(chord.intervals)
    )
    return "minor" if thirds[True] > thirds[False] else "major"
