"""Does a sound play what is written? A few notes of each are heard before a corpus uses it.

Sounds that are silent in their register, off their pitch or late would make wrong labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scoresep.errors import ScoresepError
from scoresep.rendering.song import Song
from scoresep.rendering.sources import SOURCES
from scoresep.rendering.sources.base import Patch
from scoresep.score.parts import part_from_notes

PROBES = {"piano": range(38, 88, 4), "guitar": range(41, 76, 4), "bass": range(29, 55, 4)}
OTHER_PROBES = range(50, 75, 4)
"""Keys that are heard, by group: its usual register."""
PROBE_SECONDS = 0.6
HELD = 0.7
"""Share of `PROBE_SECONDS` for which a probe is held."""
PROBE_RATE = 16000
INAUDIBLE = 0.01
"""A note below this share of the loudest (-40 dB) is taken as silent."""
_MISSING = 0.06
"""A partial below this share of the strongest is taken as missing (-24 dB)."""
_FEWEST_PROBES = 4
_KIT = range(27, 88)
_LATEST = 0.06
"""Seconds until a sound must be heard."""
_SUSTAIN_SECONDS = 2.5
_SUSTAIN_FLOOR = 10 ** (-30 / 20)
_LOWEST_HZ, _PERIODIC = 25.0, 0.2
_UNSUITED = {47: "timpani do not sustain a chord", 55: "an orchestra hit is no pitch"}


def probe_keys(patch: Patch) -> list[int]:
    """The keys to be heard: every fourth of the group's register, or of its own where it lacks that; all of a kit."""
    if patch.is_drum:
        return sorted(patch.keys.intersection(_KIT))
    usual = [key for key in PROBES.get(patch.group, OTHER_PROBES) if key in patch.keys]
    return usual if len(usual) >= _FEWEST_PROBES else sorted(patch.keys)[::4]


def preset_fault(patch: Patch, group: str) -> str | None:
    """Why a SoundFont's preset is of no use in `group`, heard on a few notes of its register; None if it is fit.

    A drum kit always is. Less strict than `probe_patch`: late onsets and small detunings pass.
    """
    if patch.is_drum or patch.program in _UNSUITED:
        return None if patch.is_drum else _UNSUITED[patch.program]
    pitches = PROBES.get(group, OTHER_PROBES)
    clips = play_keys(patch, pitches)
    loudest = np.abs(clips).max(axis=1)
    if loudest.min() < INAUDIBLE * max(loudest.max(), 1e-6):
        return f"silent at pitch {pitches[int(loudest.argmin())]}"
    octave_off = [sounds_above(clip, pitch) for clip, pitch in zip(clips, pitches, strict=True)]
    return "sounds above its written pitch" if sum(octave_off) > len(pitches) / 2 else None


