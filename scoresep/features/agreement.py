"""Score check: does a stem sound as its own score says? Called once per stem by cache preparation.

Compared are the written onsets with the rises of the stem's energy (time), the written notes with its energy (missing
audio), and a template of the partials that should sound with the spectra of up to `FRAMES` notes (pitch). A stem is
sampled, never transformed as a whole: the check costs a fraction of decoding. docs/score-check.md gives the reason of
every threshold and what the check finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numba
import numpy as np

from scoresep.features.score import Part, part_from_notes

KINDS = ("silent", "offset", "missing audio", "noise", "octave", "pitch", "bends", "foreign")
"""What a finding can be: no sound at all; early or late; notes that do not sound; noise over or instead of the notes;
octaves off; another interval off; pitch bends that are not heard; sounds that have nothing to do with the score."""

ENVELOPE_RATE = 100
"""Steps a second of the energy envelopes, nearly: a step is a whole number of samples."""
SILENCE = 1e-10
"""Mean square of 10 ms (full scale 1): a stem that nowhere exceeds it, -100 dBFS, is silent."""
MISSING_DB, MISSING_SHARE, FEWEST_NOTES = -55.0, 0.1, 8
"""Level, below the stem's loud moments, at which a note does not sound; share and number of such notes to report."""
QUIET = 0.3
"""Notes struck softer than this share of the median velocity may stay unheard: no evidence."""

LONGEST_LAG = 15.0
"""Seconds by which a stem may be early or late and still be recognised."""
EARLIEST, LATEST = -0.02, 0.06
"""Seconds around a written onset in which a sound is in time: sounds are slow to speak rather than early."""
RISE_DB, FLOOR_DB = 6.0, -50.0
"""Rise within three steps that is a certain onset; level, below the stem's loud moments, under which nothing counts."""
FEWEST_ONSETS, MOST_ONSETS = 12, 1500
CANDIDATES, NEAR = 4, 0.12
"""Lags that are tried; seconds within which two of them are one."""
GAIN, GAIN_OF_FEW = 0.2, 1.0
"""An offset must fit better than the written time by GAIN + GAIN_OF_FEW / sqrt(number of onsets)."""
MOST_HIT, FEWEST_HIT, STANDS_OUT, FEWEST_ALIKE = 0.7, 0.4, 0.1, 0.4
"""Of the onsets MOST_HIT must sound there, or FEWEST_HIT and STANDS_OUT more than at any other candidate: where attacks
are slow, chance gives several such lags. `Fit.sounds` must be FEWEST_ALIKE."""
SLOW, SHARP = 0.2, 0.75
"""A lag up to SLOW seconds is a slow attack unless this share of the rise in level comes within 30 ms."""

FRAMES, FEWEST_FRAMES = 96, 8
SPECTRUM_RATE, WINDOW, LOWEST, HIGHEST = 11025, 0.186, 35.0, 5000.0
"""Hz, seconds, Hz, Hz of the spectra: partials of the lowest bass note (41 Hz) lie seven bins apart."""
PARTIALS, DECAY, INHARMONICITY = 12, 0.65, 8e-5
"""A template: partial h weighs h ** -DECAY, in square roots of magnitudes, at h f0 sqrt(1 + INHARMONICITY h^2)."""
HALF_WIDTH, SPREAD = 2.0, 0.004
"""Bins on either side of a partial, and the share of its frequency by which they grow: vibrato, detuned strings."""
DETUNED = (0.0, -0.4, -0.2, 0.2, 0.4)
OCTAVES = (-12.0, 12.0)
ANY_SHIFT = tuple(float(k) for k in range(-24, 25) if k)
UNRELATED = (-13.0, -11.0, -6.0, -1.0, 1.0, 6.0, 11.0, 13.0)
"""Transpositions that share hardly a partial with the written notes: what a wrong score explains by chance."""
AGREES, CLEARLY, OTHER_INTERVAL = 0.55, 1.28, 1.6
"""Another octave is believed if it explains this much and this many times what the written one explains (strings or
stops that double the octave above reach 1.23 times); the same for other intervals."""
BY_CHANCE, EXPLAINS = 0.07, 0.4
"""A score that explains no more than this above the best unrelated transposition explains nothing."""
BENT, FEWEST_BENT = 0.4, 6
BELLS, ORGANS, PITCHLESS = range(8, 16), range(16, 24), range(112, 128)
"""Programs whose partials are no multiples; whose stops may sound octaves below; which are judged like drums."""
PEAKS_OF_NOISE = 0.15
NOISE_DB, STEADY_DB = -11.5, -24.0


