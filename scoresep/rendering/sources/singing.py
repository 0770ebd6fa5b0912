"""A recorded voice made to sing a melody, with the WORLD vocoder (Morise et al., IEICE Trans. E99-D, 2016).

A voice is analysed once into pitch, spectral envelope and aperiodicity. To sing, each note takes one syllable of it,
the consonant before the note and the vowel stretched to its length, at the pitch of the score.

Axes: T frames of `FRAME` seconds, F bins of the envelope.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import soxr

from scoresep.errors import Unavailable

FRAME = 0.005
"""Seconds from frame to frame of the vocoder."""
RATE = 44100
"""Hz; voices of any rate are analysed at this one."""
LOWEST_F0, HIGHEST_F0 = 60.0, 900.0
SHORTEST_VOWEL, LONGEST_VOWEL = 0.08, 0.3
"""Seconds of a voiced run that make a syllable; longer runs are cut at dips of energy."""
LONGEST_CONSONANT = 0.12
"""Seconds of what stands before a vowel."""
FULL_BAND = 12000.0
"""Hz; recordings whose band ends lower have their envelope continued above it."""
FALL = 9.0
"""dB an octave, of an envelope that is continued."""
CEPSTRUM = 60
"""Coefficients that an envelope is kept by."""
EMPTY = 1e-14
"""Power of the envelope where nothing sounds."""
REST = 12
"""Frames in which what was sung dies away. Longer rests are not synthesised: they take longer than notes."""


class Syllable(NamedTuple):
    """Frames of a voice: consonant from `start`, vowel from `vowel` to `end`."""

    start: int
    vowel: int
    end: int


@dataclass(frozen=True)
class Voice:
    """What the vocoder knows of a voice.

    Attributes:
        envelope: power spectrum of the vocal tract, float32 (T, F), F = n_fft / 2 + 1 at `RATE`.
        aperiodicity: share of noise, 0 to 1, float32 (T, F).
        syllables: in the order of the recording, one at least.
        median_f0: Hz, of the voiced frames.
    """

    envelope: np.ndarray
    aperiodicity: np.ndarray
    syllables: tuple[Syllable, ...]
    median_f0: float


@dataclass(frozen=True)
class Manner:
    """How a singer sings, the same for a whole part.

    Attributes:
        vibrato_rate: Hz.
        vibrato_depth: semitones, at its widest; it sets in after `vibrato_delay` seconds of a note.
        glide: seconds in which the pitch moves from a note to the one that follows without a rest.
        scoop: semitones that a note after a rest begins too low.
        breath: level of the breath before a phrase against the voice, dB; None: no breaths.
        tract: ratio by which formants move; above 1 is a smaller head.
    """

    vibrato_rate: float = 5.8
    vibrato_depth: float = 0.25
    vibrato_delay: float = 0.15
    glide: float = 0.06
    scoop: float = 0.6
    breath: float | None = -24.0
    tract: float = 1.0


def draw_manner(rng: np.random.Generator) -> Manner:
    """A singer's habits."""
    return Manner(
        vibrato_rate=float(rng.uniform(4.8, 6.6)),
        vibrato_depth=float(rng.choice([0.05, rng.uniform(0.1, 0.45)], p=[0.3, 0.7])),
        vibrato_delay=float(rng.uniform(0.1, 0.35)),
        glide=float(rng.uniform(0.03, 0.1)),
        scoop=float(rng.uniform(0.0, 1.0)),
        breath=float(rng.uniform(-32, -18)) if rng.random() < 0.7 else None,
        tract=float(np.exp(rng.normal(0.0, 0.05))),
    )


def analyse(samples: np.ndarray, rate: int) -> Voice | None:
    """The voice of a recording, float (L,); None if it has no syllable.

    Raises:
        Unavailable: pyworld is not installed.
    """
    world = _world()
    samples = np.asarray(samples, np.float64)
    f0, times = world.dio(samples, rate, LOWEST_F0, HIGHEST_F0, frame_period=1000 * FRAME)
    full = samples if rate == RATE else soxr.resample(samples, rate, RATE)
    f0 = world.stonemask(full, f0, times, RATE)
    n_fft = world.get_cheaptrick_fft_size(RATE, 71.0)
    envelope = world.cheaptrick(full, f0, times, RATE, fft_size=n_fft)
    aperiodicity = world.d4c(full, f0, times, RATE, fft_size=n_fft)
    syllables = find_syllables(f0, envelope.mean(axis=1))
    if not syllables:
        return None
    if rate / 2 < FULL_BAND:
        _continue_band(envelope, aperiodicity, rate / 2)
    median = float(np.median(f0[f0 > 0]))
    return Voice(envelope.astype(np.float32), aperiodicity.astype(np.float32), syllables, median)


