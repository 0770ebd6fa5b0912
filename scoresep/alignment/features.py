"""What recording and score are compared by: energies of semitone bands, and where they rise.

The score is given the spectrum that its notes would have, with partials that decay, so that both sides are compared in
the same bands: sharper than chroma (Mueller, Fundamentals of Music Processing, chapter 3), as the octave counts. Rises
of energy are kept apart, as in the onset features of Ewert, Mueller, Grosche (High resolution audio synchronization
using chroma onset features, ICASSP 2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.ndimage import maximum_filter1d

from scoresep.audio.spectrogram import level_of, padded, spectrum_blocks
from scoresep.compiled import compiled
from scoresep.score.parts import Part

RATE = 16000
"""Hz at which recordings are looked at."""
FRAME_RATE, FLUX_RATE = 50, 100
"""Frames a second of the bands' energies and of their rises."""
N_FFT, FLUX_N_FFT = 4096, 1024
LOWEST, BANDS = 24, 84
"""MIDI number of the lowest semitone band, and how many there are."""
COMPRESSION = 30.0
PARTIALS, ROLL_OFF, DECAY = 10, 0.75, 1.2
"""Of a note in the score: partials, ratio of their strengths, seconds in which it falls to 37 %."""
FLUX_LINEAR, FLUX_TOP = 64, 7800.0
"""Bins of the rises that stand alone (up to 1 kHz); Hz of the highest band above them, three of which are an octave."""
LOUDEST_WITHIN, FADING = 150, (0.8, 0.6, 0.4, 0.2)
"""Frames among which the loudest rise counts fully; shares that are left of a rise in the frames after it."""
DRUM_HZ = {"low": (40.0, 200.0), "middle": (200.0, 3000.0), "high": (3000.0, 7800.0)}
LOW_DRUMS, HIGH_DRUMS = frozenset({35, 36, 41, 43, 45}), frozenset({42, 44, 46, 49, 51, 52, 53, 54, 55, 57, 59, 69, 70})
"""General MIDI keys of kicks and low toms, and of cymbals, hi-hats and shakers; all others are heard in the middle."""


@dataclass(frozen=True)
class NoteTable:
    """Notes of all parts, K of them, ordered by onset.

    Attributes:
        onset, offset: float64 (K,), seconds.
        pitch: int64 (K,), MIDI numbers.
        velocity: float64 (K,), 0 to 1.
        drum: bool (K,).
        part, index: int64 (K,), the part that a note is from, and its place there.
    """

    onset: np.ndarray
    offset: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    drum: np.ndarray
    part: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.onset)

    def chosen(self, rows: np.ndarray) -> NoteTable:
        """Some of the notes, by index or by bool (K,)."""
        return NoteTable(*(getattr(self, name)[rows] for name in NoteTable.__dataclass_fields__))

    def moved(self, onset: np.ndarray, offset: np.ndarray) -> NoteTable:
        """The same notes at other times."""
        return replace(self, onset=onset, offset=offset)

    def transposed(self, semitones: int) -> NoteTable:
        """The same notes with the pitched ones `semitones` higher."""
        return replace(self, pitch=np.where(self.drum, self.pitch, self.pitch + semitones))

    def raised(self, octaves: Sequence[int]) -> NoteTable:
        """The same notes, those of each part so many semitones higher."""
        return replace(self, pitch=self.pitch + np.array(octaves)[self.part])


def note_table(parts: Sequence[Part]) -> NoteTable:
    """The notes of some parts."""
    empty = np.zeros(0)
    onset, offset, pitch, velocity = (
        np.concatenate([empty, *(getattr(part, name) for part in parts)])
        for name in ("onset", "offset", "pitch", "velocity")
    )
    sizes = [len(part) for part in parts]
    owner = np.repeat(np.arange(len(parts)), sizes)
    index = np.concatenate([empty, *map(np.arange, sizes)]).astype(np.int64)
    drum = np.repeat(np.array([part.is_drum for part in parts], dtype=bool), sizes)
    table = NoteTable(onset, offset, pitch.astype(np.int64), velocity / 127.0, drum, owner, index)
    return table.chosen(np.argsort(onset, kind="stable"))


@dataclass(frozen=True)
class AudioFeatures:
    """A recording as it is compared.

    Attributes:
        pitch: float32 (T, BANDS), compressed energies, FRAME_RATE frames a second.
        flux: float32 (2 T, flux bands), rises, FLUX_RATE frames a second.
        tuning: semitones by which the recording is above 440 Hz, -0.5 to 0.5.
        seconds: length.
        level: root mean square of the samples.
    """

    pitch: np.ndarray
    flux: np.ndarray
    tuning: float
    seconds: float
    level: float


# The recording


