"""MIDI files to parts: notes in seconds with their pitch bends.
A `Part` is what one instrument plays. Everything downstream (piano roll, harmonic mask, note list) is computed from
parts, so the rules for reading a score live here alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from scoresep.errors import Damaged, first_line
from scoresep.grid import LOWEST_PITCH, PITCHES
from scoresep.score.channels import bends_of, by_tick, notes_of, on_channel, pedal_spans, pedalled, programs_at
from scoresep.score.midi import INSTRUMENT, NAME, MidiFile, MidiTrack, channels_of, decode_names, read_file

SHORTEST_NOTE = 0.03
"""Seconds that a note must last to sound as more than a click; one without length is given these."""
SCORE_SUFFIXES = (".mid", ".midi", ".rmi", ".kar", ".smf")
"""Of files that `read_midi` reads."""
MAX_HOURS = 24.0
"""A note later than this is a broken file, not music."""
MAX_BYTES = 8 * 2**20
"""A larger MIDI file is no music; the largest of Slakh2100 is below 1 MB."""

MOST_MESSAGES = 4_000_000
"""Messages by which tracks without notes set parts up, counted for each part; more would take minutes."""


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

    @property
    def table(self) -> np.ndarray:
        """The notes as float64 (K, 4): onset s, offset s, pitch, velocity."""
        return np.stack([self.onset, self.offset, self.pitch, self.velocity], axis=1)

    def transposed(self, semitones: int) -> Part:
        """The same part, `semitones` higher."""
        return replace(self, pitch=self.pitch + semitones)

    def shifted(self, seconds: float) -> Part:
        """The same part, notes and bends, so many seconds later."""
        onset, offset, bend_time = (values + seconds for values in (self.onset, self.offset, self.bend_time))
        return replace(self, onset=onset, offset=offset, bend_time=bend_time)

    def chosen(self, rows: np.ndarray) -> Part:
        """The part with some of its notes, by index or by bool (K,), and all of its bends."""
        fields = {name: getattr(self, name)[rows] for name in ("onset", "offset", "pitch", "velocity")}
        return replace(self, **fields)

    def bend_at(self, seconds: ArrayLike) -> np.ndarray:
        """Bend in semitones at the given times: float64 of the shape of `seconds`."""
        if not len(self.bend):
            return np.zeros(np.shape(seconds))
        latest = np.searchsorted(self.bend_time, seconds, side="right") - 1
        return np.where(latest >= 0, self.bend[np.maximum(latest, 0)], 0.0)

    def bends_in(self, begin: float, end: float) -> tuple[np.ndarray, np.ndarray]:
        """Times and semitones, float64, of the bends in a stretch, which begins with the one that holds there; none if
        the part has none."""
        if not len(self.bend):
            return self.bend_time, self.bend
        inside = (self.bend_time > begin) & (self.bend_time < end)
        return np.append(begin, self.bend_time[inside]), np.append(self.bend_at(begin), self.bend[inside])


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
    """Read every instrument of a MIDI file that has notes: a part is the notes of a track, channel and program.

    A note without length, as pads and drum machines write them, lasts `SHORTEST_NOTE`. docs/reference/data.md tells
    what is read of what is found in the wild.

    Args:
        longest_pedal: seconds by which the sustain pedal may lengthen a note beyond the release of its key; by default
            a note ends where it is written to end.

    Raises:
        Damaged: the file is missing, cannot be read, is not MIDI, or places notes beyond a day.
    """
    return messages_and_parts(path, longest_pedal)[1]


def messages_and_parts(path: str | Path, longest_pedal: float = 0.0) -> tuple[MidiFile, list[Part]]:
    """The messages of a MIDI file, and what `read_midi` makes of them; raises as that does."""
    try:
        if Path(path).stat().st_size > MAX_BYTES:
            raise ValueError("larger than any score")
        file = read_file(Path(path).read_bytes())
        parts = _parts(file, longest_pedal)
    except (OSError, ValueError) as fault:
        problem = f"not a readable MIDI file ({first_line(fault)})"
        raise Damaged(problem, file=path, remedy="replace or remove it") from fault
    if any(part.offset.max() > MAX_HOURS * 3600 for part in parts):
        problem = f"damaged: it places a note after {MAX_HOURS:.0f} hours"
        raise Damaged(problem, file=path, remedy="replace or remove it")
    return file, parts


def _parts(file: MidiFile, longest_pedal: float) -> list[Part]:
    """The parts of a file, by track, channel and program."""
    names = iter(decode_names([text for track in file.tracks for *_, text in track.names]))
    playing = [channels_of(track) for track in file.tracks]
    everyone, quiet = _messages(file.tracks, playing)
    tracks = list(zip(file.tracks, playing, strict=True))
    if sum(len(quiet[track.port, channel]) for track, channels in tracks for channel in channels) > MOST_MESSAGES:
        raise ValueError("more messages than any score has")
    parts = []
    for track, channels in tracks:
        texts = list(islice(names, len(track.names)))
        for channel in channels:
            events = on_channel([track], channel)
            heard = by_tick([quiet[track.port, channel], events])
            notes = notes_of(events, track.end)
            programs = programs_at(notes[:, 0], heard, everyone[track.port, channel], channel, file.gs)
            name = _name(track, texts, channel, len(channels) > 1)
            for program, is_drum in np.unique(programs, axis=0).tolist():
                chosen = notes[(programs == (program, is_drum)).all(axis=1)]
                kind = {"program": program, "is_drum": bool(is_drum), "name": name}
                parts.append(_part(file, chosen, heard, longest_pedal, kind))
    return parts


Messages = dict[tuple[int, int], np.ndarray]
"""Messages by port and channel."""


def _messages(tracks: Sequence[MidiTrack], playing: Sequence[Sequence[int]]) -> tuple[Messages, Messages]:
    """For each port and channel with notes, the messages of all tracks there, and of those that have no note on it."""
    everyone, quiet = {}, {}
    for port in {track.port for track in tracks}:
        on_port = [(track, plays) for track, plays in zip(tracks, playing, strict=True) if track.port == port]
        for channel in {channel for _, plays in on_port for channel in plays}:
            everyone[port, channel] = on_channel([track for track, _ in on_port], channel)
            quiet[port, channel] = on_channel([track for track, plays in on_port if channel not in plays], channel)
    return everyone, quiet


def _name(track: MidiTrack, texts: Sequence[str], channel: int, several: bool) -> str:
    """The name of a part: that of its channel, else of its track; '' if `several` parts share different names."""
    named = [
        (prefix if several else -1, kind, text)  # all names of a track that plays on one channel are of that
        for (kind, prefix, _), text in zip(track.names, texts, strict=True)
    ]
    for wanted in product((channel, -1), (NAME, INSTRUMENT)):
        if fitting := [text for *place, text in named if tuple(place) == wanted]:
            ambiguous = several and wanted[0] < 0 and len(set(fitting)) > 1
            return "" if ambiguous else fitting[-1]
    return ""


def _part(file: MidiFile, notes: np.ndarray, heard: np.ndarray, longest_pedal: float, kind: dict[str, object]) -> Part:
    onset, offset = _seconds(file, notes[:, 0]), _seconds(file, notes[:, 1])
    offset = onset + np.float32(offset - onset)
    if kind["is_drum"]:
        offset = np.where(notes[:, 4], offset, onset)  # of a stroke that is never released, only the onset is known
    elif longest_pedal:
        down, up = pedal_spans(heard, notes[:, 1].max())
        offset = pedalled(offset, _seconds(file, down), _seconds(file, up), longest_pedal)
    offset = np.where(offset > onset, offset, onset + SHORTEST_NOTE)
    order = np.lexsort((notes[:, 3], notes[:, 2], offset, onset))
    bend_tick, bend = bends_of(heard)
    return Part(
        onset=onset[order],
        offset=offset[order],
        pitch=notes[order, 2],
        velocity=notes[order, 3],
        bend_time=_seconds(file, bend_tick),
        bend=bend,
        **kind,  # type: ignore[arg-type]
    )


def _seconds(file: MidiFile, ticks: np.ndarray) -> np.ndarray:
    """Times of ticks, float64 rounded to float32: on this raster caches have always had their notes."""
    return file.seconds(ticks).astype(np.float32).astype(np.float64)


def sounding_notes(parts: Sequence[Part], tolerance: float) -> np.ndarray:
    """Union of parts as a note list: float32 (K, 4) of onset s, offset s, pitch, velocity, ordered by onset.

    The pitch is the nearest semitone at the onset, bend included; pitches outside the piano's range are dropped. Two
    parts that strike the same pitch within `tolerance` seconds give one note (one group sounds, not two players).
    """
    rows = key_strikes(parts)
    rows = rows[np.lexsort((rows[:, 3], rows[:, 1], rows[:, 0], rows[:, 2]))]
    head = first_strikes(rows[:, 0], rows[:, 2], tolerance)
    notes = rows[head]
    order = np.lexsort((notes[:, 3], notes[:, 2], notes[:, 1], notes[:, 0]))
    if len(notes):
        notes[:, 1], notes[:, 3] = np.maximum.reduceat(rows[:, 1], head), np.maximum.reduceat(rows[:, 3], head)
    table: np.ndarray = notes[order].astype(np.float32)
    return table


def key_strikes(parts: Sequence[Part]) -> np.ndarray:
    """All notes of parts whose nearest semitone at the onset is a key: float64 (K, 4) as in `sounding_notes`."""
    tables = [
        np.stack([part.onset, part.offset, np.rint(part.pitch + part.bend_at(part.onset)), part.velocity], axis=1)
        for part in parts
    ]
    rows = np.concatenate([np.zeros((0, 4)), *tables])
    return rows[(rows[:, 2] >= LOWEST_PITCH) & (rows[:, 2] < LOWEST_PITCH + PITCHES)]


def first_strikes(onset: np.ndarray, pitch: np.ndarray, tolerance: float) -> np.ndarray:
    """Which of K strikes, ordered by pitch and onset, begin a note of their own: indices, int64.

    A strike belongs to the note before it on its key if it comes within `tolerance` seconds of that note's onset.
    """
    heads: list[int] = []
    begun = (-np.inf, -np.inf)
    for n, (start, key) in enumerate(zip(onset.tolist(), pitch.tolist(), strict=True)):
        if key != begun[1] or start - begun[0] > tolerance:
            heads.append(n)
            begun = (start, key)
    return np.array(heads, dtype=np.int64)
