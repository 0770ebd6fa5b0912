"""MIDI files to parts: notes in seconds with their pitch bends. Called by corpora, cache and evaluation.

A `Part` is what one instrument plays. Everything downstream (piano roll, harmonic mask, note list) is computed from
parts, so the rules for reading a score live here alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import symusic

from scoresep.errors import ScoresepError, first_line
from scoresep.grid import LOWEST_PITCH, PITCHES

DEFAULT_BEND_RANGE = 2.0
"""Semitones of a full pitch bend until a file says otherwise (General MIDI)."""
MAX_HOURS = 24.0
"""A note later than this is a broken file, not music."""
SUSTAIN = 64
"""Controller of the sustain pedal."""
MAX_BYTES = 64 * 2**20
"""A larger MIDI file is no music; the largest of Slakh2100 is below 1 MB."""


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


def read_midi(path: str | Path, longest_pedal: float = 0.0) -> list[Part]:
    """Read every instrument of a MIDI file that has notes.

    Args:
        longest_pedal: seconds by which the sustain pedal may lengthen a note beyond the release of its key; by default
            a note ends where it is written to end.

    Raises:
        ScoresepError: the file is missing, is not MIDI, or places notes beyond a day.
    """
    try:
        if Path(path).stat().st_size > MAX_BYTES:
            raise ValueError("larger than any score")
        content = Path(path).read_bytes()
        check_chunks(content)
        score = symusic.Score.from_midi(content, ttype="second")
        if any(len(track.notes) and not track.notes.numpy()["duration"].any() for track in score.tracks):
            raise ValueError("its notes have no length")
    except Exception as fault:  # symusic raises many types on broken files: RuntimeError, ValueError, ...
        reason = first_line(fault)
        raise ScoresepError(f"{path} is not a readable MIDI file ({reason}); replace or remove it") from fault
    parts = [part for track in score.tracks if len(part := _part(track, longest_pedal))]
    if any(part.offset.max() > MAX_HOURS * 3600 for part in parts):
        raise ScoresepError(f"{path} is broken: it places a note after {MAX_HOURS:.0f} hours; replace or remove it")
    return parts


def check_chunks(content: bytes) -> None:
    """Refuse a MIDI file of fewer tracks than its header says, or of no time: symusic would read less, or silence.

    Raises:
        ValueError: what is wrong with it.
    """
    if content[:4] != b"MThd" or len(content) < 14:
        raise ValueError("it does not begin with a MIDI header")
    tracks, division = int.from_bytes(content[10:12], "big"), content[12:14]
    if not any(division):
        raise ValueError("a beat has no ticks")
    place, found = 8 + int.from_bytes(content[4:8], "big"), 0
    while place + 8 <= len(content):
        found += content[place : place + 4] == b"MTrk"
        place += 8 + int.from_bytes(content[place + 4 : place + 8], "big")
    if found < tracks or place > len(content):
        raise ValueError(f"truncated: {found} of {tracks} tracks")


def _part(track: symusic.Track, longest_pedal: float) -> Part:
    notes, bends, changes = track.notes.numpy(), track.pitch_bends.numpy(), track.controls.numpy()
    in_time = np.argsort(changes["time"], kind="stable")
    changes = {name: values[in_time] for name, values in changes.items()}
    onset = notes["time"].astype(np.float64)
    offset = onset + notes["duration"]
    if longest_pedal and not track.is_drum:
        offset = pedalled(offset, *pedal_spans(changes, offset.max(initial=0.0)), longest_pedal)
    order = np.lexsort((notes["velocity"], notes["pitch"], offset, onset))
    order = order[(offset > onset)[order]]
    bend_order = np.argsort(bends["time"], kind="stable")
    return Part(
        onset=onset[order],
        offset=offset[order],
        pitch=notes["pitch"].astype(np.int64)[order],
        velocity=notes["velocity"].astype(np.int64)[order],
        bend_time=bends["time"].astype(np.float64)[bend_order],
        bend=_bend_range(changes) * bends["value"][bend_order] / 8192.0,
        program=track.program,
        is_drum=track.is_drum,
        name=track.name,
    )


def _bend_range(changes: dict[str, np.ndarray]) -> float:
    """Semitones of a full bend: registered parameter 0 (controllers 101, 100, 6, 38) if the file sets it."""
    selected = [127, 127]
    semitones, cents = DEFAULT_BEND_RANGE, 0.0
    chosen = np.isin(changes["number"], (6, 38, 100, 101))
    for number, value in zip(changes["number"][chosen].tolist(), changes["value"][chosen].tolist(), strict=True):
        if number in (100, 101):
            selected[101 - number] = value
        elif selected == [0, 0] and number == 6:
            semitones = float(value)
        elif selected == [0, 0] and number == 38:
            cents = float(value)
    return semitones + cents / 100.0


def pedal_spans(changes: dict[str, np.ndarray], end: float) -> tuple[np.ndarray, np.ndarray]:
    """When the sustain pedal goes down and up: float64 (S,) seconds each; one that stays down comes up at `end`."""
    chosen = changes["number"] == SUSTAIN
    down, time = changes["value"][chosen] >= 64, changes["time"][chosen].astype(np.float64)
    turns = np.flatnonzero(np.diff(np.append(False, down)))  # down, up, down, ... as nothing repeats
    moments = time[turns]
    return moments[::2], np.append(moments[1::2], [end] * (len(moments) % 2))


def pedalled(offset: np.ndarray, down: np.ndarray, up: np.ndarray, longest: float) -> np.ndarray:
    """Offsets of notes whose keys come up at `offset` (K,): those that do so under the pedal last until it comes up."""
    span = np.searchsorted(down, offset, side="right") - 1
    held = (span >= 0) & (offset < np.append(up, -np.inf)[span])
    return np.where(held, np.minimum(np.append(up, 0.0)[span], offset + longest), offset)


def sounding_notes(parts: Sequence[Part], tolerance: float) -> np.ndarray:
    """Union of parts as a note list: float32 (K, 4) of onset s, offset s, pitch, velocity, ordered by onset.

    The pitch is the nearest semitone at the onset, bend included; pitches outside the piano's range are dropped. Two
    parts that strike the same pitch within `tolerance` seconds give one note (one group sounds, not two players).
    """
    tables = [
        np.stack([part.onset, part.offset, np.rint(part.pitch + part.bend_at(part.onset)), part.velocity], axis=1)
        for part in parts
    ]
    rows = np.concatenate([np.zeros((0, 4)), *tables])
    rows = rows[(rows[:, 2] >= LOWEST_PITCH) & (rows[:, 2] < LOWEST_PITCH + PITCHES)]
    rows = rows[np.lexsort((rows[:, 3], rows[:, 1], rows[:, 0], rows[:, 2]))]
    head = first_strikes(rows[:, 0], rows[:, 2], tolerance)
    notes = rows[head]
    order = np.lexsort((notes[:, 3], notes[:, 2], notes[:, 1], notes[:, 0]))
    if len(notes):
        notes[:, 1], notes[:, 3] = np.maximum.reduceat(rows[:, 1], head), np.maximum.reduceat(rows[:, 3], head)
    return notes[order].astype(np.float32)


def first_strikes(onset: np.ndarray, pitch: np.ndarray, tolerance: float) -> np.ndarray:
    """Which of K strikes, ordered by pitch and onset, begin a note of their own: indices, int64.

    A strike belongs to the note before it on its key if it comes within `tolerance` seconds of that note's onset.
    """
    row = np.arange(len(onset))
    head = np.append(True, (np.diff(pitch) != 0) | (np.diff(onset) > tolerance))[: len(onset)]
    while True:  # only a chain of close strikes that lasts longer than the tolerance needs a second pass
        note = np.maximum.accumulate(np.where(head, row, 0))
        late = onset - onset[note] > tolerance
        if not late.any():
            return np.flatnonzero(head)
        head[late & ~np.append(False, late[:-1])] = True