def audio_features(samples: np.ndarray) -> AudioFeatures:
    """Features of mono float32 samples (L,) at `RATE`."""
    level = level_of(samples)
    tuning = tuning_of(samples)
    weights = band_weights(tuning)
    rows = [np.abs(block) @ weights for block in blocks(samples, N_FFT, RATE // FRAME_RATE)]
    pitch = np.log1p(np.concatenate(rows) * np.float32(COMPRESSION / level))
    return AudioFeatures(pitch, flux_of(samples, level)[: 2 * len(pitch)], tuning, len(samples) / RATE, level)


def blocks(samples: np.ndarray, n_fft: int, hop: int) -> Iterator[np.ndarray]:
    """The spectrum in pieces, complex64 (t, F), with a frame at every whole multiple of `hop`."""
    frames = len(samples) // hop + 1
    for _, block in spectrum_blocks(padded(samples, n_fft, hop), frames, n_fft, hop):
        yield block


def band_weights(tuning: float) -> np.ndarray:
    """How much of each bin counts in each semitone band: float32 (F, BANDS), triangles that overlap by half."""
    hertz = np.fft.rfftfreq(N_FFT, 1 / RATE)
    pitch = 69.0 + 12.0 * np.log2(np.maximum(hertz, 1.0) / 440.0) - tuning
    width = np.maximum(1.0, 12.0 / np.log(2.0) * (RATE / N_FFT) / np.maximum(hertz, 1.0))  # low bins are wider
    distance = np.abs(pitch[:, None] - (LOWEST + np.arange(BANDS))[None]) / width[:, None]
    weights: np.ndarray = np.maximum(1.0 - distance, 0.0).astype(np.float32)
    return weights


def tuning_of(samples: np.ndarray, most: int = 400) -> float:
    """Semitones between the recording's pitches and those of 440 Hz: the circular mean of the peaks' deviations."""
    frames = len(samples) // N_FFT
    if not frames:
        return 0.0
    at = np.unique(np.linspace(0, frames - 1, min(frames, most)).astype(np.int64))
    window = np.hanning(N_FFT).astype(np.float32)
    total = 0j
    for first in at.tolist():
        power = np.log(np.abs(np.fft.rfft(samples[first * N_FFT : (first + 1) * N_FFT] * window)) + 1e-6)
        low, high = int(150 / RATE * N_FFT), int(2000 / RATE * N_FFT)
        middle = power[low:high]
        left, right = power[low - 1 : high - 1], power[low + 1 : high + 1]
        peaks = np.flatnonzero((middle > left) & (middle >= right) & (middle > middle.max() - 4.0))
        bend = left[peaks] - 2 * middle[peaks] + right[peaks]
        shift = 0.5 * (left[peaks] - right[peaks]) / np.minimum(bend, -1e-6)
        hertz = (peaks + low + shift) * RATE / N_FFT
        strength = np.exp(middle[peaks] - power.max()) * np.sqrt(np.exp(2 * power).sum())
        total += complex((strength * np.exp(2j * np.pi * 12 * np.log2(hertz / 440.0))).sum())
    return float(np.angle(total) / (2 * np.pi)) if abs(total) else 0.0


def flux_edges() -> np.ndarray:
    """The first bin of each band of rises, and the bin after the last."""
    width = RATE / FLUX_N_FFT
    count = int(np.ceil(6 * np.log2(FLUX_TOP / (FLUX_LINEAR * width))))
    above = np.rint(np.geomspace(FLUX_LINEAR, FLUX_TOP / width, count + 1)).astype(np.int64)
    return np.unique(np.concatenate([np.arange(1, FLUX_LINEAR), above]))


def flux_of(samples: np.ndarray, level: float) -> np.ndarray:
    """How compressed magnitudes rise within 20 ms in each band: float32 (T, flux bands)."""
    edges = flux_edges()
    widths = np.diff(edges).astype(np.float32)
    rows = []
    for block in blocks(samples, FLUX_N_FFT, RATE // FLUX_RATE):
        sums = np.add.reduceat(np.abs(block[:, : edges[-1]]), edges[:-1], axis=1)
        rows.append(np.log1p(sums / widths * np.float32(10 * COMPRESSION / level)))
    energy = np.concatenate(rows)
    flux = np.zeros_like(energy)
    flux[1:-1] = np.maximum(energy[2:] - energy[:-2], 0.0)
    return flux


# The score


def score_pitch(notes: NoteTable, frames: int) -> np.ndarray:
    """What `AudioFeatures.pitch` would be of these notes: float32 (frames, BANDS)."""
    compressed: np.ndarray = np.log1p(np.float32(COMPRESSION) * score_energy(notes, frames))
    return compressed


def score_energy(notes: NoteTable, frames: int) -> np.ndarray:
    """The same before compression."""
    pitched = notes.chosen(~notes.drum)
    energy = np.zeros((frames, BANDS), dtype=np.float32)
    shares = np.float32(ROLL_OFF) ** np.arange(PARTIALS, dtype=np.float32)
    steps = (12.0 * np.log2(np.arange(1, PARTIALS + 1))).astype(np.float32)
    _add_notes(energy, pitched.onset, pitched.offset, pitched.pitch, pitched.velocity, shares, steps, FRAME_RATE, DECAY)
    return energy


@compiled()
def _add_notes(energy, onset, offset, pitch, velocity, shares, steps, rate, decay):  # type: ignore[no-untyped-def]
    """Add the partials of notes to semitone bands (T, BANDS)."""
    frames, bands = energy.shape
    for k in range(len(onset)):
        first = max(int(np.ceil(onset[k] * rate - 0.5)), 0)
        last = min(max(int(np.ceil(offset[k] * rate - 0.5)), first + 1), frames)
        for t in range(first, last):
            strength = velocity[k] * np.exp(-max(t / rate - onset[k], 0.0) / decay)
            for h in range(len(shares)):
                place = pitch[k] - LOWEST + steps[h]
                below = int(np.floor(place))
                share = place - below
                if 0 <= below < bands:
                    energy[t, below] += strength * shares[h] * (1.0 - share)
                if 0 <= below + 1 < bands:
                    energy[t, below + 1] += strength * shares[h] * share


def onset_shapes(notes: NoteTable) -> np.ndarray:
    """In which bands each note is heard to begin: float32 (K, flux bands), each of norm 1."""
    shapes: np.ndarray = _shapes_of_keys()[np.clip(notes.pitch, 0, 127) + 128 * notes.drum]
    return shapes


@cache
def _shapes_of_keys() -> np.ndarray:
    """The same of each MIDI number, and of the drum of each, at 128 more: float32 (256, flux bands)."""
    edges = flux_edges()
    width = RATE / FLUX_N_FFT
    low, high = edges[:-1] * width - width / 2, edges[1:] * width - width / 2
    shapes = np.zeros((256, len(low)), dtype=np.float32)
    for pitch in range(128):
        for h in range(1, PARTIALS + 1):
            hertz = 440.0 * 2.0 ** ((pitch - 69) / 12) * h
            band = int(np.searchsorted(low, hertz, side="right")) - 1
            if 0 <= band < len(low) and hertz < high[-1]:
                shapes[pitch, band] += ROLL_OFF ** (h - 1)
        begin, end = DRUM_HZ["low" if pitch in LOW_DRUMS else "high" if pitch in HIGH_DRUMS else "middle"]
        shapes[128 + pitch] = (high > begin) & (low < end)
    return unit(shapes)


def score_flux(notes: NoteTable, frames: int) -> np.ndarray:
    """Where these notes let the bands rise: float32 (frames, flux bands), FRAME_RATE frames a second."""
    shapes = onset_shapes(notes)
    flux = np.zeros((frames, shapes.shape[1]), dtype=np.float32)
    at = np.rint(notes.onset * FRAME_RATE).astype(np.int64)
    inside = (at >= 0) & (at < frames)
    np.add.at(flux, at[inside], shapes[inside] * notes.velocity[inside, None].astype(np.float32))
    return flux


# Both


def unit(rows: np.ndarray, least: float = 1e-3) -> np.ndarray:
    """Rows of norm 1, or less where they have none: float32 (T, D)."""
    scaled: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), least)
    return scaled


def directions(pitch: np.ndarray) -> np.ndarray:
    """Energies (T, D) as directions from their mean, float32 (T, D) of norm 1: unrelated ones have a cosine of 0."""
    rows = unit(pitch, 1.0)
    return unit(rows - rows.mean(axis=0))


def pooled(pitch: np.ndarray, rate: float) -> np.ndarray:
    """Energies at FRAME_RATE (T, D) averaged to `rate` frames a second: float32 (T', D)."""
    width = FRAME_RATE / rate
    count = max(int(np.ceil(len(pitch) / width)), 1)
    total = np.concatenate([np.zeros((1, pitch.shape[1])), np.cumsum(pitch, axis=0, dtype=np.float64)])
    middle = (np.arange(count) + 0.5) * width
    begin = np.clip(np.rint(middle - width), 0, len(pitch)).astype(np.int64)
    end = np.clip(np.rint(middle + width), begin + 1, len(pitch)).astype(np.int64)
    begin = np.minimum(begin, end - 1)
    means: np.ndarray = (total[end] - total[begin]) / (end - begin)[:, None]
    return means.astype(np.float32)


def onset_rows(flux: np.ndarray) -> np.ndarray:
    """Rises at FRAME_RATE (T, D) as onset features: the loudest among those near have norm 1, and each fades slowly."""
    norm = np.linalg.norm(flux, axis=1)
    loudest: np.ndarray = maximum_filter1d(norm, LOUDEST_WITHIN + 1, mode="nearest")
    rows = flux / np.maximum(np.maximum(loudest, 0.1 * norm.max(initial=0.0)), 1e-6)[:, None]
    faded: np.ndarray = rows.copy()
    for step, share in enumerate(FADING, start=1):
        faded[step:] = np.maximum(faded[step:], np.float32(share) * rows[:-step])
    return faded


def at_frame_rate(flux: np.ndarray) -> np.ndarray:
    """Rises at FLUX_RATE (2 T, D) -> at FRAME_RATE (T, D): the highest of a frame and its neighbours."""
    wide = np.pad(flux, ((1, 2), (0, 0)))
    highest: np.ndarray = np.maximum(np.maximum(wide[:-2:2], wide[1:-1:2]), wide[2::2])
    return highest[: (len(flux) + 1) // 2]
