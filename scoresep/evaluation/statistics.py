"""How sure a figure is: bootstrap intervals over tracks, and a paired test.

Tracks are what is drawn, so an interval says how much a figure would vary with other test tracks of this kind. It says
nothing about other seeds of training.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 0

Interval = list[float] | None
"""Lower and upper end; None where fewer than two tracks have a value."""
Statistic = Callable[[np.ndarray], np.ndarray]
"""Indices of tracks (..., n) -> a figure of these tracks (...,); NaN where undefined."""


def bootstrap(tracks: int, statistics: Iterable[Statistic]) -> Interval:
    """Percentile interval of the mean of `statistics` (one, or one an instrument); undefined ones are left out.

    The draws follow from `SEED` and the number of tracks, so that figures of the same tracks are drawn together.
    """
    drawn = np.random.default_rng(SEED).integers(0, max(tracks, 1), (RESAMPLES, tracks))
    values = [statistic(drawn) for statistic in statistics]
    if tracks < 2 or not values:
        return None
    means = nanmean(np.stack(values), axis=0)
    tail = 50 * (1 - CONFIDENCE)
    return np.nanpercentile(means, [tail, 100 - tail]).tolist() if np.isfinite(means).any() else None


def nanmean(values: np.ndarray, axis: int | None = None, of: Callable[..., np.ndarray] = np.nanmean) -> np.ndarray:
    """`np.nanmean`, or another such function; NaN, without a warning, where nothing is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return of(values, axis=axis)


def paired(a: np.ndarray, b: np.ndarray) -> dict[str, Any] | None:
    """How the values b differ from those a of the same tracks, (n,) each, NaN where undefined; None if no pair is left.

    Returns:
        `n` pairs; their means `a`, `b`; mean `difference` b - a, `median_difference`, bootstrap `interval` of the mean;
        two-sided `p` value of Wilcoxon's signed-rank test (zero differences left out; 1 if all are zero).
    """
    both = np.isfinite(b - a)
    if not both.any():
        return None
    known = (b - a)[both]
    return {
        "n": len(known),
        "a": float(a[both].mean()),
        "b": float(b[both].mean()),
        "difference": float(known.mean()),
        "median_difference": float(np.median(known)),
        "interval": bootstrap(len(known), [lambda drawn: known[drawn].mean(axis=-1)]),
        "p": float(wilcoxon(known).pvalue) if known.any() else 1.0,
    }


def finite(value: float) -> float | None:
    """`value`, or None if it is not a number: JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
