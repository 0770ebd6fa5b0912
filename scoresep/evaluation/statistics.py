"""How sure a figure is: bootstrap intervals over tracks, and a paired test. Called by `summary` and `compare`.

Tracks are what is drawn, so an interval says how much a figure would vary with other test tracks of this kind. It says
nothing about other seeds of training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import wilcoxon

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 0

Interval = list[float] | None
"""Lower and upper end; None where fewer than two tracks have a value."""
Statistic = Callable[[np.ndarray], np.ndarray]
"""Indices of tracks (..., n) -> a figure of these tracks (...,); NaN where undefined."""


class Bootstrap:
    """Percentile intervals from one set of resamples, so that figures of the same tracks are drawn together.

    Args:
        tracks: n, from which n are drawn with replacement, `resamples` times.
    """

    def __init__(self, tracks: int, resamples: int = RESAMPLES, seed: int = SEED) -> None:
        self._tracks = tracks
        self._draws = np.random.default_rng(seed).integers(0, max(tracks, 1), (resamples, tracks))

    def interval(self, *statistics: Statistic) -> Interval:
        """Interval of the mean of `statistics` (one, or one an instrument); undefined ones are left out."""
        if self._tracks < 2:
            return None
        values = nanmean(np.stack([statistic(self._draws) for statistic in statistics]), axis=0)
        values = values[np.isfinite(values)]
        if not len(values):
            return None
        tail = 50 * (1 - CONFIDENCE)
        return [float(value) for value in np.percentile(values, [tail, 100 - tail])]


def mean_of(values: np.ndarray) -> Statistic:
    """The mean of float (n,) with NaN where undefined; itself undefined if fewer than two tracks have a value."""
    return _undefined if np.isfinite(values).sum() < 2 else lambda drawn: nanmean(values[drawn], axis=-1)


def median_of(values: np.ndarray) -> Statistic:
    """The median of the same."""
    return _undefined if np.isfinite(values).sum() < 2 else lambda drawn: nanmedian(values[drawn])


def f1_of(counts: np.ndarray) -> Statistic:
    """F1 of counts int (n, 3), `metrics.Counts` a track, pooled over the tracks."""
    if (counts.sum(axis=1) > 0).sum() < 2:
        return _undefined

    def pooled(drawn: np.ndarray) -> np.ndarray:
        hit, false, missed = np.moveaxis(counts[drawn].sum(axis=-2), -1, 0)
        return ratio(2 * hit, 2 * hit + false + missed)

    return pooled


def _undefined(drawn: np.ndarray) -> np.ndarray:
    return np.full(drawn.shape[:-1], np.nan)


def nanmean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what is not NaN; NaN, without a warning, where nothing is left."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis=axis), known.sum(axis=axis))


def nanmedian(values: np.ndarray) -> np.ndarray:
    """Median over the last axis of what is not NaN; NaN where nothing is left."""
    ordered = np.sort(values, axis=-1)  # NaN comes last
    known = np.isfinite(values).sum(axis=-1, keepdims=True)
    middle = [np.take_along_axis(ordered, np.maximum(place, 0), axis=-1) for place in ((known - 1) // 2, known // 2)]
    return np.where(known > 0, (middle[0] + middle[1]) / 2, np.nan)[..., 0]


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where `below` is 0."""
    return np.where(below > 0, above / np.maximum(below, 1), np.nan)


class Paired(NamedTuple):
    """Differences of pairs.

    Attributes:
        n: pairs.
        mean, median: of the differences.
        interval: bootstrap interval of the mean.
        p: two-sided p value of Wilcoxon's signed-rank test (zero differences left out); 1 if all are zero.
    """

    n: int
    mean: float
    median: float
    interval: Interval
    p: float


def paired(differences: np.ndarray) -> Paired | None:
    """Test differences (n,), NaN where a pair is undefined; None if no pair is left."""
    known = differences[np.isfinite(differences)]
    if not len(known):
        return None
    p = float(wilcoxon(known).pvalue) if known.any() else 1.0
    interval = Bootstrap(len(known)).interval(mean_of(known))
    return Paired(len(known), float(known.mean()), float(np.median(known)), interval, p)


def finite(value: float) -> float | None:
    """`value`, or None if it is not a number: JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
