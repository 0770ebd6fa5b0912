"""Measures of separation and transcription: arrays in, numbers out. Called by `evaluate` and by tests.

Undefined values are NaN; the caller leaves them out and counts them.

SI-SDR: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019; means are not removed.
Notes: `mir_eval.transcription` with its usual tolerances (MIREX): onset 50 ms, pitch 50 cents, offset the larger
of 20 % of the note and 50 ms.
"""

from __future__ import annotations

from typing import NamedTuple

import mir_eval.transcription
import numpy as np

LIMIT_DB = 100.0
"""Ratios are kept within +-LIMIT_DB: a perfect or an empty estimate stays finite."""
ONSET_TOLERANCE = 0.05
"""Seconds."""
PITCH_TOLERANCE = 50.0
"""Cents."""
OFFSET_RATIO = 0.2
OFFSET_TOLERANCE = 0.05
"""Seconds."""


class Scores(NamedTuple):
    """Precision, recall and their harmonic mean, 0 to 1 each."""

    precision: float
    recall: float
    f1: float


class Counts(NamedTuple):
    """True positives, false positives, false negatives."""

    hit: int
    false: int
    missed: int


class NoteScores(NamedTuple):
    """Scores of notes by onset and pitch, and the F1 that asks for the right offset too."""

    precision: float
    recall: float
    f1: float
    offset_f1: float


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio of (L,) signals in dB; means are not removed.

    Computed in float64, within +-`LIMIT_DB`; NaN for a reference that is zero throughout.
    """
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    energy = reference @ reference
    if not energy:
        return float("nan")
    target = (estimate @ reference / energy) * reference
    return _ratio_db(_energy(target), _energy(estimate - target))


def leak_db(mixture: np.ndarray, estimate: np.ndarray) -> float:
    """Energy of an estimate (L,) relative to the mixture's in dB, at least -`LIMIT_DB`; NaN for a silent mixture."""
    whole = _energy(mixture.astype(np.float64))
    return _ratio_db(_energy(estimate.astype(np.float64)), whole) if whole else float("nan")


def _energy(signal: np.ndarray) -> float:
    return float(signal @ signal)


def _ratio_db(above: float, below: float) -> float:
    tiny = 10 ** (-LIMIT_DB / 10)
    return 10 * float(np.log10(max(above, tiny * below) / max(below, tiny * above))) if above or below else -LIMIT_DB


def frame_counts(true: np.ndarray, estimated: np.ndarray) -> Counts:
    """Hits, false alarms and misses of bool rolls of one shape, such as (T, P)."""
    hit = int(np.count_nonzero(true & estimated))
    return Counts(hit, int(np.count_nonzero(estimated)) - hit, int(np.count_nonzero(true)) - hit)


def scores(counts: Counts) -> Scores:
    """Scores from counts: NaN if nothing is true and nothing estimated, 0 where only one of them is empty."""
    hit, false, missed = counts
    if not hit + false + missed:
        return Scores(float("nan"), float("nan"), float("nan"))
    return Scores(hit / max(hit + false, 1), hit / max(hit + missed, 1), 2 * hit / (2 * hit + false + missed))


def frame_scores(true: np.ndarray, estimated: np.ndarray) -> Scores:
    """Frame-wise scores of bool rolls (T, P): every key in every frame counts once."""
    return scores(frame_counts(true, estimated))


def midi_to_hz(pitch: np.ndarray) -> np.ndarray:
    """MIDI numbers to Hz, A4 = 69 = 440 Hz."""
    return 440.0 * 2.0 ** ((np.asarray(pitch, dtype=np.float64) - 69.0) / 12.0)


def note_scores(true: np.ndarray, estimated: np.ndarray) -> NoteScores:
    """Scores of notes, (K, 4) each: onset s, offset s, pitch, velocity (velocities are not compared).

    NaN if there are no true notes; 0 if there are but none was estimated.
    """
    if not len(true):
        return NoteScores(*[float("nan")] * 4)
    if not len(estimated):
        return NoteScores(0.0, 0.0, 0.0, 0.0)
    arguments = (*_notes_for_mir_eval(true), *_notes_for_mir_eval(estimated))
    common = {"onset_tolerance": ONSET_TOLERANCE, "pitch_tolerance": PITCH_TOLERANCE}
    precision, recall, f1, _ = mir_eval.transcription.precision_recall_f1_overlap(
        *arguments, offset_ratio=None, **common
    )
    *_, offset_f1, _ = mir_eval.transcription.precision_recall_f1_overlap(
        *arguments, offset_ratio=OFFSET_RATIO, offset_min_tolerance=OFFSET_TOLERANCE, **common
    )
    return NoteScores(float(precision), float(recall), float(f1), float(offset_f1))


def _notes_for_mir_eval(notes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intervals (K, 2) s and pitches (K,) Hz; an empty interval, which mir_eval refuses, becomes a millisecond."""
    times = notes[:, :2].astype(np.float64)
    times[:, 1] = np.maximum(times[:, 1], times[:, 0] + 1e-3)
    return times, midi_to_hz(notes[:, 2])
