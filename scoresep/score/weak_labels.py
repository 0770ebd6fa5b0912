"""Weak labels of a recording: who plays when, and which notes occur in a bar, without the times of the notes.

A CSV file with the columns start, end, instrument and notes says so, a row a stretch (docs/how-to/weak-labels.md).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scoresep.errors import NotFound, WrongFormat
from scoresep.files import read_rows
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.score.parts import MAX_HOURS

LABELS_SUFFIX = ".csv"
SCORED, ABSENT, UNKNOWN, PRESENT, FIRST_SET = range(5)
"""What is known of an instrument in a frame: its roll is what sounds; it does not sound; nothing; it plays, but not
which notes; from `FIRST_SET` on, that each key of its roll, and no other, sounds in some of the frames of this number.
"""
MARGIN = 0.3
"""Seconds on either side of a stretch in which nothing is taken for certain: people's labels are not exact, and what
was played rings on."""
COLUMNS = ("start", "end", "instrument", "notes")
REMEDY = f"correct it; it has the columns {','.join(COLUMNS)}, of which instrument must be there"


@dataclass(frozen=True)
class Stretch:
    """What is known of an instrument for a time.

    Attributes:
        instrument: its name.
        begin, end: seconds.
        known: `ABSENT`, `UNKNOWN`, `PRESENT`, or `FIRST_SET` for a set of notes.
        pitches: MIDI numbers of that set.
    """

    instrument: str
    begin: float
    end: float
    known: int
    pitches: tuple[int, ...] = ()


def read_weak_labels(path: Path) -> list[Stretch]:
    """The stretches of a CSV file, in its order.

    Raises:
        NotFound: it cannot be opened.
        WrongFormat: it has no such columns, or a line (whose number is given) is impossible.
    """
    try:
        return [*_stretches(read_rows(path, ("instrument",)))]
    except OSError as fault:
        raise NotFound(f"the labels cannot be read ({fault.strerror})", file=path, remedy=REMEDY) from fault
    except (ValueError, csv.Error) as fault:
        raise WrongFormat(f"not readable labels ({fault})", file=path, remedy=REMEDY) from fault


def _stretches(rows: Iterable[tuple[int, dict[str, str]]]) -> Iterator[Stretch]:
    for number, row in rows:
        try:
            yield _stretch(row)
        except ValueError as fault:
            raise ValueError(f"line {number}: {fault}") from fault


def _stretch(row: dict[str, str]) -> Stretch:
    """The stretch of a line; raises ValueError if it is none."""
    if unknown := sorted({name for name, cell in row.items() if cell} - {*COLUMNS}):
        raise ValueError(f"there is no column '{unknown[0]}'")
    name, notes = row["instrument"], row.get("notes", "")
    if not name or "\n" in name:
        raise ValueError("it names no instrument" if not name else "a quotation mark is not closed")
    begin, end = _seconds(row, "start", 0.0), _seconds(row, "end", 3600.0 * MAX_HOURS)
    if not 0.0 <= begin < end <= 3600.0 * MAX_HOURS:
        raise ValueError(f"{begin:g} to {end:g} s is no stretch of time")
    known = {"": PRESENT, "?": UNKNOWN, "-": ABSENT}.get(notes, FIRST_SET)
    words = notes.split() if known == FIRST_SET else []
    pitches = tuple(int(word) for word in words if word.isdecimal())
    if len(pitches) < len(words) or not all(LOWEST_PITCH <= pitch < LOWEST_PITCH + PITCHES for pitch in pitches):
        raise ValueError(f"notes are MIDI numbers from {LOWEST_PITCH} to {LOWEST_PITCH + PITCHES - 1}, not '{notes}'")
    return Stretch(name, begin, end, known, pitches)


def _seconds(row: dict[str, str], column: str, default: float) -> float:
    text = row.get(column, "")
    try:
        return float(text) if text else default
    except ValueError as fault:
        raise ValueError(f"{column} is '{text}', no number of seconds") from fault


def known_in(stretches: Sequence[Stretch], grid: Grid, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """What is known of one instrument, and the keys that may sound: uint8 (T,), bool (T, P).

    Where no stretch is, it does not sound; where several are, the last one counts.
    """
    known = np.full(frames, ABSENT, dtype=np.uint8)
    roll = np.zeros((frames, PITCHES), dtype=bool)
    for each in stretches:
        if each.known != ABSENT:
            near = slice(grid.frame_at(max(0.0, each.begin - MARGIN)), grid.frame_at(each.end + MARGIN))
            known[near], roll[near] = UNKNOWN, True
    for number, each in enumerate(stretches):
        inside = slice(grid.frame_at(each.begin), grid.frame_at(each.end))
        known[inside] = each.known if each.known < FIRST_SET else FIRST_SET + number % (256 - FIRST_SET)
        roll[inside] = each.known in (UNKNOWN, PRESENT)
        roll[inside, np.array(each.pitches, dtype=np.int64) - LOWEST_PITCH] = True
    return known, roll
