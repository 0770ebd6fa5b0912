"""Formulas of separation and transcription metrics: arrays in, numbers out. `registry.METRICS` says how they are used.

Undefined values are NaN. Definitions and settings: docs/reference/metrics.md.

SI-SDR: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019; means are not removed.
Frames: Poliner, Ellis, "A discriminative model for polyphonic piano transcription", 2007 (accuracy = hits / all).
Notes: `mir_eval.transcription` with its usual tolerances (MIREX): onset 50 ms, pitch 50 cents, offset the larger
of 20 % of the note and 50 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mir_eval.transcription
import mir_eval.util
import numpy as np
from numpy.typing import ArrayLike

from scoresep.errors import ScoresepError

LIMIT_DB = 100.0
"""Ratios are kept within +-LIMIT_DB: a perfect or an empty estimate stays finite."""
SILENT_DB = -60.0
"""An instrument whose stem has less energy than this, relative to the mixture, does not play."""
ALONE_DB = 15.0
"""SI-SDR of the mixture above which an instrument plays (all but) alone."""
REST_SECONDS = 0.25
"""Window within which an instrument is looked for when its rests are sought."""
ONSET_TOLERANCE = 0.05
"""Seconds."""
PITCH_TOLERANCE = 50.0
"""Cents."""
OFFSET_RATIO = 0.2
OFFSET_TOLERANCE = 0.05
"""Seconds."""


class Counts(NamedTuple):
    """True positives, false positives, false negatives."""

    hit: int
    false: int
    missed: int


class NoteCounts(NamedTuple):
    """How many notes there are, how many were estimated, how many pairs match by onset, by onset and offset."""

    true: int
    estimated: int
    matched: int
    matched_offset: int


class Scores(NamedTuple):
    """Precision, recall, their harmonic mean, and accuracy (hits / (hits + false alarms + misses)); 0 to 1 each."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    accuracy: np.ndarray


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio of (L,) signals in dB; means are not removed.

    Computed in float64, within +-`LIMIT_DB`; NaN for a reference that is zero throughout.

    Raises:
        ScoresepError: the signals have not the same shape (L,).
    """
    reference, estimate = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    if reference.ndim != 1 or reference.shape != estimate.shape:
        raise ScoresepError(
            f"SI-SDR of the shapes {reference.shape} and {estimate.shape}; give one channel of each, (L,)"
        )
    energy = _energy(reference)
    if not energy:
        return float("nan")
    target = (float((estimate * reference).sum()) / energy) * reference
    return _ratio_db(_energy(target), _energy(estimate - target))


def leak_db(mixture: np.ndarray, estimate: np.ndarray) -> float:
    """Energy of an estimate (L,) relative to the mixture's in dB, at least -`LIMIT_DB`; NaN for a silent mixture."""
    whole = _energy(mixture.astype(np.float64))
    return _ratio_db(_energy(estimate.astype(np.float64)), whole) if whole else float("nan")


def resting(mixture: np.ndarray, stem: np.ndarray, rate: int) -> np.ndarray:
    """Windows of `REST_SECONDS` in which an instrument is silent: bool (W,), W = ceil(L / window).

    Silent: its stem (L,) has less energy there than `SILENT_DB` relative to the mixture's (L,) mean over windows.
    """
    floor = 10 ** (SILENT_DB / 10) * _window_energies(mixture, rate).mean()
    return _window_energies(stem, rate) < floor


def rest_leak_db(mixture: np.ndarray, estimate: np.ndarray, rests: np.ndarray, rate: int) -> float:
    """Energy of an estimate (L,) in the windows `rests` (W,) relative to the mixture's there, dB, at least -`LIMIT_DB`.

    NaN if there is no such window, or the mixture is silent in all of them.
    """
    whole = float(_window_energies(mixture, rate)[rests].sum())
    return _ratio_db(float(_window_energies(estimate, rate)[rests].sum()), whole) if whole else float("nan")


def _window_energies(signal: np.ndarray, rate: int) -> np.ndarray:
    """float64 (W,); the last window may be short."""
    starts = np.arange(0, len(signal), round(REST_SECONDS * rate))
    return np.add.reduceat(np.square(signal, dtype=np.float64), starts)


