"""A piece of music before it has a sound: its parts, their MIDI bytes and their fingerprint.

Parts are `scoresep.score.parts.Part`, so what is written here is read back by the same type.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import mido
import numpy as np

from scoresep.instruments import INSTRUMENTS, group_of
from scoresep.rendering.left_out import Row
from scoresep.score.channels import DEFAULT_BEND_RANGE, DRUM_CHANNEL
from scoresep.score.parts import SHORTEST_NOTE, Part, first_strikes

TICKS_PER_BEAT = 960


@dataclass(frozen=True)
class Song:
    """Parts of one piece.

    Attributes:
        parts: what each instrument plays; offsets lie within `seconds`.
        seconds: length of the piece.
        tempo: beats a minute of the MIDI files' grid.
        uuid: md5 of the composition (32 hex digits), equal for equal music whatever it is played on.
        source: where it comes from, like a path (Slakh's `lmd_midi_dir`).
        style: what the composer drew (key, mode, metre, patterns), for statistics.
        left_out: what the source has and `parts` have not.
    """

    parts: tuple[Part, ...]
    seconds: float
    tempo: float = 120.0
    uuid: str = ""
    source: str = ""
    style: dict[str, object] = field(default_factory=dict)
    left_out: tuple[Row, ...] = ()


def fingerprint(parts: Sequence[Part]) -> str:
    """md5 of all notes of all parts (onset and offset in whole ms, pitch, drum or not); programs do not count."""
    rows = sorted(
        (round(1000 * onset), round(1000 * offset), int(pitch), part.is_drum)
        for part in parts
        for onset, offset, pitch in zip(part.onset, part.offset, part.pitch, strict=True)
    )
    return hashlib.md5(repr(rows).encode(), usedforsecurity=False).hexdigest()


def tidied(part: Part, seconds: float) -> Part:
    """Make a part that MIDI can hold: notes inside [0, seconds], none overlapping another of its own pitch.

    A MIDI note-off names only a pitch, so of two overlapping notes of one pitch the first ends where the second starts.
    Every note lasts `SHORTEST_NOTE` or more. What cannot is left out: notes of which less lies inside, and those whose
    pitch is struck again sooner.
    """
    onset, offset = np.maximum(part.onset, 0.0), np.minimum(part.offset, seconds)
    begun = (part.onset >= 0) | (offset >= SHORTEST_NOTE)
    inside = np.flatnonzero(begun & (seconds - onset >= SHORTEST_NOTE) & (offset > 0))
    order = inside[np.lexsort((offset[inside], onset[inside], part.pitch[inside]))]
    onset, offset, pitch, velocity = onset[order], offset[order], part.pitch[order], part.velocity[order]
    same = pitch[1:] == pitch[:-1]
    offset[:-1][same] = np.minimum(offset[:-1], onset[1:])[same]
    last = _last_strikes(onset, pitch)
    onset, offset, pitch, velocity = onset[last], offset[last], pitch[last], velocity[last]
    offset = np.where(offset - onset < SHORTEST_NOTE, onset + SHORTEST_NOTE, offset)
    order = np.lexsort((pitch, onset))
    return replace(
        part,
        onset=onset[order],
        offset=offset[order],
        pitch=np.clip(pitch[order], 0, 127),
        velocity=np.clip(velocity[order], 1, 127),
    )


def _last_strikes(onset: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Of strikes ordered by pitch and onset, the last ones of those that follow each other too fast: indices."""
    heads = first_strikes(-onset[::-1], pitch[::-1], np.nextafter(SHORTEST_NOTE, 0))
    return len(onset) - 1 - heads[::-1]


def midi_bytes(song: Song, parts: Sequence[Part], controls: Sequence[tuple[int, int]] = ()) -> bytes:
    """A type 1 MIDI file of `parts` on the song's grid, one track each, named in UTF-8, as long as the song.

    Drums go to channel 10. `controls` are (controller, value) pairs set at time 0 on every track.
    """
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT, charset="utf-8")
    conductor = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(song.tempo), time=0)])
    file.tracks.append(conductor)
    ticks_per_second = 1e6 * TICKS_PER_BEAT / mido.bpm2tempo(song.tempo)
    channels = [channel for channel in range(16) if channel != DRUM_CHANNEL]
    for number, part in enumerate(parts):
        channel = DRUM_CHANNEL if part.is_drum else channels[number % len(channels)]
        file.tracks.append(_track(part, channel, controls, song.seconds, ticks_per_second))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def _track(
    part: Part, channel: int, controls: Sequence[tuple[int, int]], seconds: float, ticks_per_second: float
) -> mido.MidiTrack:
    """One part as a track. Order at one tick: set-up, note-offs, bends, note-ons."""

    def tick(time: float) -> int:
        return max(0, round(time * ticks_per_second))

    events: list[tuple[int, int, mido.Message]] = []
    full = max(DEFAULT_BEND_RANGE, math.ceil(np.abs(part.bend).max(initial=0.0)))
    for message in _set_up(part, channel, controls, full):
        events.append((0, 0, message))
    for onset, offset, pitch, velocity in zip(part.onset, part.offset, part.pitch, part.velocity, strict=True):
        on = tick(onset)
        start = mido.Message("note_on", channel=channel, note=int(pitch), velocity=int(velocity))
        stop = mido.Message("note_off", channel=channel, note=int(pitch), velocity=0)
        events += [(on, 3, start), (max(tick(offset), on + 1), 1, stop)]
    for time, semitones in zip(part.bend_time, part.bend, strict=True):
        value = int(np.clip(round(8192 * semitones / full), -8192, 8191))
        events.append((tick(time), 2, mido.Message("pitchwheel", channel=channel, pitch=value)))
    events.sort(key=lambda event: event[:2])
    name = part.name.encode("utf-8", "replace").decode()  # no halves of a letter
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name, time=0)])
    now = 0
    for time, _, message in events:
        track.append(message.copy(time=time - now))
        now = time
    track.append(mido.MetaMessage("end_of_track", time=max(0, tick(seconds) - now)))
    return track


def _set_up(part: Part, channel: int, controls: Sequence[tuple[int, int]], full: float) -> list[mido.Message]:
    """Program, controllers and, where bends exceed the default of two semitones, the bend range (an RPN)."""
    pairs = list(controls)
    if full > DEFAULT_BEND_RANGE:
        pairs += [(101, 0), (100, 0), (6, int(full)), (38, 0)]
    program = mido.Message("program_change", channel=channel, program=part.program)
    return [program] + [mido.Message("control_change", channel=channel, control=c, value=v) for c, v in pairs]


def group_name(part: Part) -> str | None:
    """Name of the group a part belongs to; None for programs outside all groups (effects, ethnic instruments)."""
    table = tuple(INSTRUMENTS.values())
    index = group_of(part.program, part.is_drum, table)
    return None if index is None else table[index].name