def find_syllables(f0: np.ndarray, power: np.ndarray) -> tuple[Syllable, ...]:
    """Voiced runs with the unvoiced frames before them; long runs are cut where the power, (T,), is lowest."""
    shortest, longest, lead = (round(s / FRAME) for s in (SHORTEST_VOWEL, LONGEST_VOWEL, LONGEST_CONSONANT))
    voiced = np.concatenate([[False], f0 > 0, [False]])
    edges = np.flatnonzero(voiced[1:] != voiced[:-1])
    syllables, last = [], 0
    for first, end in edges.reshape(-1, 2).tolist():
        start = max(last, first - lead)
        while end - first > longest:
            inner = power[first + shortest : min(first + longest, end - shortest)]
            cut = first + shortest + int(np.argmin(inner))
            syllables.append(Syllable(start, first, cut))
            start = first = cut
        if end - first >= shortest:
            syllables.append(Syllable(start, first, end))
        last = end
    return tuple(syllables)


def syllable_pitch(samples: np.ndarray, rate: int) -> float:
    """Median pitch of what is voiced in a recording (L,), Hz; 0 if it has no syllable. Quicker than `analyse`."""
    f0, _ = _world().dio(np.asarray(samples, np.float64), rate, LOWEST_F0, HIGHEST_F0, frame_period=1000 * FRAME)
    return float(np.median(f0[f0 > 0])) if find_syllables(f0, np.ones(len(f0))) else 0.0


def to_arrays(voice: Voice) -> dict[str, np.ndarray]:
    """A voice in a fortieth of its room: cepstra of its envelope and bands of its aperiodicity."""
    envelope, aperiodicity = (np.ascontiguousarray(a, np.float64) for a in (voice.envelope, voice.aperiodicity))
    return {
        "envelope": _world().code_spectral_envelope(envelope, RATE, CEPSTRUM).astype(np.float32),
        "aperiodicity": _world().code_aperiodicity(aperiodicity, RATE).astype(np.float32),
        "syllables": np.array(voice.syllables),
        "median_f0": np.array(voice.median_f0),
        "n_fft": np.array(2 * (envelope.shape[1] - 1)),
    }


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Voice:
    """What `to_arrays` gave."""
    envelope, aperiodicity = (np.ascontiguousarray(arrays[n], np.float64) for n in ("envelope", "aperiodicity"))
    n_fft = int(arrays["n_fft"])
    return Voice(
        _world().decode_spectral_envelope(envelope, RATE, n_fft).astype(np.float32),
        _world().decode_aperiodicity(aperiodicity, RATE, n_fft).astype(np.float32),
        tuple(Syllable(*row) for row in arrays["syllables"].tolist()),
        float(arrays["median_f0"]),
    )


VOWELS = (
    (730, 1090, 2440),
    (530, 1840, 2480),
    (270, 2290, 3010),
    (570, 840, 2410),
    (300, 870, 2240),
    (660, 1720, 2410),
)
"""Hz, the first three formants of a, e, i, o, u, ae (Peterson and Barney, JASA 24, 1952)."""


def synthetic_voice(seed: int, median: int) -> Voice:
    """A voice of formants: vowels, each behind a burst of noise; `median` is the MIDI pitch that it speaks at."""
    rng = np.random.default_rng(seed)
    bins = 1025
    hertz = np.linspace(0, RATE / 2, bins)
    tract = 2 ** ((median - 45) / 80) * float(np.exp(rng.normal(0, 0.04)))
    consonant, vowel = round(0.07 / FRAME), round(0.3 / FRAME)
    envelopes, noises, syllables = [], [], []
    for number in range(12):
        formants = tract * np.array([*VOWELS[rng.integers(len(VOWELS))], 3500, 4500]) * np.exp(rng.normal(0, 0.03, 5))
        gains = np.array([1.0, 0.5, 0.25, 0.12, 0.08])
        widths = np.array([80, 100, 140, 250, 350]) * rng.uniform(0.8, 1.3)
        peaks = gains[:, None] / (1 + ((hertz - formants[:, None]) / widths[:, None]) ** 2)
        power = 0.02 * (peaks.sum(axis=0) + 1e-3) ** 2 / (1 + (hertz / 3000) ** 2)
        centre = float(rng.uniform(2000, 7000))
        burst = 2e-4 * np.exp(-(((hertz - centre) / 1500) ** 2)) + EMPTY
        voiced = np.clip((hertz / 9000) ** 2, 0.02, 0.9)
        envelopes += [np.tile(burst, (consonant, 1)), np.tile(power, (vowel, 1))]
        noises += [np.ones((consonant, bins)), np.tile(voiced, (vowel, 1))]
        start = number * (consonant + vowel)
        syllables.append(Syllable(start, start + consonant, start + consonant + vowel))
    envelope, aperiodicity = (np.concatenate(rows).astype(np.float32) for rows in (envelopes, noises))
    return Voice(envelope, aperiodicity, tuple(syllables), 440 * 2 ** ((median - 69) / 12))


