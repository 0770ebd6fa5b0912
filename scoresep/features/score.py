"""MIDI files to parts: notes in seconds with their pitch bends. Called by corpora, cache and evaluation.

A `Part` is what one instrument plays. Everything downstream (piano roll, harmonic mask, note list) is computed from
parts, so the rules for reading a score live here alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pretty_midi

from scoresep.errors import ScoresepError
from scoresep.grid import LOWEST_PITCH, PITCHES

DEFAULT_BEND_RANGE = 2.0
"""Semitones of a full pitch bend until a file says otherwise (General MIDI)."""
MAX_HOURS = 24.0
"""A note later than this is a broken file, not music."""


@dataclass(frozen=True)
class Part:
    """Notes of one instrument, K of them, ordered by onset.

    Attributes:
        onset, offset: float64 (K,), seconds, offset > onset.
        pitch: int64 (K,), MIDI numbers of the sounding pitch before bends.
        velocity: int64 (K,), 1-127.
        bend_time, bend: float64 (J,), seconds and semitones: from bend_time[j] on, all notes are off by bend[j].
        program: MIDI program 0-127 as the file says.
        is_drum: whether the pitches are drum sounds.
        name: the track's name in the file.
    """

    onset: np.ndarray
    offset: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    bend_time: np.ndarray = field(default_factory=lambda: np.zeros(0))
    bend: np.ndarray = field(default_factory=lambda: np.zeros(0))
    program: int = 0
    is_drum: bool = False
    name: str = ""

    def __len__(self) -> int:
        return len(self.onset)

    def transposed(self, semitones: int) -> Part:
        """The same part, `semitones` higher."""
        return replace(self, pitch=self.pitch + semitones)

    def bend_at(self, seconds: np.ndarray) -> np.ndarray:
        """Bend in semitones at the given times: float64 of the shape of `seconds`."""
        if not len(self.bend):
            return np.zeros(np.shape(seconds))
        latest = np.searchsorted(self.bend_time, seconds, side="right") - 1
        return np.where(latest >= 0, self.bend[np.maximum(latest, 0)], 0.0)


def part_from_notes(notes: Sequence[tuple[float, float, int, int]], **fields: object) -> Part:
    """Build a part from (onset, offset, pitch, velocity) rows; other fields of `Part` by name."""
    table = np.array(sorted(notes), dtype=np.float64).reshape(-1, 4)
    return Part(
        onset=table[:, 0],
        offset=table[:, 1],
        pitch=table[:, 2].astype(np.int64),
        velocity=table[:, 3].astype(np.int64),
        **fields,  # type: ignore[arg-type]
    )


def read_midi(path: str | Path) -> list[Part]:
    """Read every instrument of a MIDI file that has notes.

    Raises:
        ScoresepError: the file is missing, is not MIDI, or places notes beyond a day.
    """
    try:
        midi = pretty_midi.PrettyMIDI(str(path))
    except Exception as fault:  # mido raises many types on broken files: EOFError, KeyError, ValueError, ...
        reason = str(fault).strip() or type(fault).__name__
        raise ScoresepError(f"{path} is not a readable MIDI file ({reason}); replace or remove it") from fault
    if midi.get_end_time() > MAX_HOURS * 3600:
        raise ScoresepError(f"{path} is broken: it places a note after {MAX_HOURS:.0f} hours; replace or remove it")
    return [_part(instrument) for instrument in midi.instruments if instrument.notes]


def _part(instrument: pretty_midi.Instrument) -> Part:
    rows = [(n.start, n.end, n.pitch, n.velocity) for n in instrument.notes if n.end > n.start]
    bends = sorted((b.time, b.pitch) for b in instrument.pitch_bends)
    full = _bend_range(instrument)
    return part_from_notes(
        rows,
        bend_time=np.array([time for time, _ in bends]),
        bend=np.array([full * value / 8192.0 for _, value in bends]),
        program=instrument.program,
        is_drum=instrument.is_drum,
        name=instrument.name,
    )


def _bend_range(instrument: pretty_midi.Instrument) -> float:
    """Semitones of a full bend: registered parameter 0 (controllers 101, 100, 6, 38) if the file sets it."""
    selected = [127, 127]
    semitones, cents = DEFAULT_BEND_RANGE, 0.0
    for change in sorted(instrument.control_changes, key=lambda c: c.time):
        if change.number in (100, 101):
            selected[101 - change.number] = change.value
        elif selected == [0, 0] and change.number == 6:
            semitones = float(change.value)
        elif selected == [0, 0] and change.number == 38:
            cents = float(change.value)
    return semitones + cents / 100.0


def sounding_notes(parts: Sequence[Part], tolerance: float) -> np.ndarray:
    """Union of parts as a note list: float32 (K, 4) of onset s, offset s, pitch, velocity, ordered by onset.

    The pitch is the nearest semitone at the onset, bend included; pitches outside the piano's range are dropped. Two
    parts that strike the same pitch within `tolerance` seconds give one note (one group sounds, not two players).
    """
    rows: list[tuple[float, float, float, float]] = []
    for part in parts:
        pitch = np.rint(part.pitch + part.bend_at(part.onset))
        inside = (pitch >= LOWEST_PITCH) & (pitch < LOWEST_PITCH + PITCHES)
        rows += zip(part.onset[inside], part.offset[inside], pitch[inside], part.velocity[inside], strict=True)
    rows.sort()
    merged: list[list[float]] = []
    last: dict[float, int] = {}
    for onset, offset, pitch, velocity in rows:
        before = last.get(pitch)
        if before is not None and onset - merged[before][0] <= tolerance:
            merged[before][1] = max(merged[before][1], offset)
            merged[before][3] = max(merged[before][3], velocity)
            continue
        last[pitch] = len(merged)
        merged.append([onset, offset, pitch, velocity])
    return np.array(merged, dtype=np.float32).reshape(-1, 4)