def probe_patch(patch: Patch) -> Patch | str:
    """The patch with the keys that sound and its `sustain`, or why it does not play its notes."""
    keys = probe_keys(patch)
    if not keys:
        return "none of its keys is one of a drum kit" if patch.is_drum else "it has no keys"
    try:
        clips = play_keys(patch, keys)
        loudest = np.abs(clips).max(axis=1)
        mute = loudest < INAUDIBLE * max(loudest.max(), 1e-4)
        if patch.is_drum:
            kept = frozenset(key for key, silent in zip(keys, mute, strict=True) if not silent)
            return replace(patch, keys=kept) if kept else "silent"
        if mute.any():
            return f"silent at pitch {keys[int(mute.argmax())]}"
        return _fault(clips, keys) or replace(patch, sustain=_sustain(patch, keys[len(keys) // 2]))
    except ScoresepError as fault:
        return str(fault)


def play_keys(patch: Patch, keys: Sequence[int], seconds: float = PROBE_SECONDS) -> np.ndarray:
    """Each key alone, held for `HELD` of `seconds`: float32 (keys, samples) at `PROBE_RATE`, as long as it is held."""
    notes = [(n * seconds, (n + HELD) * seconds, key, 100) for n, key in enumerate(keys)]
    part = part_from_notes(notes, program=patch.program, is_drum=patch.is_drum)
    sound = SOURCES[patch.source].play(patch, Song((), len(keys) * seconds), part, PROBE_RATE, 0)
    return sound.reshape(len(keys), -1)[:, : int(HELD * seconds * PROBE_RATE)]


def _fault(clips: np.ndarray, keys: Sequence[int]) -> str | None:
    """Late, or off by the same number of semitones on more than half of the notes. Single notes can mislead."""
    late = float(np.median([np.argmax(np.abs(clip) > INAUDIBLE * np.abs(clip).max()) for clip in clips])) / PROBE_RATE
    if late > _LATEST:
        return f"starts {1000 * late:.0f} ms late"
    off = np.array([semitones_off(clip, key) for clip, key in zip(clips, keys, strict=True)])
    middle = round(float(np.median(off)))
    if middle in (12, 24) and np.mean([sounds_above(*probe) for probe in zip(clips, keys, strict=True)]) < 0.5:
        return None  # an organ's registration, say, louder in its second partial
    if middle and np.mean(np.abs(off - middle) < 0.5) > 0.5:
        return f"sounds {abs(middle)} semitones {'above' if middle > 0 else 'below'} its written pitch"
    return None


def sounds_above(clip: np.ndarray, pitch: int) -> bool:
    """Whether the written fundamental is missing and so is the third or the second partial: one or two octaves high."""
    spectrum = np.abs(np.fft.rfft(clip * np.hanning(len(clip)), 4 * len(clip)))
    bins_per_hz = 4 * len(clip) / PROBE_RATE
    fundamental = 440.0 * 2 ** ((pitch - 69) / 12)

    def partial(number: int) -> float:
        centre = number * fundamental * bins_per_hz
        half = 0.25 * fundamental * bins_per_hz
        return float(spectrum[int(centre - half) : int(centre + half) + 1].max(initial=0.0))

    first, second, third, fourth = (partial(number) for number in (1, 2, 3, 4))
    return max(first, min(second, third)) < _MISSING * max(second, fourth)


def semitones_off(clip: np.ndarray, pitch: int) -> float:
    """How far the pitch heard in `clip` (L,) at `PROBE_RATE` lies above the MIDI number `pitch`; 0 where there is none.

    The first deep dip of the cumulative mean normalised difference (YIN, de Cheveigné and Kawahara 2002).
    """
    longest = int(PROBE_RATE / _LOWEST_HZ)
    clip = clip[len(clip) // 5 :].astype(np.float64)
    window = len(clip) - longest
    size = 2 * len(clip)
    product = np.fft.irfft(np.fft.rfft(clip, size) * np.conj(np.fft.rfft(clip[:window], size)), size)[: longest + 1]
    energy = np.concatenate([[0.0], np.cumsum(np.square(clip))])
    lags = np.arange(longest + 1)
    difference = energy[window] + energy[lags + window] - energy[lags] - 2 * product
    normalised = difference[1:] * lags[1:] / np.maximum(np.cumsum(difference[1:]), 1e-12)
    deep = np.flatnonzero(normalised[4:] < max(_PERIODIC, 1.5 * float(normalised[4:].min()))) + 4
    if normalised[4:].min() > 0.5 or not len(deep):
        return 0.0
    dip = int(deep[0])
    while dip + 1 < len(normalised) and normalised[dip + 1] < normalised[dip]:
        dip += 1
    return 12 * float(np.log2(PROBE_RATE / (dip + 1 + _vertex(normalised, dip)) / 440)) + 69 - pitch


def _vertex(values: np.ndarray, n: int) -> float:
    """Where the parabola through a minimum and its neighbours is lowest, relative to it."""
    if not 0 < n < len(values) - 1:
        return 0.0
    before, at, after = values[n - 1 : n + 2]
    return float(0.5 * (before - after) / max(before - 2 * at + after, 1e-12))


def _sustain(patch: Patch, key: int) -> float:
    """Seconds until a held note is 30 dB below its loudest, `HELD` * 2.5 at most."""
    (clip,) = play_keys(patch, [key], _SUSTAIN_SECONDS)
    frame = PROBE_RATE // 20
    level = np.sqrt(np.square(clip[: len(clip) // frame * frame]).reshape(-1, frame).mean(axis=1))
    above = np.flatnonzero(level > _SUSTAIN_FLOOR * level.max())
    return float((above[-1] + 1) / 20) if above[-1] < len(level) - 1 else float("inf")
