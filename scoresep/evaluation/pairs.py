"""What metrics are computed from: one instrument of one track, as it is and as it was estimated.

A pair has a state, which follows from the truth alone and is thus the same for every estimator. Of stems: `SCORED`;
`SILENT`, where the instrument does not play (SI-SDR is undefined); `ALONE`, where it is nearly all of the mixture, and
would wreck means of improvement. Of transcriptions: `SCORED`, or `NO_NOTES` where the instrument does not play.

Axes: L samples, N instruments, T frames, P keys, W windows of `metrics.REST_SECONDS`, K notes. Notes (K, 4): onset s,
offset s, pitch, velocity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scoresep.evaluation.bss import BssEval, bss_eval
from scoresep.evaluation.metrics import ALONE_DB, REST_SECONDS, SILENT_DB, leak_db, resting, si_sdr
from scoresep.transcription.metrics import Counts, NoteCounts, frame_counts, note_counts, note_leaks

SCORED, SILENT, ALONE, NO_NOTES = "scored", "silent", "alone", "no_notes"


@dataclass(frozen=True)
class TrueStem:
    """A stem in its mixture, float32 (L,) each, at `rate` Hz."""

    mixture: np.ndarray
    stem: np.ndarray
    rate: int

    @cached_property
    def mixture_si_sdr(self) -> float:
        """SI-SDR of the mixture, dB: what an estimate has to improve on."""
        return si_sdr(self.stem, self.mixture)

    @cached_property
    def rests(self) -> np.ndarray:
        """Windows in which the instrument is silent, bool (W,)."""
        return resting(self.mixture, self.stem, self.rate)

    @property
    def rest_seconds(self) -> float:
        """Length of the rests; the last window may be short."""
        window = round(REST_SECONDS * self.rate)
        lengths = np.diff(np.append(np.arange(0, len(self.mixture), window), len(self.mixture)))
        return float(lengths[self.rests].sum() / self.rate)

    @cached_property
    def state(self) -> str:
        if not leak_db(self.mixture, self.stem) > SILENT_DB:
            return SILENT
        return ALONE if self.mixture_si_sdr > ALONE_DB else SCORED


@dataclass(frozen=True)
class Stems:
    """All instruments of a track, separated: `estimates` float32 (N, L)."""

    truth: Sequence[TrueStem]
    estimates: np.ndarray

    @cached_property
    def pairs(self) -> list[StemPair]:
        return [
            StemPair(true, estimate, self, n)
            for n, (true, estimate) in enumerate(zip(self.truth, self.estimates, strict=True))
        ]

    @cached_property
    def playing(self) -> list[int]:
        """Places of the instruments that are not silent."""
        return [n for n, true in enumerate(self.truth) if true.state != SILENT]

    @cached_property
    def bss(self) -> BssEval:
        """BSS Eval of the instruments that play."""
        stems = np.stack([self.truth[n].stem for n in self.playing])
        return bss_eval(stems, self.estimates[self.playing], self.truth[0].rate)


@dataclass(frozen=True)
class StemPair:
    """One instrument: the true stem in its mixture, the estimate (L,), and the whole track that it is `place` of."""

    truth: TrueStem
    estimate: np.ndarray
    track: Stems
    place: int

    @property
    def state(self) -> str:
        return self.truth.state


@dataclass(frozen=True)
class NotePair:
    """One instrument of a transcription.

    Attributes:
        true_roll, roll: keys that sound, bool (T, P).
        true_notes, notes: (K, 4).
        all_true_notes: (K, 4) of each instrument that has notes; those of this one are at `place`.
    """

    true_roll: np.ndarray
    roll: np.ndarray
    notes: np.ndarray
    all_true_notes: Sequence[np.ndarray]
    place: int

    @property
    def true_notes(self) -> np.ndarray:
        return self.all_true_notes[self.place]

    @property
    def state(self) -> str:
        return SCORED if self.true_roll.any() else NO_NOTES

    @cached_property
    def frame_counts(self) -> Counts:
        return frame_counts(self.true_roll, self.roll)

    @cached_property
    def note_counts(self) -> NoteCounts:
        return note_counts(self.true_notes, self.notes)

    @cached_property
    def leaks(self) -> tuple[int, ...]:
        """Notes estimated; of them, those that are another instrument's, and those of each (`metrics.note_leaks`)."""
        of_each, leaked = note_leaks(self.all_true_notes, self.notes, self.place)
        return (len(self.notes), leaked, *of_each.tolist())
