"""Does a stem sound when its score says? Onsets against rises of energy, silence, noise."""

from __future__ import annotations

import numpy as np

from scoresep.score_check.evidence import (
    ENVELOPE_RATE,
    FLOOR_DB,
    RISE_DB,
    SILENCE,
    Disagreement,
    Envelope,
    Fit,
    Notes,
    ScoreCheckSettings,
    Sound,
    Spectra,
)
from scoresep.score_check.kernels import energies
from scoresep.score_check.pitch import agreement, note_spectra

LONGEST_LAG = 15.0
"""Seconds by which a stem may be early or late and still be recognised."""
EARLIEST, LATEST = -0.02, 0.06
"""Seconds around a written onset in which a sound is in time: sounds are slow to speak rather than early."""
FEWEST_ONSETS, MOST_ONSETS = 12, 1500
CANDIDATES, NEAR = 4, 0.12
"""Lags that are tried; seconds within which two of them are one."""


def envelope_of(samples: np.ndarray, rate: int) -> Envelope:
    """Energy of samples (L,) in steps of about 10 ms."""
    step = rate // ENVELOPE_RATE
    energy, edges = energies(samples, step)
    return Envelope(energy, edges, rate / step, max(float(np.quantile(energy, 0.98)), SILENCE))


def rises(energy: np.ndarray) -> np.ndarray:
    """How surely a sound begins in each step or beside it: float32 (T,), 0 to 1, of mean squares (T,)."""
    level = 10 * np.log10(energy + np.quantile(energy, 0.98) * 10 ** (FLOOR_DB / 10) + 1e-20)
    rise = np.zeros(len(level) + 2, dtype=np.float32)
    for steps in (1, 2, 3):
        rise[1 + steps : -1] = np.maximum(rise[1 + steps : -1], level[steps:] - level[:-steps])
    rise = np.minimum(rise / RISE_DB, 1.0)
    surely: np.ndarray = np.maximum(np.maximum(rise[:-2], rise[2:]), rise[1:-1])
    return surely


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
        fits.append((hits(rise, steps, longest) - chance) / (1.0 - chance))
    return np.maximum(*fits), count


def hits(rise: np.ndarray, steps: np.ndarray, longest: int) -> np.ndarray:
    """Mean of `rise` (T,) at steps + lag, for each lag from -longest to longest, float64."""
    padded, width = np.pad(rise, longest), 2 * longest + 1
    total = np.zeros(width, dtype=np.float32)
    for step in steps[steps < len(rise)]:
        total += padded[step : step + width]
    return total.astype(np.float64) / max(len(steps), 1)


def best_offset(sound: Sound, spectra: Spectra | None, settings: ScoreCheckSettings) -> tuple[Fit, Fit] | None:
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
        lag, hit_share = (step - middle) / rate, float(onsets[step])
        # Windows at the written onsets say little about short notes that sound elsewhere.
        better = hit_share > written.onsets + settings.gain and not sound.is_drum
        at_lag = note_spectra(sound, lag) if better else spectra
        rivals.append(Fit(lag, hit_share, sounds_alike(sound, at_lag, lag)))
        onsets[max(step - 6, 0) : step + 7] = -1.0
    best = max(rivals, key=lambda fit: fit.total)
    clear = best.total - written.total > settings.gain + settings.gain_of_few / np.sqrt(count)
    others = [rival.onsets for rival in (written, *rivals) if abs(rival.lag - best.lag) > NEAR]
    hit = best.onsets >= min(
        settings.most_hit, max(settings.fewest_hit, max(others, default=0.0) + settings.stands_out)
    )
    alike = sound.is_drum or best.sounds >= settings.fewest_alike
    slow = 0 < best.lag <= settings.slow and sharpness(sound.envelope, sound.notes, best.lag) < settings.sharp
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


def describe_offset(written: Fit, best: Fit) -> Disagreement:
    """The disagreement that a stem is early or late."""
    when = f"{abs(best.lag):.2f} s {'after' if best.lag > 0 else 'before'} its score"
    return Disagreement(
        "offset", f"sounds {when} ({best.onsets:.0%} of the onsets there, {max(written.onsets, 0.0):.0%} as written)"
    )


def missing_audio(envelope: Envelope, notes: Notes, lag: float, settings: ScoreCheckSettings) -> Disagreement | None:
    """Notes at whose time nothing sounds, while others sound."""
    onset, end = notes.onset + lag, np.minimum(notes.offset, notes.onset + 1.0) + lag + 0.1
    inside = notes.loud & (onset >= 0) & (onset < len(envelope.energy) / envelope.rate - 0.05)
    unheard = inside & (envelope.loudest(onset, end) < settings.missing_db)
    count, judged = int(unheard.sum()), int(inside.sum())
    if count < max(settings.missing_notes, settings.missing_share * judged):
        return None
    where = notes.onset[unheard]
    return Disagreement(
        "missing audio", f"{count} of {judged} notes do not sound, between {where[0]:.1f} and {where[-1]:.1f} s"
    )


def steady_noise(envelope: Envelope, spectra: Spectra | None, settings: ScoreCheckSettings) -> Disagreement | None:
    """Broad-band noise that never stops: it is left in the quietest moments and common to all spectra."""
    white = float(np.quantile(envelope.edges, 0.05)) / 2
    level = 10 * float(np.log10(white / float(envelope.energy.mean()) + 1e-12))
    if level < settings.noise_db or (spectra is not None and spectra.steady_db < settings.steady_db):
        return None
    return Disagreement("noise", f"holds steady noise, {level:.0f} dB of its mean level")
