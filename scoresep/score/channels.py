"""What the messages of a MIDI channel mean: notes, programs, drums, bends, the pedal.

A track is what one player does. Other tracks speak for it where they only set its channel up (they have no note on it);
their programs also where a note has none of its own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
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
    notes: list[list[int]] = []
    held: dict[int, deque[list[int]]] = defaultdict(deque)
    strikes: dict[int, list[int]] = defaultdict(list)
    last_release: dict[int, int] = {}
    for tick, status, pitch, velocity in events[is_note(events)].tolist():
        if status & 0xF0 == NOTE_ON and velocity:
            notes.append([tick, -1, pitch, velocity, 0])
            held[pitch].append(notes[-1])
            strikes[pitch].append(tick)
        else:
            last_release[pitch] = tick
            if held[pitch]:
                note = held[pitch].popleft()
                note[1], note[4] = tick, 1
    silenced = events[(events[:, 1] & 0xF0 == CONTROL) & np.isin(events[:, 2], SILENCING), 0]
    ends = [*silenced.tolist(), end]
    for note in (note for queue in held.values() for note in queue):
        onset, _, pitch, *_ = note
        following, silence = bisect_right(strikes[pitch], onset), bisect_left(ends, onset)
        if following < len(strikes[pitch]):
            note[1] = strikes[pitch][following]
        elif last_release.get(pitch, -1) >= onset:
            note[1] = last_release[pitch]
        else:
            note[1] = ends[silence] if silence < len(ends) else onset
    return np.array(notes, dtype=np.int64).reshape(-1, 5)


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
