"""Metrics of separation, and the pairs of truth and estimate that all metrics are computed from.

`metric_table.METRICS` is the table of metrics. Undefined values are NaN. Definitions and settings:
docs/reference/metrics.md.
Metrics of transcription: `transcription.note_metrics`.

SI-SDR: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019; means are not removed.
BSS Eval v4 is museval's.

A pair is one instrument of one track. Its state follows from the truth alone and is thus the same for every estimator.
Of stems: `SCORED`; `SILENT`, where the instrument does not play (SI-SDR is undefined); `ALONE`, where it is nearly all
of the mixture, and would wreck means of improvement. Of transcriptions: `SCORED`, or `NO_NOTES` where the instrument
does not play.

Axes: L samples, N instruments, T frames, P keys, W windows of `REST_SECONDS`, K notes. Notes (K, 4): onset s, offset s,
pitch, velocity.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from scoresep.errors import InvalidValue, Unavailable
from scoresep.transcription.note_metrics import (
    Counts,
    NoteCounts,
    frame_counts,
    match_notes,
    note_bleed,
    note_counts,
    stroke_counts,
)

SCORED, SILENT, ALONE, NO_NOTES = "scored", "silent", "alone", "no_notes"
LIMIT_DB = 100.0
"""Ratios are kept within +-LIMIT_DB: a perfect or an empty estimate stays finite."""
SILENT_DB = -60.0
"""An instrument whose stem has less energy than this, relative to the mixture, does not play."""
ALONE_DB = 15.0
"""SI-SDR of the mixture above which an instrument plays (all but) alone."""
REST_SECONDS = 0.25
"""Window within which an instrument is looked for when its rests are sought."""
BSS_SECONDS = 1.0
"""Length of the windows, and of the step between them, as in SiSEC 2018."""
BSS_TAPS = 512
"""Taps of the distortion filters, samples."""
BSS_FIGURES = ("sdr", "isr", "sir", "sar")


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


class BssEval(NamedTuple):
    """Ratios of a track.

    Attributes:
        figures: medians over windows in dB, within +-`LIMIT_DB`, float64 (4, K), rows as `BSS_FIGURES`; NaN where
            undefined.
        windows: windows in all.
        dropped: windows without a value, because a stem or an estimate is silent there.
    """

    figures: np.ndarray
    windows: int
    dropped: int


def bss_eval(stems: np.ndarray, estimates: np.ndarray, rate: int) -> BssEval:
    """BSS Eval v4 of the estimates of K instruments, each of which plays in the track.

    One set of filters for the whole track; no permutation. A remainder shorter than a window is ignored, as by
    museval; a track shorter than a window is one window. A track with one instrument alone has no interference:
    its SIR is NaN. If an estimate is zero throughout, or the stems are not independent, every window is dropped.

    Args:
        stems, estimates: float (K, L), K >= 1.
        rate: Hz.

    Raises:
        Unavailable: museval is not installed.
    """
    window = round(BSS_SECONDS * rate)
    windows = max(stems.shape[1] // window, 1)
    nothing = BssEval(np.full((len(BSS_FIGURES), len(stems)), np.nan), windows, windows)
    if not np.any(estimates, axis=1).all():
        return nothing
    metrics = museval_metrics()
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            *ratios, _ = metrics.bss_eval(
                stems.astype(np.float64), estimates.astype(np.float64), window, window, filters_len=BSS_TAPS
            )
    except (np.linalg.LinAlgError, AttributeError):  # museval 0.4.1 handles the former by a name that NumPy 2 has not
        return nothing
    values = np.stack(ratios)
    known = ~np.isnan(values).any(axis=(0, 1))
    if not known.any():
        return nothing
    figures = np.median(np.clip(values[:, :, known], -LIMIT_DB, LIMIT_DB), axis=2)
    if len(stems) == 1:
        figures[BSS_FIGURES.index("sir")] = np.nan  # without others, interference is a rounding error
    return BssEval(figures, windows, windows - int(known.sum()))


@cache
def museval_metrics() -> ModuleType:
    """The module `museval.metrics`, loaded by itself, unchanged.

    `import museval` pulls in musdb and stempeg, which raise where the program ffmpeg is missing.

    Raises:
        Unavailable: museval is not installed.
    """
    package = importlib.util.find_spec("museval")  # finds the package, does not import it
    if package is None or package.origin is None:
        raise Unavailable("BSS Eval needs museval, which is not installed", remedy="pip install museval")
    loader = SourceFileLoader("scoresep_museval_metrics", str(Path(package.origin).with_name("metrics.py")))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return module


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
        drums: whether its notes are strokes.
    """

    true_roll: np.ndarray
    roll: np.ndarray
    notes: np.ndarray
    all_true_notes: Sequence[np.ndarray]
    place: int
    drums: bool = False

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
    def matched(self) -> np.ndarray:
        """Indices of true and estimated notes that match by onset and pitch, int64 (M, 2)."""
        return match_notes(self.true_notes, self.notes)

    @cached_property
    def note_counts(self) -> NoteCounts:
        return note_counts(self.true_notes, self.notes, self.matched)

    @cached_property
    def stroke_counts(self) -> NoteCounts:
        """As `note_counts`, kits' keys merged into classes; nothing unless these are drums."""
        return stroke_counts(self.true_notes, self.notes) if self.drums else NoteCounts(0, 0, 0, 0)

    @cached_property
    def bleed(self) -> tuple[int, ...]:
        """Notes estimated; of them, those that are another instrument's, and those of each (`note_bleed`)."""
        of_each, others = note_bleed(self.all_true_notes, self.notes, self.place, self.matched)
        return (len(self.notes), others, *of_each)
