"""Tuning of the thresholds of note decoding, on validation tracks.

Only spectrograms and scores of the cache are read, never audio or stems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoresep.cache.reader import Cache
from scoresep.errors import NothingToDo
from scoresep.grid import Grid
from scoresep.models.model import Model
from scoresep.transcription.note_decoder import decode_notes
from scoresep.transcription.note_metrics import ONSET_TOLERANCE, Counts, matched_notes, scores
from scoresep.transcription.transcribe import posteriors

CANDIDATES = tuple(round(0.02 * step, 2) for step in range(1, 50))
"""Thresholds tried for frames."""
ONSET_CANDIDATES = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Thresholds tried for onsets; fewer, since the notes are decoded anew for each."""


@dataclass(frozen=True)
class Tuned:
    """Thresholds of keys and of onsets, one an instrument."""

    threshold: list[float]
    onset_threshold: list[float]


def tune_thresholds(model: Model, cache: Cache, split: str = "validation", tracks: int | None = None) -> Tuned:
    """The `threshold` of a model that maximises frame F1, and the `onset_threshold` that maximises note F1 with it.

    Frames, and notes, are pooled over all tracks of `split`, or over so many `tracks` from its beginning. An instrument
    that never sounds there keeps 0.5.
    The model must transcribe (`Model.transcribes`).

    Raises:
        NothingToDo: no track in `split`.
    """
    rows = cache.rows(split)[:tracks]
    if not len(rows):
        problem = f"no track in the split '{split}' to tune thresholds on"
        raise NothingToDo(problem, file=cache.path, remedy="prepare another cache")
    count = len(model.instruments)
    tallies = [Tally(CANDIDATES) for _ in range(count)]
    outputs = [_rolls(model, cache, int(row)) for row in rows]
    for row, (frame, _) in zip(rows, outputs, strict=True):
        roll = cache.roll(int(row))
        for n, tally in enumerate(tallies):
            tally.add(frame[n], roll[:, n])
    thresholds = [tally.best() for tally in tallies]
    truths = [cache.notes(int(row)) for row in rows]
    onsets = [
        _best_onset(model.grid, [(f[n], o[n]) for f, o in outputs], truths, n, thresholds[n]) for n in range(count)
    ]
    return Tuned(thresholds, onsets)


class Tally:
    """Counts of hits and false alarms at every candidate threshold, added up over any number of arrays."""

    def __init__(self, candidates: Sequence[float]) -> None:
        self._candidates = np.sort(np.asarray(candidates, dtype=np.float32))
        self._cells = np.zeros((2, len(candidates) + 1), dtype=np.int64)

    def add(self, probabilities: np.ndarray, truth: np.ndarray) -> None:
        """Take another array of probabilities and its bool truth."""
        reached = np.searchsorted(self._candidates, probabilities.ravel(), side="right")
        for value in (0, 1):
            counted = np.bincount(reached[truth.ravel() == bool(value)], minlength=self._cells.shape[1])
            self._cells[value] += counted

    def best(self) -> float:
        """The threshold with the highest F1, of equals the nearest to 0.5; 0.5 without truth."""
        false, hit = self._cells[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        positives = self._cells[1].sum()
        if not positives:
            return 0.5
        return _nearest_to_half(self._candidates, 2 * hit / np.maximum(hit + false + positives, 1))


def _nearest_to_half(candidates: np.ndarray, f1: np.ndarray) -> float:
    """Of the candidates with the highest F1, (C,) each, the nearest to 0.5."""
    equals = candidates[f1 >= f1.max() - 1e-12]
    return round(float(equals[np.argmin(np.abs(equals - 0.5))]), 6)


def _rolls(model: Model, cache: Cache, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of one track, frames and onsets, float16 (N, T, P) each: a third of a megabyte a second."""
    relative = cache.magnitude(row).astype(np.float32) / np.float32(cache.level(row))
    blocks = list(posteriors(iter([relative]), len(relative), model))
    frame = np.concatenate([block.frame for block in blocks], axis=1)
    onset = np.concatenate([block.onset for block in blocks], axis=1)
    return frame.astype(np.float16), onset.astype(np.float16)


def _best_onset(
    grid: Grid, outputs: Sequence[tuple[np.ndarray, np.ndarray]], truths: Sequence[np.ndarray], n: int, threshold: float
) -> float:
    """The onset threshold of instrument n with the highest pooled note F1; `threshold` is its keys'."""
    true = [notes[notes[:, 4] == n] for notes in truths]
    if not any(len(notes) for notes in true):
        return 0.5
    f1 = []
    for candidate in ONSET_CANDIDATES:
        counts = np.zeros(3, dtype=np.int64)
        for (frame, onset), notes in zip(outputs, true, strict=True):
            estimated = decode_notes(frame, onset, threshold, candidate, grid)
            hits = matched_notes(notes, estimated, ONSET_TOLERANCE)
            counts += (hits, len(estimated) - hits, len(notes) - hits)
        f1.append(scores(Counts(*counts.tolist())).f1)
    return _nearest_to_half(np.array(ONSET_CANDIDATES), np.array(f1))
