"""What drummers played: MIDI files and an `info.csv`, as in the Groove MIDI Dataset (Gillick et al., ICML 2019)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scoresep.errors import Damaged, NotFound, first_line
from scoresep.files import read_text
from scoresep.rendering.composer.patterns import Event
from scoresep.score.parts import read_midi

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
        NotFound: the folder has no `info.csv`, or that names no take that is there.
        Damaged: the table or a take cannot be read.
    """
    index = folder / "info.csv"
    if not index.is_file():
        raise NotFound("no info.csv of grooves", file=folder, remedy="name the folder of the Groove MIDI Dataset")
    try:
        table = csv.DictReader(read_text(index).splitlines())
        if missing := COLUMNS - {*(table.fieldnames or ())}:
            raise KeyError(f"no column {', '.join(sorted(missing))}")
        rows = [row for row in table if row["time_signature"] == "4-4"]
        grooves = tuple(_read(folder, row) for row in rows if _inside(folder, row["midi_filename"]).is_file())
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


def _read(folder: Path, row: dict[str, str]) -> Groove:
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
