"""Parts as a standard MIDI file; `parts.read_midi` reads it back."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import mido
import numpy as np

from scoresep.score.channels import DEFAULT_BEND_RANGE, DRUM_CHANNEL
from scoresep.score.parts import Part

TICKS_PER_BEAT = 960
_SET_UP, _NOTE_OFF, _BEND, _NOTE_ON = range(4)
"""Order of events at one tick."""


def midi_bytes(
    parts: Sequence[Part], seconds: float, tempo: float = 120.0, controls: Sequence[tuple[int, int]] = ()
) -> bytes:
    """A type 1 MIDI file of `parts`, one track each, named in UTF-8. Drums go to channel 10.

    Args:
        seconds: length of the file, at which its tracks end.
        tempo: beats a minute; a tick is a 960th of a beat.
        controls: (controller, value) pairs set at time 0 on every track.
    """
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT, charset="utf-8")
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo), time=0)]))
    ticks_per_second = 1e6 * TICKS_PER_BEAT / mido.bpm2tempo(tempo)
    channels = [channel for channel in range(16) if channel != DRUM_CHANNEL]
    for number, part in enumerate(parts):
        channel = DRUM_CHANNEL if part.is_drum else channels[number % len(channels)]
        file.tracks.append(_track(part, channel, controls, seconds, ticks_per_second))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def _track(
    part: Part, channel: int, controls: Sequence[tuple[int, int]], seconds: float, ticks_per_second: float
) -> mido.MidiTrack:
    def tick(time: float) -> int:
        return max(0, round(time * ticks_per_second))

    full = max(DEFAULT_BEND_RANGE, math.ceil(np.abs(part.bend).max(initial=0.0)))
    events = [(0, _SET_UP, message) for message in _set_up(part, channel, controls, full)]
    for onset, offset, pitch, velocity in zip(part.onset, part.offset, part.pitch, part.velocity, strict=True):
        on = tick(onset)
        start = mido.Message("note_on", channel=channel, note=int(pitch), velocity=int(velocity))
        stop = mido.Message("note_off", channel=channel, note=int(pitch), velocity=0)
        events += [(on, _NOTE_ON, start), (max(tick(offset), on + 1), _NOTE_OFF, stop)]
    for time, semitones in zip(part.bend_time, part.bend, strict=True):
        value = int(np.clip(round(8192 * semitones / full), -8192, 8191))
        events.append((tick(time), _BEND, mido.Message("pitchwheel", channel=channel, pitch=value)))
    events.sort(key=lambda event: event[:2])
    name = part.name.encode("utf-8", "replace").decode()  # no halves of a letter
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name, time=0)])
    now = 0
    for time, _, message in events:
        message.time, now = time - now, time
        track.append(message)
    track.append(mido.MetaMessage("end_of_track", time=max(0, tick(seconds) - now)))
    return track


def _set_up(part: Part, channel: int, controls: Sequence[tuple[int, int]], full: float) -> list[mido.Message]:
    """Program, controllers and, where bends exceed the default of two semitones, the bend range (an RPN)."""
    pairs = list(controls)
    if full > DEFAULT_BEND_RANGE:
        pairs += [(101, 0), (100, 0), (6, int(full)), (38, 0)]
    program = mido.Message("program_change", channel=channel, program=part.program)
    return [program] + [mido.Message("control_change", channel=channel, control=c, value=v) for c, v in pairs]
