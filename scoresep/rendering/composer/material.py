"""What bands play from, apart for training and test: chord charts, and what drummers played.

Charts are in the format of the McGill Billboard annotations (Burgoyne, Wild and Fujinaga, ISMIR 2011). A line holds a
time, a section and bars: `6.9	A, verse, | C:maj | F:maj/5 . G:7 . | x2, (voice`. Chords are in Harte's syntax
(Harte et al., ISMIR 2005), spread evenly over their bar; a dot repeats the chord before it.

Drummers' takes are MIDI files and an `info.csv`, as in the Groove MIDI Dataset (Gillick et al., ICML 2019).
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from scoresep.errors import Damaged, NotFound, first_line
from scoresep.files import existing_folder, read_text
from scoresep.rendering.composer.harmony import Chord, Key
from scoresep.rendering.composer.patterns import Event
from scoresep.rendering.song import digest
from scoresep.score.parts import read_midi

CHARTS_REMEDY = "name a folder of Billboard charts (.txt)"
CHART_REMEDY = "correct it or take it out of the folder"
GROOVES_REMEDY = "name the folder of the Groove MIDI Dataset"
TESTED_SHARE = 8
"""One chart of so many, and one drummer, are kept for test songs."""


# Chord charts


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
        NotFound: there is no such folder, or no chart in it.
        WrongFormat: it is a file.
        Damaged: a file is no chart.
    """
    charts: dict[tuple[str, str], Chart] = {}
    for path in sorted(existing_folder(folder, "folder of charts", CHARTS_REMEDY).rglob("*.txt")):
        chart = read_chart(path)
        if chart.sections:
            charts.setdefault((chart.title.casefold(), chart.artist.casefold()), chart)
    if not charts:
        raise NotFound("no chord chart in this folder", file=folder, remedy=CHARTS_REMEDY)
    return tuple(charts.values())


def read_chart(path: Path) -> Chart:
    """A chart.

    Raises:
        Damaged: the file cannot be read, or states no metre or tonic.
    """
    import mir_eval  # with SciPy behind it a second, which other commands need not spend

    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as fault:
        raise Damaged(f"cannot be read ({first_line(fault)})", file=path, remedy=CHART_REMEDY) from fault
    stated = dict(reversed(re.findall(r"^# (\w+): (.*)$", "\n".join(lines), re.M)))  # the first of each counts
    try:
        count, unit = (int(number) for number in stated["metre"].split("/"))
        steps = count * 16 // unit
        if not 4 <= steps <= 64 or unit not in (2, 4, 8, 16):
            raise ValueError(f"{count}/{unit}")
        tonic = int(mir_eval.chord.pitch_class_to_semitone(stated["tonic"].strip()))
    except (KeyError, TypeError, ValueError, ZeroDivisionError, mir_eval.chord.InvalidChordException) as fault:
        raise Damaged("no metre or tonic that can be", file=path, remedy=CHART_REMEDY) from fault
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


# Drummers

TO_GENERAL_MIDI = {22: 42, 26: 46, 58: 43}
"""Keys of the Roland TD-11 that General MIDI lacks or has otherwise."""
COLUMNS = {"drummer", "style", "bpm", "beat_type", "time_signature", "midi_filename"}
"""Of `info.csv`, that are read."""
STEPS = 16
"""Of a bar: all grooves are in 4/4."""


@dataclass(frozen=True)
class Groove:
    """A drummer's take.

    Attributes:
        drummer: who plays; drummers are kept apart between training and test.
        style: as the data set says, "rock/halftime".
        tempo: beats a minute.
        fill: whether it is a fill of a bar or two, not a beat.
        bars: the strokes of every bar, timed in steps as they were played.
    """

    drummer: str
    style: str
    tempo: float
    fill: bool
    bars: tuple[tuple[Event, ...], ...]