@dataclass(frozen=True)
class Finding:
    """A disagreement of a stem with its score: one of `KINDS`, and one line for people, with figures."""

    kind: str
    detail: str


@dataclass(frozen=True)
class Notes:
    """The notes of all parts that begin within the recording, K of them, ordered by onset.

    Attributes:
        onset, offset: float64 (K,), seconds.
        pitch: float64 (K,), MIDI numbers before bends.
        part: int64 (K,), index of the part.
        loud: bool (K,), whether the note must be heard.
    """

    onset: np.ndarray
    offset: np.ndarray
    pitch: np.ndarray
    part: np.ndarray
    loud: np.ndarray

    def __len__(self) -> int:
        return len(self.onset)


@dataclass(frozen=True)
class Envelope:
    """Energy of a stem, `rate` steps a second.

    Attributes:
        energy, edges: float32 (T,), mean squares of the samples and of the differences between them.
        loud: mean square of the stem's loud moments.
    """

    energy: np.ndarray
    edges: np.ndarray
    rate: float
    loud: float

    def step(self, seconds: np.ndarray) -> np.ndarray:
        """The steps in which moments lie, int64, kept within the recording."""
        return np.clip((seconds * self.rate).astype(np.int64), 0, len(self.energy) - 1)

    def loudest(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Highest energy between moments (K,) and (K,), in dB below the loud moments: float64 (K,)."""
        highest = _highest(self.energy, self.step(begin), self.step(end) + 1)
        return 10 * np.log10(highest / self.loud + 1e-12)


@dataclass(frozen=True)
class Sound:
    """A stem with its score and what is measured once."""

    samples: np.ndarray
    rate: int
    parts: Sequence[Part]
    is_drum: bool
    notes: Notes
    envelope: Envelope


@dataclass(frozen=True)
class Spectra:
    """Spectra of F windows of `length` seconds which begin at `start` (F,), in bins of `bin_width` Hz.

    Attributes:
        partials: float32 (F, B), what stands out of the square roots of magnitudes, each row of norm 1.
        peaks: its share of the square roots; 0.11 for noise of any colour.
        steady_db: level of the noise that all windows share, below the whole.
        bend: float64 (J, F), semitones by which each of J parts is bent in each window.
        lag: seconds by which the windows are later than the notes that they are to show.
    """

    start: np.ndarray
    length: float
    bin_width: float
    partials: np.ndarray
    peaks: float
    steady_db: float
    bend: np.ndarray
    lag: float


@dataclass(frozen=True)
class Fit:
    """How a score fits its stem `lag` seconds late.

    Attributes:
        onsets: share of the onsets at which a sound begins, less what chance gives: at most 1.
        sounds: agreement in pitch; of drums, how equal the sounds of one drum are: at most 1.
    """

    lag: float
    onsets: float
    sounds: float

    @property
    def total(self) -> float:
        return self.onsets + self.sounds


def check_stem(samples: np.ndarray, rate: int, parts: Sequence[Part], is_drum: bool = False) -> list[Finding]:
    """Compare a stem with its score: an empty list if they agree or if there is too little to tell.

    Args:
        samples: mono float32 (L,), finite.
        rate: Hz.
        parts: what the stem plays, at the pitch at which it should sound.
        is_drum: the pitches are drums: time, silence, missing audio and noise alone are judged.
    """
    notes = notes_within(parts, len(samples) / rate)
    if not len(notes) or len(samples) < rate // ENVELOPE_RATE:
        return []
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    envelope = envelope_of(samples, rate)
    if envelope.energy.max() <= SILENCE:
        return [Finding("silent", f"is silent; its score has {len(notes)} notes")]
    is_drum = is_drum or all(part.program in PITCHLESS for part in parts)
    sound = Sound(samples, rate, parts, is_drum, notes, envelope)
    spectra = note_spectra(sound)
    found: list[Finding | None] = []
    if ignored := ignored_bends(spectra, notes):
        found.append(ignored)
        sound = replace(sound, parts=[replace(part, bend=np.zeros_like(part.bend)) for part in parts])
        spectra = note_spectra(sound)
    if offset := best_offset(sound, spectra):
        found.append(describe_offset(*offset))
        spectra = note_spectra(sound, offset[1].lag)
    found.append(missing_audio(envelope, notes, offset[1].lag if offset else 0.0))
    noise = steady_noise(envelope, spectra)
    found.append(noise or wrong_pitch(spectra, notes, {part.program for part in parts}))
    return [finding for finding in found if finding]


def warm_up() -> None:
    """Compile the kernels, so that processes forked later need not."""
    part = part_from_notes([(0.1 * n, 0.1 * n + 0.1, 60 + n % 3, 90) for n in range(20)])
    check_stem(np.random.default_rng(0).normal(0, 0.1, 3 * 44100).astype(np.float32), 44100, [part])


def notes_within(parts: Sequence[Part], seconds: float) -> Notes:
    """The notes of all parts that begin at least 50 ms before the end of a recording."""
    onset, offset, pitch, velocity = (
        np.concatenate([np.zeros(0), *(getattr(part, name) for part in parts)])
        for name in ("onset", "offset", "pitch", "velocity")
    )
    order = np.argsort(onset, kind="stable")
    order = order[onset[order] < seconds - 0.05]
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    loud = velocity[order] >= QUIET * np.median(velocity[order]) if len(order) else np.zeros(0, dtype=bool)
    return Notes(onset[order], offset[order], pitch[order], owner[order], loud)


# Time and energy


def envelope_of(samples: np.ndarray, rate: int) -> Envelope:
    """Energy of samples (L,) in steps of about 10 ms."""
    step = rate // ENVELOPE_RATE
    energy, edges = _energies(samples, step)
    return Envelope(energy, edges, rate / step, max(float(np.quantile(energy, 0.98)), SILENCE))


def rises(energy: np.ndarray) -> np.ndarray:
    """How surely a sound begins in each step or beside it: float32 (T,), 0 to 1, of mean squares (T,)."""
    level = 10 * np.log10(energy + np.quantile(energy, 0.98) * 10 ** (FLOOR_DB / 10) + 1e-20)
    rise = np.zeros(len(level) + 2, dtype=np.float32)
    for steps in (1, 2, 3):
        rise[1 + steps : -1] = np.maximum(rise[1 + steps : -1], level[steps:] - level[:-steps])
    rise = np.minimum(rise / RISE_DB, 1.0)
    return np.maximum(np.maximum(rise[:-2], rise[2:]), rise[1:-1])


def onset_fit(envelope: Envelope, notes: Notes) -> tuple[np.ndarray, int]:
    """`Fit.onsets` for each step of lag from -LONGEST_LAG to LONGEST_LAG, float64, and the number of onsets."""
    steps = np.unique(np.rint(notes.onset[notes.loud] * envelope.rate).astype(np.int64))
    steps = steps[np.diff(steps, prepend=-9) >= 3]  # a chord is one onset
    count = len(steps)
    if count > MOST_ONSETS:
        steps = steps[np.linspace(0, count - 1, MOST_ONSETS).astype(np.int64)]
    longest = round(LONGEST_LAG * envelope.rate)
    fits = []
    for energy in (envelope.energy, envelope.edges):
        rise = rises(energy)
        chance = min(float(rise.mean()), 0.9)
        fits.append((_hits(rise, steps, longest) - chance) / (1.0 - chance))
    return np.maximum(*fits), count


def best_offset(sound: Sound, spectra: Spectra | None) -> tuple[Fit, Fit] | None:
    """The score's fit at its written time and at the lag where it fits clearly better; None if there is no such lag."""
    onsets, count = onset_fit(sound.envelope, sound.notes)
    if count < FEWEST_ONSETS:
        return None
    middle, rate = len(onsets) // 2, sound.envelope.rate
    first, last = middle + round(EARLIEST * rate), middle + round(LATEST * rate)
    written = Fit(0.0, float(onsets[first : last + 1].max()), sounds_alike(sound, spectra, 0.0))
    onsets[first : last + 1] = -1.0
    rivals = []
    for _ in range(CANDIDATES):
        step = int(np.argmax(onsets))
        lag, there = (step - middle) / rate, float(onsets[step])
        # Windows at the written onsets say little about short notes that sound elsewhere.
        own = there > written.onsets + GAIN and not sound.is_drum
        rivals.append(Fit(lag, there, sounds_alike(sound, note_spectra(sound, lag) if own else spectra, lag)))
        onsets[max(step - 6, 0) : step + 7] = -1.0
    best = max(rivals, key=lambda fit: fit.total)
    clear = best.total - written.total > GAIN + GAIN_OF_FEW / np.sqrt(count)
    others = [rival.onsets for rival in (written, *rivals) if abs(rival.lag - best.lag) > NEAR]
    hit = best.onsets >= min(MOST_HIT, max(FEWEST_HIT, max(others, default=0.0) + STANDS_OUT))
    alike = sound.is_drum or best.sounds >= FEWEST_ALIKE
    slow = 0 < best.lag <= SLOW and sharpness(sound.envelope, sound.notes, best.lag) < SHARP
    return (written, best) if clear and hit and alike and not slow else None


def sharpness(envelope: Envelope, notes: Notes, lag: float) -> float:
    """The share of the mean rise in level around the onsets, `lag` seconds late, that comes within three steps."""
    level = 10 * np.log10(envelope.energy + envelope.loud * 10 ** (FLOOR_DB / 10))
    steps = np.unique(np.rint((notes.onset[notes.loud] + lag) * envelope.rate).astype(np.int64))
    steps = steps[(steps >= 10) & (steps < len(level) - 10)]
    if not len(steps):
        return 0.0
    mean = level[steps[:, None] + np.arange(-10, 11)].mean(axis=0)
    top = 4 + int(np.argmax(mean[4:]))
    return float((mean[3:] - mean[:-3]).max() / max(mean[top] - mean[: top + 1].min(), 0.1))


def sounds_alike(sound: Sound, spectra: Spectra | None, lag: float) -> float:
    """`Fit.sounds` at a lag."""
    if sound.is_drum:
        return same_drum_same_sound(sound.envelope, sound.notes, lag)
    return 0.0 if spectra is None else float(agreement(spectra, sound.notes, (0.0,), lag).mean())


def same_drum_same_sound(envelope: Envelope, notes: Notes, lag: float) -> float:
    """The share of the variance of loudness and brightness that is explained by which drums are struck, 0 to 1."""
    step = np.rint(notes.onset * envelope.rate).astype(np.int64)
    steps, which = np.unique(step, return_inverse=True)
    drums = np.bincount(which, np.sqrt(notes.pitch + 2.0))  # a number for each set of drums
    steps = steps + round(lag * envelope.rate)
    inside = (steps >= 0) & (steps < len(envelope.energy) - 5)
    _, which, counts = np.unique(np.round(drums[inside], 6), return_inverse=True, return_counts=True)
    often = counts[which] >= 3
    _, which, counts = np.unique(which[often], return_inverse=True, return_counts=True)
    if len(which) < FEWEST_ONSETS or len(counts) < 2:
        return 0.0
    span = steps[inside][often][:, None] + np.arange(5)
    energy, edges = envelope.energy[span].mean(axis=1), envelope.edges[span].mean(axis=1)
    floor = envelope.loud * 10 ** (FLOOR_DB / 10)
    explained = []
    for value in (np.log(energy + floor), np.log((edges + 0.01 * floor) / (energy + floor))):
        mean = np.bincount(which, value) / counts
        within = np.square(value - mean[which]).sum() / max(len(value) - len(counts), 1)
        explained.append(1.0 - within / max(float(value.var()), 1e-6))
    return max(float(np.mean(explained)), 0.0)


def describe_offset(written: Fit, best: Fit) -> Finding:
    """The finding that a stem is early or late."""
    when = f"{abs(best.lag):.2f} s {'after' if best.lag > 0 else 'before'} its score"
    return Finding(
        "offset", f"sounds {when} ({best.onsets:.0%} of the onsets there, {max(written.onsets, 0.0):.0%} as written)"
    )


def missing_audio(envelope: Envelope, notes: Notes, lag: float) -> Finding | None:
    """Notes at whose time nothing sounds, while others sound."""
    onset, end = notes.onset + lag, np.minimum(notes.offset, notes.onset + 1.0) + lag + 0.1
    inside = notes.loud & (onset >= 0) & (onset < len(envelope.energy) / envelope.rate - 0.05)
    unheard = inside & (envelope.loudest(onset, end) < MISSING_DB)
    count, judged = int(unheard.sum()), int(inside.sum())
    if count < max(FEWEST_NOTES, MISSING_SHARE * judged):
        return None
    where = notes.onset[unheard]
    return Finding(
        "missing audio", f"{count} of {judged} notes do not sound, between {where[0]:.1f} and {where[-1]:.1f} s"
    )


def steady_noise(envelope: Envelope, spectra: Spectra | None) -> Finding | None:
    """Broad-band noise that never stops: it is left in the quietest moments and common to all spectra."""
    white = float(np.quantile(envelope.edges, 0.05)) / 2
    level = 10 * float(np.log10(white / float(envelope.energy.mean()) + 1e-12))
    if level < NOISE_DB or (spectra is not None and spectra.steady_db < STEADY_DB):
        return None
    return Finding("noise", f"holds steady noise, {level:.0f} dB of its mean level")


# Pitch


def note_spectra(sound: Sound, lag: float = 0.0) -> Spectra | None:
    """Spectra of up to FRAMES windows that begin soon after an onset and `lag`, where the stem sounds.

    None for drums, and if there are fewer than FEWEST_FRAMES.
    """
    notes, rate = sound.notes, sound.rate
    step = max(1, round(rate / SPECTRUM_RATE))
    size = 256 * max(1, round(WINDOW * rate / step / 256))
    length = size * step / rate
    wait = 0.02 + np.clip(0.25 * (notes.offset - notes.onset - 0.2), 0.0, 0.08)
    start = np.unique(np.round((notes.onset + wait + lag) * 50) / 50)
    start = start[(start >= 0) & ((start + length) * rate + 4 * step < len(sound.samples))]
    start = start[sound.envelope.loudest(start, start + length) > FLOOR_DB]
    if sound.is_drum or len(start) < FEWEST_FRAMES:
        return None
    if len(start) > FRAMES:
        start = start[np.linspace(0, len(start) - 1, FRAMES).astype(np.int64)]
    smoothing = np.hanning(4 * step + 2)[1:-1] if step > 1 else np.ones(1)
    window = np.hanning(size) / smoothing.sum()
    first = np.rint(start * rate).astype(np.int64)
    frames = _windows(sound.samples, first, step, smoothing.astype(np.float32), window.astype(np.float32))
    bin_width = rate / step / size
    magnitude = np.abs(np.fft.rfft(frames)[:, : int(HIGHEST / bin_width)])
    partials, peaks = _salient(magnitude, int(LOWEST / bin_width), 15)
    bend = np.array([part.bend_at(start + length / 2 - lag) for part in sound.parts])
    return Spectra(start, length, bin_width, partials, float(np.median(peaks)), steady_level(magnitude), bend, lag)


def steady_level(magnitude: np.ndarray) -> float:
    """Level in dB, below the whole, of noise that is in all of F spectra (F, B) and even within each octave."""
    power = np.square(magnitude)
    tenth = len(power) // 10
    # A tenth of exponentially distributed powers lies below 0.105 of their mean.
    floor = np.partition(power, tenth, axis=0)[tenth] / 0.105
    edges = [len(floor)]
    while edges[-1] > 32:
        edges.append(edges[-1] // 2)
    noise = sum(float(np.median(floor[low:high])) * (high - low) for high, low in pairwise(edges))
    return 10 * float(np.log10(noise / max(float(power.mean(axis=0).sum()), 1e-20) + 1e-12))


def agreement(spectra: Spectra, notes: Notes, shifts: Sequence[float], lag: float | None = None) -> np.ndarray:
    """Cosine of each spectrum with the partials of the notes written `lag` seconds earlier (the spectra's own lag if
    None), transposed by each of `shifts` semitones: float32 (F, len(shifts)), 0 to 1."""
    return _cosines(
        spectra.partials,
        spectra.start - (spectra.lag if lag is None else lag),
        spectra.length,
        spectra.bin_width,
        notes.onset,
        notes.offset,
        notes.pitch,
        notes.part,
        spectra.bend,
        np.array(shifts),
    )


def ignored_bends(spectra: Spectra | None, notes: Notes) -> Finding | None:
    """Whether the stem stays at the written pitch where its score bends."""
    if spectra is None:
        return None
    bent = np.abs(spectra.bend).max(axis=0) > BENT
    if bent.sum() < FEWEST_BENT:
        return None
    straight = replace(spectra, bend=np.zeros_like(spectra.bend))
    follows, stays = (float(agreement(each, notes, (0.0,))[bent].mean()) for each in (spectra, straight))
    if stays < max(AGREES, CLEARLY * follows):
        return None
    return Finding("bends", f"ignores its score's pitch bends (agreement {stays:.2f} without, {follows:.2f} with them)")


def wrong_pitch(spectra: Spectra | None, notes: Notes, programs: set[int]) -> Finding | None:
    """Another transposition that explains the stem better, or that nothing explains it.

    Organs are never called octaves low, nor bells foreign.
    """
    if spectra is None:
        return None
    written, chance = (float(agreement(spectra, notes, some).mean(axis=0).max()) for some in (DETUNED, UNRELATED))
    explains = written - chance >= BY_CHANCE or written >= EXPLAINS
    shifts = [k for k in (OCTAVES if explains else ANY_SHIFT) if k not in (-24, -12) or not programs & set(ORGANS)]
    others = agreement(spectra, notes, shifts).mean(axis=0)
    best, there = int(np.argmax(others)), float(others.max())
    ratio = CLEARLY if shifts[best] % 12 == 0 else OTHER_INTERVAL
    if there >= max(AGREES, ratio * written):
        return describe_shift(int(shifts[best]), f"agreement {there:.2f} against {written:.2f}")
    if explains or (programs <= set(BELLS) and spectra.peaks >= PEAKS_OF_NOISE):
        return None
    kind, what = ("noise", "is noise") if spectra.peaks < PEAKS_OF_NOISE else ("foreign", "sounds like something else")
    return Finding(kind, f"{what} (agreement {written:.2f}, by chance {chance:.2f})")


def describe_shift(semitones: int, figures: str) -> Finding:
    """The finding that a stem sounds `semitones` above (or, negative, below) its score."""
    octaves, rest = divmod(abs(semitones), 12)
    interval = f"{abs(semitones)} semitones" if rest else "an octave" if octaves == 1 else f"{octaves} octaves"
    where = "lower" if semitones < 0 else "higher"
    return Finding("pitch" if rest else "octave", f"sounds {interval} {where} than its score ({figures})")


# Kernels


@numba.njit(cache=True, fastmath=True)
def _energies(samples: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean squares of samples (L,) and of their differences in steps of `step` samples."""
    count = len(samples) // step
    energy = np.zeros(count, dtype=np.float32)
    edges = np.zeros(count, dtype=np.float32)
    for t in range(count):
        piece = samples[t * step : (t + 1) * step]
        total = np.float32(0)
        differences = np.float32(0)
        for n in range(1, step):
            total += piece[n] * piece[n]
            difference = piece[n] - piece[n - 1]
            differences += difference * difference
        energy[t] = total / step
        edges[t] = differences / step
    return energy, edges


@numba.njit(cache=True, fastmath=True)
def _hits(rise: np.ndarray, steps: np.ndarray, longest: int) -> np.ndarray:
    """Mean of `rise` (T,) at steps + lag, for each lag from -longest to longest."""
    width = 2 * longest + 1
    padded = np.zeros(len(rise) + 2 * longest, dtype=np.float32)
    padded[longest : longest + len(rise)] = rise
    total = np.zeros(width, dtype=np.float32)
    for step in steps:
        if step < len(rise):
            piece = padded[step : step + width]
            for lag in range(width):
                total[lag] += piece[lag]
    return total / max(len(steps), 1)


@numba.njit(cache=True)
def _highest(energy: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Maximum of energy[begin[k] : end[k]] for each k."""
    highest = np.zeros(len(begin), dtype=np.float32)
    for k in range(len(begin)):
        for t in range(begin[k], end[k]):
            highest[k] = max(highest[k], energy[t])
    return highest


@numba.njit(cache=True, fastmath=True)
def _windows(
    samples: np.ndarray, start: np.ndarray, step: int, smoothing: np.ndarray, window: np.ndarray
) -> np.ndarray:
    """Every `step`-th sample of the smoothed signal from each start on, times `window` (W,): float32 (F, W)."""
    frames = np.empty((len(start), len(window)), dtype=np.float32)
    for f in range(len(start)):
        for n in range(len(window)):
            first = start[f] + n * step
            total = np.float32(0)
            for k in range(len(smoothing)):
                total += smoothing[k] * samples[first + k]
            frames[f, n] = total * window[n]
    return frames


@numba.njit(cache=True, fastmath=True)
def _salient(magnitude: np.ndarray, lowest: int, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """What of sqrt(magnitude) (F, B) stands above its mean over `reach` bins on either side, scaled to norm 1, and
    its share of the whole (F,)."""
    frames, bins = magnitude.shape
    salient = np.zeros((frames, bins), dtype=np.float32)
    share = np.zeros(frames, dtype=np.float32)
    total = np.zeros(bins + 1, dtype=np.float32)
    for f in range(frames):
        for b in range(bins):
            total[b + 1] = total[b] + np.sqrt(magnitude[f, b])
        norm = np.float32(0)
        for b in range(lowest, bins):
            low, high = max(b - reach, 0), min(b + reach + 1, bins)
            above = total[b + 1] - total[b] - (total[high] - total[low]) / (high - low)
            if above > 0:
                salient[f, b] = above
                norm += above * above
                share[f] += above
        if norm > 0:
            salient[f] /= np.sqrt(norm)
            share[f] /= total[bins]
    return salient, share


@numba.njit(cache=True, fastmath=True)
def _cosines(
    partials: np.ndarray,
    start: np.ndarray,
    length: float,
    bin_width: float,
    onset: np.ndarray,
    offset: np.ndarray,
    pitch: np.ndarray,
    part: np.ndarray,
    bend: np.ndarray,
    shifts: np.ndarray,
) -> np.ndarray:
    """See `agreement`. The template is the strongest partial in each bin; notes weigh by the share of the window."""
    frames, bins = partials.shape
    cosines = np.zeros((frames, len(shifts)), dtype=np.float32)
    template = np.zeros(bins, dtype=np.float32)
    touched = np.zeros(bins, dtype=np.int64)
    weights = np.arange(1, PARTIALS + 1) ** -DECAY
    for f in range(frames):
        for s in range(len(shifts)):
            count = 0
            for k in range(len(onset)):
                if onset[k] >= start[f] + length - 0.03:
                    break
                if offset[k] <= start[f]:
                    continue
                share = (min(offset[k], start[f] + length) - max(onset[k], start[f])) / length
                loudness = np.sqrt(max(share, 0.1))
                fundamental = 440.0 * 2.0 ** ((pitch[k] + bend[part[k], f] + shifts[s] - 69.0) / 12.0) / bin_width
                for h in range(1, PARTIALS + 1):
                    centre = fundamental * h * np.sqrt(1.0 + INHARMONICITY * h * h)
                    half = HALF_WIDTH + SPREAD * centre
                    if centre - half > bins - 1:
                        break
                    for b in range(max(int(np.ceil(centre - half)), 0), min(int(centre + half), bins - 1) + 1):
                        value = np.float32(loudness * weights[h - 1] * (1.0 - ((b - centre) / half) ** 2))
                        if template[b] == 0.0:
                            touched[count] = b
                            count += 1
                        template[b] = max(template[b], value)
            product = norm = np.float32(0)
            for n in range(count):
                b = touched[n]
                product += template[b] * partials[f, b]
                norm += template[b] * template[b]
                template[b] = 0.0
            if norm > 0:
                cosines[f, s] = product / np.sqrt(norm)
    return cosines
