"""Metrics of separation, and the pairs of truth and estimate that all metrics are computed from.

`metric_table.METRICS` is the table of metrics. Undefined values are NaN. Definitions and settings:
docs/reference/metrics.md.
Metrics of transcription: `transcription.note_metrics`.

SI-SDR: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019; means are not removed.

A pair is one instrument of one track. Its state follows from the truth alone and is thus the same for every estimator.
Of stems: `SCORED`; `SILENT`, where the instrument does not play (SI-SDR is undefined); `ALONE`, where it is nearly all
of the mixture, and would wreck means of improvement. Of transcriptions: `SCORED`, or `NO_NOTES` where the instrument
does not play.

Axes: L samples, N instruments, T frames, P keys, W windows of `REST_SECONDS`, K notes. Notes (K, 4): onset s, offset s,
pitch, velocity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scoresep.errors import InvalidValue
from scoresep.evaluation.bss import LIMIT_DB, BssEval, bss_eval
from scoresep.transcription.note_metrics import Counts, NoteCounts, frame_counts, note_bleed, note_counts

SCORED, SILENT, ALONE, NO_NOTES = "scored", "silent", "alone", "no_notes"
SILENT_DB = -60.0
"""An instrument whose stem has less energy than this, relative to the mixture, does not play."""
ALONE_DB = 15.0
"""SI-SDR of the mixture above which an instrument plays (all but) alone."""
REST_SECONDS = 0.25
"""Window within which an instrument is looked for when its rests are sought."""


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio of (L,) signals in dB; means are not removed.

    Computed in float64, within +-`LIMIT_DB`; NaN for a reference that is zero throughout.

    Raises:
        InvalidValue: the signals do not have the same shape (L,).
    """
    reference, estimate = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    if reference.ndim != 1 or reference.shape != estimate.shape:
        shapes = f"{reference.shape} and {estimate.shape}"
        raise InvalidValue(f"SI-SDR of the shapes {shapes}", remedy="give one channel of each, (L,)")
    energy = _energy(reference)
    if not energy:
        return float("nan")
    target = (float((estimate * reference).sum()) / energy) * reference
    return _ratio_db(_energy(target), _energy(estimate - target))


def bleed_db(mixture: np.ndarray, estimate: np.ndarray) -> float:
    """Energy of an estimate (L,) relative to the mixture's in dB, at least -`LIMIT_DB`; NaN for a silent mixture."""
    whole = _energy(mixture.astype(np.float64))
    return _ratio_db(_energy(estimate.astype(np.float64)), whole) if whole else float("nan")


def resting(mixture: np.ndarray, stem: np.ndarray, rate: int) -> np.ndarray:
    """Windows of `REST_SECONDS` in which an instrument is silent: bool (W,), W = ceil(L / window).

    Silent: its stem (L,) has less energy there than `SILENT_DB` relative to the mixture's (L,) mean over windows.
    """
    floor = 10 ** (SILENT_DB / 10) * _window_energies(mixture, rate).mean()
    silent: np.ndarray = _window_energies(stem, rate) < floor
    return silent


def rest_bleed_db(mixture: np.ndarray, estimate: np.ndarray, rests: np.ndarray, rate: int) -> float:
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
        if not bleed_db(self.mixture, self.stem) > SILENT_DB:
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
    def bleed(self) -> tuple[int, ...]:
        """Notes estimated; of them, those that are another instrument's, and those of each (`note_bleed`)."""
        of_each, others = note_bleed(self.all_true_notes, self.notes, self.place)
        return (len(self.notes), others, *of_each.tolist())
