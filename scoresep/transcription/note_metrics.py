"""Metrics of transcription: arrays in, counts and scores out. Undefined values are NaN.

Frames: Poliner, Ellis, "A discriminative model for polyphonic piano transcription", 2007 (accuracy = hits / all).
Notes: `mir_eval.transcription` with its usual tolerances (MIREX): onset 50 ms, pitch 50 cents, offset the larger
of 20 % of the note and 50 ms. Definitions and settings: docs/reference/metrics.md.

Axes: T frames, P keys, K notes. Notes (K, 4): onset s, offset s, pitch (MIDI number), velocity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mir_eval.transcription
import mir_eval.util
import numpy as np
from numpy.typing import ArrayLike

from scoresep.compiled import compiled

ONSET_TOLERANCE = 0.05
"""Seconds."""
PITCH_TOLERANCE = 50.0
"""Cents."""
OFFSET_RATIO = 0.2
OFFSET_TOLERANCE = 0.05
"""Seconds."""

DRUM_CLASSES = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "tom": (41, 43, 45, 47, 48, 50),
    "hi-hat": (42, 44, 46),
    "cymbal": (49, 51, 52, 53, 55, 57, 59),
}
"""General MIDI keys of a drum kit, merged as drum transcription does (Wu et al., "A Review of Automatic Drum
Transcription", 2018)."""


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


def note_counts(true: np.ndarray, estimated: np.ndarray, matched: np.ndarray | None = None) -> NoteCounts:
    """Matched notes of two lists, (K, 4) each: onset s, offset s, pitch, velocity (velocities are not compared).

    `matched`: what `match_notes` gives for them, if that is known already.
    """
    matched = match_notes(true, estimated) if matched is None else matched
    return NoteCounts(len(true), len(estimated), len(matched), len(match_notes(true, estimated, OFFSET_RATIO)))


def note_scores(counts: ArrayLike, offset: bool = False) -> Scores:
    """Scores (...) from `NoteCounts` (..., 4), by onset and pitch, or by `offset` too.

    NaN if there are no true notes; 0 if there are but none was estimated.
    """
    true, estimated, *hits = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    hit = hits[offset]
    each = scores(np.stack([hit, estimated - hit, true - hit], axis=-1))
    return Scores(*(np.where(true > 0, score, np.nan)[()] for score in each))


def stroke_counts(true: np.ndarray, estimated: np.ndarray) -> NoteCounts:
    """`note_counts` of strokes, as of notes whose keys are those of their `DRUM_CLASSES`; other keys do not count."""
    merged = np.full(128, -1)
    for keys in DRUM_CLASSES.values():
        merged[list(keys)] = keys[0]
    both = []
    for notes in (true, estimated):
        merged_keys = merged[notes[:, 2].astype(np.int64)]
        both.append(np.column_stack([notes[:, :2], merged_keys, notes[:, 3:]])[merged_keys >= 0])
    return note_counts(*both)


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


def note_bleed(
    true: Sequence[np.ndarray], estimated: np.ndarray, place: int, matched: np.ndarray
) -> tuple[list[int], int]:
    """Of the notes estimated for the instrument at `place`, how many are notes of the others.

    What matches a note of that instrument (onset and pitch) is right and no bleed; the rest is matched with each other.

    Args:
        true: notes (K, 4) of each of the N instruments.
        estimated: notes (K, 4).
        matched: `match_notes(true[place], estimated)`.

    Returns:
        notes matched with each instrument, N of them, at `place` those that are right; and the notes matched with any
        other (less than the sum over others where they play in unison).
    """
    rest = np.delete(estimated, matched[:, 1], axis=0)
    counts = [len(matched) if n == place else len(match_notes(notes, rest)) for n, notes in enumerate(true)]
    others = [*true[:place], *true[place + 1 :]]
    return counts, len(match_notes(np.concatenate(others), rest)) if others else 0


def _notes_for_mir_eval(notes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intervals (K, 2) s and pitches (K,) Hz; an empty interval, which mir_eval refuses, becomes a millisecond."""
    times = notes[:, :2].astype(np.float64)
    times[:, 1] = np.maximum(times[:, 1], times[:, 0] + 1e-3)
    return times, mir_eval.util.midi_to_hz(notes[:, 2].astype(np.float64))


def matched_notes(true: np.ndarray, estimated: np.ndarray, tolerance: float) -> int:
    """Most notes that can be paired by pitch and onset within `tolerance` seconds; columns onset, offset, pitch, ...

    As many as `match_notes` pairs (whole semitones), some hundred times faster: within one pitch,
    pairing in order of time is the largest matching.
    """
    tables = [notes[np.lexsort((notes[:, 0], notes[:, 2]))].astype(np.float64) for notes in (true, estimated)]
    return int(_pair(tables[0][:, 0], tables[0][:, 2], tables[1][:, 0], tables[1][:, 2], tolerance))


@compiled()
def _pair(
    true_onset: np.ndarray, true_pitch: np.ndarray, onset: np.ndarray, pitch: np.ndarray, tolerance: float
) -> int:
    """Pairs of two lists ordered by pitch, then onset."""
    hits = i = j = 0
    while i < len(true_onset) and j < len(onset):
        if true_pitch[i] < pitch[j] or (true_pitch[i] == pitch[j] and true_onset[i] < onset[j] - tolerance):
            i += 1
        elif true_pitch[i] > pitch[j] or true_onset[i] > onset[j] + tolerance:
            j += 1
        else:
            hits += 1
            i += 1
            j += 1
    return hits
