"""BSS Eval v4 of one track, by museval.

`import museval` pulls in musdb and stempeg, which raise where the program ffmpeg is missing. Its module `metrics` needs
NumPy and SciPy only, so that file is loaded by itself, unchanged, from where museval is installed.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from scoresep.errors import Unavailable

LIMIT_DB = 100.0
"""Ratios are kept within +-LIMIT_DB: a perfect or an empty estimate stays finite."""
WINDOW_SECONDS = 1.0
"""Length of the windows, and of the step between them, as in SiSEC 2018."""
FILTER = 512
"""Taps of the distortion filters, samples."""
FIGURES = ("sdr", "isr", "sir", "sar")


class BssEval(NamedTuple):
    """Ratios of a track.

    Attributes:
        figures: medians over windows in dB, within +-`LIMIT_DB`, float64 (4, K), rows as `FIGURES`; NaN where
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
    window = round(WINDOW_SECONDS * rate)
    windows = max(stems.shape[1] // window, 1)
    nothing = BssEval(np.full((len(FIGURES), len(stems)), np.nan), windows, windows)
    if not np.any(estimates, axis=1).all():
        return nothing
    metrics = museval_metrics()
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            *ratios, _ = metrics.bss_eval(
                stems.astype(np.float64), estimates.astype(np.float64), window, window, filters_len=FILTER
            )
    except (np.linalg.LinAlgError, AttributeError):  # museval 0.4.1 handles the former by a name that NumPy 2 has not
        return nothing
    values = np.stack(ratios)
    known = ~np.isnan(values).any(axis=(0, 1))
    if not known.any():
        return nothing
    figures = np.median(np.clip(values[:, :, known], -LIMIT_DB, LIMIT_DB), axis=2)
    if len(stems) == 1:
        figures[FIGURES.index("sir")] = np.nan  # without others, interference is a rounding error
    return BssEval(figures, windows, windows - int(known.sum()))


@cache
def museval_metrics() -> ModuleType:
    """The module `museval.metrics`, loaded without the package around it.

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
