"""What the messages of a MIDI channel mean: notes, programs, drums, bends, the pedal.

A track is what one player does. Other tracks speak for it where they only set its channel up (they have no note on it);
their programs also where a note has none of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scoresep.score.midi import BEND, CONTROL, DRUM_PART, NOTE_OFF, NOTE_ON, PROGRAM, MidiTrack

DEFAULT_BEND_RANGE = 2.0
"""Semitones of a full pitch bend until a file says otherwise (General MIDI)."""
DRUM_CHANNEL = 9
SUSTAIN = 64
"""Controller of the sustain pedal."""
DRUM_BANKS = frozenset({120, 126, 127})
"""Banks (controller 0) of drums: 120 in General MIDI 2, 126 and 127 in Yamaha XG."""
MELODIC_BANKS = frozenset({121})
"""Banks without drums, even on the drum channel (General MIDI 2)."""
GS_DRUM_BANKS = frozenset({120})
"""In Roland GS 126 and 127 are banks of the MT-32's sounds."""
BANK, DATA, RESET = 0, 6, 121
SILENCING = (120, 123, 124, 125, 126, 127)
"""Controllers that end all notes."""
_PARAMETER = {101: 0, 100: 1}
_NO_PARAMETER = [127, 127]
_BENDING = (DATA, 38, 96, 97, 98, 99, 100, 101, RESET)
"""Controllers that `bends_of` follows."""


def notes_of(events: np.ndarray, end: int) -> np.ndarray:
    """Notes of one channel's messages: int64 (K, 5) of onset and offset (ticks), pitch, velocity, 1 if released.

    Of notes of one pitch that overlap, the first struck ends first. A note that is never released ends where its key is
    struck again, or else with the last release of its key, or else when all notes are told to end, or at `end`.
    """
    silenced = events[(events[:, 1] & 0xF0 == CONTROL) & np.isin(events[:, 2], SILENCING), 0]
    events = events[is_note(events)]
    strike = (events[:, 1] & 0xF0 == NOTE_ON) & (events[:, 3] > 0)
    release = releases_of(events[:, 2], strike)[strike]
    onset, _, pitch, velocity = events[strike].T
    offset = np.where(release >= 0, np.append(events[:, 0], 0)[release], -1)
    last = np.full(128, -1)
    np.maximum.at(last, events[~strike, 2], events[~strike, 0])
    return _ended(np.column_stack([onset, offset, pitch, velocity, release >= 0]), last, np.append(silenced, end))


def releases_of(pitch: np.ndarray, strike: np.ndarray) -> np.ndarray:
    """Which message ends each strike: its index, int64 (E,), or -1; the first release of a key ends its first strike.

    A release of a key that is not held ends nothing: it makes the number of keys held, counted from the first message
    of its pitch on, lower than it has ever been.
    """
    ending = np.full(len(pitch), -1)
    if not len(pitch):
        return ending
    order = np.argsort(pitch, kind="stable")
    step = np.where(strike, 1, -1)[order]
    first = np.flatnonzero(np.diff(pitch[order], prepend=-1))
    group = np.repeat(np.arange(len(first)), np.diff(first, append=len(pitch)))
    held = np.cumsum(step) - (np.cumsum(step) - step)[first][group]
    fence = group * (len(pitch) + 1)  # each group begins below all of the one before
    lowest = np.minimum.accumulate(np.minimum(held, 0) - fence) + fence
    before = np.where(np.isin(np.arange(len(pitch)), first), 0, np.append(0, lowest[:-1]))
    strikes, releases = np.flatnonzero(step > 0), np.flatnonzero((step < 0) & (lowest == before))
    begin = np.searchsorted(strikes, first)[group[releases]]
    rank = np.arange(len(releases)) - np.searchsorted(releases, first)[group[releases]]
    ending[order[strikes[begin + rank]]] = order[releases]
    return ending


