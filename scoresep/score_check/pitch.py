"""Does a stem sound at the pitch that its score says? Templates of partials against spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from scoresep.score_check.evidence import (
    BELLS,
    FLOOR_DB,
    ORGANS,
    Disagreement,
    Notes,
    ScoreCheckSettings,
    Sound,
    Spectra,
)
from scoresep.score_check.kernels import cosines, windows

FRAMES, FEWEST_FRAMES = 96, 8
SPECTRUM_RATE, WINDOW, LOWEST, HIGHEST = 11025, 0.186, 35.0, 5000.0
"""Hz, seconds, Hz, Hz of the spectra: partials of the lowest bass note (41 Hz) lie seven bins apart."""
LEAST = 1e-20
"""Least divisor, for windows of silence."""
DETUNED = (0.0, -0.4, -0.2, 0.2, 0.4)
OCTAVES = (-12.0, 12.0)
ANY_SHIFT = tuple(float(k) for k in range(-24, 25) if k)
UNRELATED = (-13.0, -11.0, -6.0, -1.0, 1.0, 6.0, 11.0, 13.0)
"""Transpositions that share hardly a partial with the written notes: what a wrong score explains by chance."""


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
    frames = windows(sound.samples, first, step, smoothing.astype(np.float32), window.astype(np.float32))
    bin_width = rate / step / size
    magnitude = np.abs(np.fft.rfft(frames)[:, : int(HIGHEST / bin_width)])
    partials, peaks = salient(magnitude, int(LOWEST / bin_width), 15)
    bend = np.array([part.bend_at(start + length / 2 - lag) for part in sound.parts])
    return Spectra(start, length, bin_width, partials, float(np.median(peaks)), steady_level(magnitude), bend, lag)


def salient(magnitude: np.ndarray, lowest: int, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """What of sqrt(magnitude) (F, B) stands above its mean over `reach` bins on either side, in bins from `lowest` on,
    scaled to norm 1: float32 (F, B); and its share of the whole (F,)."""
    root = np.sqrt(magnitude)
    total = np.pad(np.cumsum(root, axis=1, dtype=np.float64), [(0, 0), (1, 0)])
    bins = np.arange(root.shape[1])
    low, high = np.maximum(bins - reach, 0), np.minimum(bins + reach + 1, len(bins))
    above = np.maximum(root - (total[:, high] - total[:, low]) / (high - low), 0)
    above[:, :lowest] = 0
    norm = np.linalg.norm(above, axis=1, keepdims=True)
    share = above.sum(axis=1) / np.maximum(total[:, -1], LEAST)
    return (above / np.maximum(norm, LEAST)).astype(np.float32), share


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
    agreements: np.ndarray = cosines(
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
    return agreements


def ignored_bends(spectra: Spectra | None, notes: Notes, settings: ScoreCheckSettings) -> Disagreement | None:
    """Whether the stem stays at the written pitch where its score bends."""
    if spectra is None:
        return None
    bent = np.abs(spectra.bend).max(axis=0) > settings.bent
    if bent.sum() < settings.bent_windows:
        return None
    straight = replace(spectra, bend=np.zeros_like(spectra.bend))
    follows, stays = (float(agreement(each, notes, (0.0,))[bent].mean()) for each in (spectra, straight))
    if stays < max(settings.agrees, settings.clearly * follows):
        return None
    return Disagreement(
        "bends", f"ignores its score's pitch bends (agreement {stays:.2f} without, {follows:.2f} with them)"
    )


def wrong_pitch(
    spectra: Spectra | None, notes: Notes, programs: set[int], settings: ScoreCheckSettings
) -> Disagreement | None:
    """Another transposition that explains the stem better, or that nothing explains it.

    Organs are never called octaves low, nor bells foreign.
    """
    if spectra is None:
        return None
    written, chance = (float(agreement(spectra, notes, some).mean(axis=0).max()) for some in (DETUNED, UNRELATED))
    explains = written - chance >= settings.by_chance or written >= settings.explains
    shifts = [k for k in (OCTAVES if explains else ANY_SHIFT) if k not in (-24, -12) or not programs & set(ORGANS)]
    others = agreement(spectra, notes, shifts).mean(axis=0)
    best, highest = int(np.argmax(others)), float(others.max())
    ratio = settings.clearly if shifts[best] % 12 == 0 else settings.other_interval
    if highest >= max(settings.agrees, ratio * written):
        return describe_shift(int(shifts[best]), f"agreement {highest:.2f} against {written:.2f}")
    if explains or (programs <= set(BELLS) and spectra.peaks >= settings.peaks_of_noise):
        return None
    kind, what = (
        ("noise", "is noise") if spectra.peaks < settings.peaks_of_noise else ("foreign", "sounds like something else")
    )
    return Disagreement(kind, f"{what} (agreement {written:.2f}, by chance {chance:.2f})")


def describe_shift(semitones: int, figures: str) -> Disagreement:
    """The disagreement that a stem sounds `semitones` above (or, negative, below) its score."""
    octaves, rest = divmod(abs(semitones), 12)
    interval = f"{abs(semitones)} semitones" if rest else "an octave" if octaves == 1 else f"{octaves} octaves"
    where = "lower" if semitones < 0 else "higher"
    return Disagreement("pitch" if rest else "octave", f"sounds {interval} {where} than its score ({figures})")
