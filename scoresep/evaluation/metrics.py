"""Formulas of separation and transcription metrics: arrays in, numbers out. `registry.METRICS` says how they are used.

Undefined values are NaN. Definitions and settings: docs/evaluation.md.

SI-SDR: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019; means are not removed.
Frames: Poliner, Ellis, "A discriminative model for polyphonic piano transcription", 2007 (accuracy = hits / all).
Notes: `mir_eval.transcription` with its usual tolerances (MIREX): onset 50 ms, pitch 50 cents, offset the larger
of 20 % of the note and 50 ms.
"""

from __future__ import annotations

import numpy as np

from scoresep.errors import ScoresepError

LIMIT_DB = 100.0
"""Ratios are kept within +-LIMIT_DB: a perfect or an empty estimate stays finite."""
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