def _ended(notes: np.ndarray, last: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The notes with an end for those that have none; `last` is the last release of each key, `ends` ends all."""
    onset, offset, pitch = notes[:, 0], notes[:, 1], notes[:, 2]
    if (offset >= 0).all():
        return notes
    key = pitch * (onset.max() + 1) + onset
    order = np.argsort(key, kind="stable")
    following = order[np.minimum(np.searchsorted(key[order], key, side="right"), len(key) - 1)]
    again = (pitch[following] == pitch) & (onset[following] > onset)
    silence = np.append(ends, onset.max())[np.minimum(np.searchsorted(ends, onset), len(ends))]
    end = np.where(again, onset[following], np.where(last[pitch] >= onset, last[pitch], np.maximum(silence, onset)))
    return np.column_stack([onset, np.where(offset < 0, end, offset), notes[:, 2:]])


def is_note(events: np.ndarray) -> np.ndarray:
    """Which messages strike or release a key: bool (E,)."""
    return np.isin(events[:, 1] & 0xF0, (NOTE_OFF, NOTE_ON))


def on_channel(tracks: Sequence[MidiTrack], channel: int) -> np.ndarray:
    """The messages of some tracks on a channel, by tick: int64 (E, 4) of `midi.MidiTrack.events`."""
    return by_tick([track.events[track.events[:, 1] & 15 == channel] for track in tracks])


def by_tick(events: Sequence[np.ndarray]) -> np.ndarray:
    """Messages of several sources, by tick; at one tick the last source has the last word."""
    merged = np.concatenate([np.zeros((0, 4), dtype=np.int64), *events])
    return merged[np.argsort(merged[:, 0], kind="stable")]


def programs_at(ticks: np.ndarray, events: np.ndarray, fallback: np.ndarray, channel: int, gs: bool) -> np.ndarray:
    """Program and whether it is one of drums at some ticks: int64 (K, 2).

    Args:
        events: messages that count.
        fallback: messages that count where `events` has chosen no program yet.
    """
    chosen, other = _programs(events, channel, gs), _programs(fallback, channel, gs)
    latest = np.searchsorted(chosen[:, 0], ticks, side="right") - 1
    instead = np.searchsorted(other[:, 0], ticks, side="right") - 1
    return np.where((latest > 0)[:, None], chosen[latest, 1:], other[instead, 1:])


def _programs(events: np.ndarray, channel: int, gs: bool) -> np.ndarray:
    """Rows of tick, program and 1 for drums; the first, of before all ticks, is what a player begins with."""
    program, bank, part = 0, 0, int(channel == DRUM_CHANNEL)
    drums = part
    rows = [(-1, program, drums)]
    drum_banks = GS_DRUM_BANKS if gs else DRUM_BANKS
    kinds = events[:, 1] & 0xF0
    counts = np.isin(kinds, (PROGRAM, DRUM_PART)) | (kinds == CONTROL) & (events[:, 2] == BANK)
    for tick, status, first, second in events[counts].tolist():
        kind = status & 0xF0
        if kind == CONTROL:
            bank = second
        elif kind == PROGRAM:
            program, drums = first, 1 if bank in drum_banks else 0 if bank in MELODIC_BANKS else part
            rows.append((tick, program, drums))
        elif kind == DRUM_PART:
            part = drums = first
            rows.append((tick, program, drums))
    return np.array(rows)


def bends_of(events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ticks, int64 (J,), and semitones, float64 (J,), of the bends of one channel's messages.

    The range is registered parameter 0 (controllers 101 and 100 choose it, 6 sets semitones, 38 cents, 96 and 97 step
    cents, RP-018) and may change; "reset all controllers" ends a bend (RP-015).
    """
    selected, semitones, cents, wheel = _NO_PARAMETER.copy(), DEFAULT_BEND_RANGE, 0.0, 0
    ticks, bends = [], []
    kinds = events[:, 1] & 0xF0
    counts = (kinds == BEND) | (kinds == CONTROL) & np.isin(events[:, 2], _BENDING)
    for tick, status, first, second in events[counts].tolist():
        kind, before = status & 0xF0, (semitones, cents)
        if kind == BEND:
            wheel = (second << 7 | first) - 8192
        elif first in _PARAMETER:
            selected[_PARAMETER[first]] = second
        elif first in (98, 99):
            selected = _NO_PARAMETER.copy()
        elif selected == [0, 0] and first in (DATA, 38, 96, 97):
            semitones, cents = _stepped(semitones, cents, first, second)
        if kind == CONTROL and first == RESET:
            selected, bent, wheel = _NO_PARAMETER.copy(), wheel != 0, 0
        else:
            bent = kind == BEND or (wheel != 0 and before != (semitones, cents))
        if bent:
            ticks.append(tick)
            bends.append((semitones + cents / 100.0) * wheel / 8192.0)
    return np.array(ticks, dtype=np.int64), np.array(bends, dtype=np.float64)


def _stepped(semitones: float, cents: float, control: int, value: int) -> tuple[float, float]:
    """The bend range after a message of data."""
    if control in (DATA, 38):
        return (float(value), cents) if control == DATA else (semitones, float(value))
    whole = 100 * semitones + cents + (1 if control == 96 else -1)
    return divmod(max(whole, 0.0), 100.0)


def pedal_spans(events: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """When the sustain pedal goes down and up: int64 (S,) ticks each; one that stays down comes up at `end`."""
    chosen = (events[:, 1] & 0xF0 == CONTROL) & np.isin(events[:, 2], (SUSTAIN, RESET))
    time, down = events[chosen, 0], (events[chosen, 2] == SUSTAIN) & (events[chosen, 3] >= 64)
    turns = np.flatnonzero(np.diff(np.append(False, down)))  # down, up, down, ... as nothing repeats
    moments = time[turns]
    return moments[::2], np.append(moments[1::2], [end] * (len(moments) % 2))


def pedalled(offset: np.ndarray, down: np.ndarray, up: np.ndarray, longest: float) -> np.ndarray:
    """Offsets of notes whose keys come up at `offset` (K,): those that do so under the pedal last until it comes up."""
    span = np.searchsorted(down, offset, side="right") - 1
    held = (span >= 0) & (offset < np.append(up, -np.inf)[span])
    return np.where(held, np.minimum(np.append(up, 0.0)[span], offset + longest), offset)