def sing(
    voice: Voice,
    notes: np.ndarray,
    seconds: float,
    manner: Manner,
    rng: np.random.Generator,
    bend: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A melody sung, and the pitch that was meant.

    The sound is float32 (round(seconds * RATE),) with a peak of 0.8; the pitch is MIDI numbers (T,), 0 where none is.

    Args:
        notes: float (n, 4), rows of onset, offset (seconds), MIDI pitch and velocity (0-127), in order of onset. A note
            that is still held when the next begins ends there: a singer has one voice.
        bend: semitones (T,) by which the score bends the pitch.
    """
    frames = round(seconds / FRAME) + 1
    score = _Score(np.zeros(frames), np.zeros(frames), np.zeros(frames))
    first = int(rng.integers(len(voice.syllables)))
    end, previous = -len(score.gain), None
    ends = np.minimum(notes[:, 1], np.append(notes[1:, 0], np.inf))
    for number, (onset, _, pitch, velocity) in enumerate(notes.tolist()):
        begin, stop = round(onset / FRAME), min(round(ends[number] / FRAME), frames)
        if stop - begin < 4:
            continue
        syllable = voice.syllables[(first + number) % len(voice.syllables)]
        loud = (velocity / 127) ** 1.5
        _place_consonant(score, syllable, begin, max(end, 0), loud)
        if manner.breath is not None and begin - end > round(0.4 / FRAME):
            _place_breath(score, voice, begin - (syllable.vowel - syllable.start), manner.breath, rng)
        legato = previous if begin - end < round(0.1 / FRAME) else None
        _place_vowel(score, syllable, begin, stop, loud)
        score.pitch[begin:stop] = _pitch_curve(stop - begin, pitch, legato, manner, rng)
        previous, end = pitch, stop
    if bend is not None:
        score.pitch[score.pitch > 0] += bend[score.pitch > 0]
    return _synthesise(voice, score, manner.tract, round(seconds * RATE)), score.pitch


@dataclass
class _Score:
    """What to synthesise, frame by frame (T,): frame of the voice, gain, MIDI pitch (0: unvoiced)."""

    frame: np.ndarray
    gain: np.ndarray
    pitch: np.ndarray


def _place_consonant(score: _Score, syllable: Syllable, onset: int, free: int, loud: float) -> None:
    length = min(syllable.vowel - syllable.start, onset - free)
    if length > 0:
        score.frame[onset - length : onset] = np.arange(syllable.vowel - length, syllable.vowel)
        score.gain[onset - length : onset] = loud


def _place_breath(score: _Score, voice: Voice, end: int, level: float, rng: np.random.Generator) -> None:
    """The quietest consonant of the voice, swelling."""
    length = min(round(rng.uniform(0.15, 0.35) / FRAME), end)
    consonants = [s for s in voice.syllables if s.vowel - s.start > 4]
    if length < 10 or not consonants:
        return
    quiet = min(consonants, key=lambda s: voice.envelope[s.start : s.vowel].mean())
    swell = np.sin(np.linspace(0, np.pi, length)) ** 2 * 10 ** (level / 20)
    empty = score.gain[end - length : end] == 0
    score.frame[end - length : end][empty] = np.linspace(quiet.start, quiet.vowel - 1, length)[empty]
    score.gain[end - length : end][empty] = swell[empty]


def _place_vowel(score: _Score, syllable: Syllable, begin: int, stop: int, loud: float) -> None:
    """The edges of the vowel as they are, its middle stretched; it fades at its end."""
    length, vowel = stop - begin, syllable.end - syllable.vowel
    edge = min(8, vowel // 3, length // 3)
    middle = np.linspace(syllable.vowel + edge, syllable.end - edge - 1, length - 2 * edge)
    head, tail = syllable.vowel + np.arange(edge), syllable.end - edge + np.arange(edge)
    score.frame[begin:stop] = np.concatenate([head, middle, tail])
    score.gain[begin:stop] = loud
    fade = min(10, length // 4)
    score.gain[stop - fade : stop] *= np.linspace(1, 0, fade)


def _pitch_curve(
    length: int, pitch: float, legato: float | None, manner: Manner, rng: np.random.Generator
) -> np.ndarray:
    """MIDI pitch of a note, (length,): a glide from the note before or a scoop from below, then vibrato."""
    time = FRAME * np.arange(length)
    rise = np.clip(time / manner.glide, 0, 1)
    rise = rise * rise * (3 - 2 * rise)
    origin = pitch - manner.scoop if legato is None else legato
    swell = np.clip((time - manner.vibrato_delay) / 0.2, 0, 1)
    rate, depth = manner.vibrato_rate * rng.uniform(0.95, 1.05), manner.vibrato_depth * rng.uniform(0.6, 1.4)
    drift = 0.03 * np.sin(2 * np.pi * rng.uniform(0.3, 1.0) * time + rng.uniform(0, 2 * np.pi))
    vibrato = depth * swell * np.sin(2 * np.pi * rate * time)
    return np.asarray(origin + (pitch - origin) * rise + vibrato + drift)


def _synthesise(voice: Voice, score: _Score, tract: float, length: int) -> np.ndarray:
    sound = np.zeros(length)
    for begin, end in _stretches(score.gain):
        frame, gain, pitch = (values[begin:end] for values in (score.frame, score.gain, score.pitch))
        f0 = np.where(pitch > 0, 440 * 2 ** ((pitch - 69) / 12), 0.0)
        power, noise = (np.ascontiguousarray(table, np.float64) for table in _spectra(voice, frame, gain, tract))
        piece = _world().synthesize(f0, power, noise, RATE, 1000 * FRAME)
        start = round(begin * FRAME * RATE)
        piece = piece[: max(0, length - start)]
        sound[start : start + len(piece)] += piece
    peak = max(float(np.abs(sound).max(initial=0.0)), 1e-9)
    return np.asarray(0.8 * sound / peak, np.float32)


def _stretches(gain: np.ndarray) -> list[tuple[int, int]]:
    """First frame, a whole number of samples from the start, and end of what is sung without a long rest."""
    sounding = np.flatnonzero(gain)
    if not len(sounding):
        return []
    cuts = np.flatnonzero(np.diff(sounding) > 2 * REST)
    starts, ends = sounding[np.append(0, cuts + 1)], sounding[np.append(cuts, -1)]
    spans = np.stack([np.maximum(starts - 2, 0) // 2 * 2, np.minimum(ends + REST, len(gain))], axis=1)
    return [(begin, end) for begin, end in spans.tolist() if end - begin > 1]


def _spectra(voice: Voice, frame: np.ndarray, gain: np.ndarray, tract: float) -> tuple[np.ndarray, np.ndarray]:
    """Envelope and aperiodicity (T, F) of places between frames of a voice, with a gain for each (T,)."""
    low = np.clip(frame.astype(int), 0, len(voice.envelope) - 1)
    high = np.minimum(low + 1, len(voice.envelope) - 1)
    weight = (frame - np.floor(frame)).astype(np.float32)[:, None]
    power = np.exp((1 - weight) * np.log(voice.envelope[low] + EMPTY) + weight * np.log(voice.envelope[high] + EMPTY))
    noise = (1 - weight) * voice.aperiodicity[low] + weight * voice.aperiodicity[high]
    if tract != 1:
        bins = np.minimum(np.arange(power.shape[1]) / tract, power.shape[1] - 1)
        power, noise = (_at_bins(values, bins) for values in (power, noise))
    return power * np.square(gain)[:, None] + EMPTY, np.clip(noise, 1e-4, 1)


def _at_bins(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    low = bins.astype(int)
    high, weight = np.minimum(low + 1, values.shape[1] - 1), (bins - low).astype(np.float32)
    return np.asarray((1 - weight) * np.take(values, low, axis=1) + weight * np.take(values, high, axis=1))


def _continue_band(envelope: np.ndarray, aperiodicity: np.ndarray, band: float) -> None:
    """Continue what ends at `band` Hz, in place: the level below it falls by `FALL`, and sounds as noise."""
    hertz = np.arange(envelope.shape[1]) * RATE / (2 * (envelope.shape[1] - 1))
    edge = int(np.argmax(hertz >= 0.87 * band))
    level = np.exp(np.log(envelope[:, (hertz > 0.62 * band) & (hertz < 0.87 * band)] + EMPTY).mean(axis=1))
    above = np.arange(len(hertz)) >= edge
    envelope[:, above] = level[:, None] * 10 ** (-FALL / 10 * np.log2(hertz[above] / hertz[edge]))
    aperiodicity[:, above] = np.maximum(aperiodicity[:, edge - 1 : edge], 0.85)


def check_vocoder() -> None:
    """See that voices can be made to sing, before any work.

    Raises:
        Unavailable: pyworld is not installed.
    """
    _world()


def _world() -> Any:
    try:
        with warnings.catch_warnings():  # of pkg_resources, which it imports
            warnings.simplefilter("ignore")
            import pyworld
    except ImportError as fault:
        raise Unavailable("voices need pyworld", remedy="install it with: pip install 'scoresep[voices]'") from fault
    return pyworld