def _energy(signal: np.ndarray) -> float:
    """Summed by NumPy, not by BLAS, whose result depends on its threads."""
    return float(np.square(signal).sum())


def _ratio_db(above: float, below: float) -> float:
    tiny = 10 ** (-LIMIT_DB / 10)
    return 10 * float(np.log10(max(above, tiny * below) / max(below, tiny * above))) if above or below else -LIMIT_DB


def frame_counts(true: np.ndarray, estimated: np.ndarray) -> Counts:
    """Hits, false alarms and misses of bool rolls of one shape, such as (T, P): a key counts once a frame."""
    hit = int(np.count_nonzero(true & estimated))
    return Counts(hit, int(np.count_nonzero(estimated)) - hit, int(np.count_nonzero(true)) - hit)


def scores(counts: ArrayLike) -> Scores:
    """Scores (...) from `Counts` (..., 3): NaN if nothing is true and nothing estimated, 0 where only one is empty."""
    hit, false, missed = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    union = hit + false + missed
    pairs = ((hit, hit + false), (hit, hit + missed), (2 * hit, hit + union), (hit, union))
    return Scores(*(np.where(union > 0, above / np.maximum(below, 1), np.nan)[()] for above, below in pairs))


def note_counts(true: np.ndarray, estimated: np.ndarray) -> NoteCounts:
    """Matched notes of two lists, (K, 4) each: onset s, offset s, pitch, velocity (velocities are not compared)."""
    matched = match_notes(true, estimated)
    both = match_notes(true, estimated, OFFSET_RATIO)
    return NoteCounts(len(true), len(estimated), len(matched), len(both))


def note_scores(counts: ArrayLike, offset: bool = False) -> Scores:
    """Scores (...) from `NoteCounts` (..., 4), by onset and pitch, or by `offset` too.

    NaN if there are no true notes; 0 if there are but none was estimated.
    """
    true, estimated, *hits = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    hit = hits[offset]
    found = scores(np.stack([hit, estimated - hit, true - hit], axis=-1))
    return Scores(*(np.where(true > 0, score, np.nan)[()] for score in found))


def match_notes(true: np.ndarray, estimated: np.ndarray, offset_ratio: float | None = None) -> np.ndarray:
    """A largest matching of two lists of notes (see `note_counts`): int64 (M, 2), indices of true and estimated.

    Args:
        offset_ratio: None to match by onset and pitch only, else the share of its length by which an offset may differ.
    """
    if not len(true) or not len(estimated):
        return np.zeros((0, 2), dtype=np.int64)
    pairs = mir_eval.transcription.match_notes(
        *_notes_for_mir_eval(true),
        *_notes_for_mir_eval(estimated),
        onset_tolerance=ONSET_TOLERANCE,
        pitch_tolerance=PITCH_TOLERANCE,
        offset_ratio=offset_ratio,
        offset_min_tolerance=OFFSET_TOLERANCE,
    )
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def note_leaks(true: Sequence[np.ndarray], estimated: np.ndarray, own: int) -> tuple[np.ndarray, int]:
    """Of the notes estimated for instrument `own`, how many are notes of the others.

    What matches a note of `own` (onset and pitch) is right and cannot leak; the rest is matched with each other one.

    Args:
        true: notes (K, 4) of each of the N instruments.
        estimated: notes (K, 4) estimated for `own`.

    Returns:
        notes matched with each instrument, int64 (N,), in its own place those that are right; and the notes matched
        with any other (less than the sum over others where they play in unison).
    """
    right = match_notes(true[own], estimated)
    rest = np.delete(estimated, right[:, 1], axis=0)
    counts = [len(right) if n == own else len(match_notes(notes, rest)) for n, notes in enumerate(true)]
    others = [notes for n, notes in enumerate(true) if n != own]
    leaked = len(match_notes(np.concatenate(others), rest)) if others else 0
    return np.array(counts, dtype=np.int64), leaked


def _notes_for_mir_eval(notes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intervals (K, 2) s and pitches (K,) Hz; an empty interval, which mir_eval refuses, becomes a millisecond."""
    times = notes[:, :2].astype(np.float64)
    times[:, 1] = np.maximum(times[:, 1], times[:, 0] + 1e-3)
    return times, mir_eval.util.midi_to_hz(notes[:, 2].astype(np.float64))