def read_grooves(folder: Path) -> tuple[Groove, ...]:
    """All takes in 4/4 of a folder.

    Raises:
        NotFound: there is no such folder, it has no `info.csv`, or that names no take that is there.
        WrongFormat: it is a file.
        Damaged: the table or a take cannot be read.
    """
    index = existing_folder(folder, "folder of grooves", GROOVES_REMEDY) / "info.csv"
    if not index.is_file():
        raise NotFound("no info.csv of grooves", file=folder, remedy=GROOVES_REMEDY)
    try:
        table = csv.DictReader(read_text(index).splitlines())
        if missing := COLUMNS - {*(table.fieldnames or ())}:
            raise KeyError(f"no column {', '.join(sorted(missing))}")
        rows = [row for row in table if row["time_signature"] == "4-4"]
        grooves = tuple(_read_take(folder, row) for row in rows if _inside(folder, row["midi_filename"]).is_file())
    except (KeyError, TypeError, ValueError, csv.Error) as fault:
        problem = f"not a table of takes ({type(fault).__name__}: {first_line(fault)})"
        raise Damaged(problem, file=index, remedy="fetch the data set again") from fault
    if not grooves:
        raise NotFound("none of the takes that it names is there", file=index, remedy="fetch the data set again")
    return grooves


def _inside(folder: Path, name: str) -> Path:
    """A file of the folder: a table from strangers may not name others."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name} is not in the folder")
    return path


def drawn(
    grooves: Sequence[Groove], styles: Sequence[str], tempo: float, rng: np.random.Generator
) -> tuple[Groove, ...]:
    """A drummer's beats and fills in one of `styles`, of about a song's tempo; none if there are none."""
    fitting = [g for g in grooves if g.style.startswith(tuple(styles)) and 0.75 < g.tempo / tempo < 1.33]
    beats = [g for g in fitting if not g.fill and len(g.bars) >= 4]
    if not beats:
        return ()
    beat = beats[rng.integers(len(beats))]
    fills = [g for g in fitting if g.fill and g.drummer == beat.drummer and g.bars]
    return (beat, *(fills[n] for n in rng.permutation(len(fills))[:3]))


def _read_take(folder: Path, row: dict[str, str]) -> Groove:
    tempo = float(row["bpm"])
    if not 20 <= tempo <= 400:
        raise ValueError(f"a tempo of {row['bpm']} beats a minute")
    strokes: dict[int, list[Event]] = {}
    for part in read_midi(folder / row["midi_filename"]):
        for onset, pitch, velocity in zip(part.onset, part.pitch, part.velocity, strict=True):
            step = float(onset) * tempo / 60 * 4
            bar = int((step + 0.5) // STEPS)
            event = Event(step - bar * STEPS, 0.9, TO_GENERAL_MIDI.get(int(pitch), int(pitch)), float(velocity) / 127)
            strokes.setdefault(bar, []).append(event)
    bars = tuple(tuple(strokes.get(bar, ())) for bar in range(max(strokes, default=-1) + 1))
    return Groove(row["drummer"], row["style"], tempo, row["beat_type"] == "fill", bars)


# What is for training, and what for test


@lru_cache(maxsize=4)
def band_material(
    charts: Path | None, grooves: Path | None, test: bool
) -> tuple[tuple[Chart, ...], tuple[Groove, ...]]:
    """The charts and takes of the folders that songs of a split may use: no song and no drummer is in two splits.

    Raises:
        NotFound, Damaged: see `read_charts` and `read_grooves`.
    """
    tested = _tested(grooves)
    return (
        tuple(c for c in (_charts(charts) if charts else ()) if _held_out(f"{c.title} {c.artist}") == test),
        tuple(g for g in (_grooves(grooves) if grooves else ()) if (g.drummer == tested) == test),
    )


def _held_out(name: str) -> bool:
    return int(digest(name.casefold().encode())[:2], 16) % TESTED_SHARE == 0


def _tested(folder: Path | None) -> str:
    """The drummer of test songs: of two or more the one with the fewest bars that still fill some songs."""
    bars: dict[str, int] = {}
    for groove in _grooves(folder) if folder else ():
        bars[groove.drummer] = bars.get(groove.drummer, 0) + len(groove.bars)
    rows = sorted((count, name) for name, count in bars.items())
    return rows[len(rows) // 3][1] if len(rows) > 1 else ""


_charts = lru_cache(maxsize=2)(read_charts)
_grooves = lru_cache(maxsize=2)(read_grooves)
