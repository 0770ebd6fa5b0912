"""SI-SDR gained over the mixture, of pairs as `scoresep evaluate` scores them. Used by the measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scoresep.evaluation.metric_table import nanmean
from scoresep.evaluation.metrics import SCORED, TrueStem, si_sdr


def gains(mixture: np.ndarray, stems: np.ndarray, estimates: Sequence[np.ndarray], rate: int) -> list[float]:
    """SI-SDR of estimates (N, L) less that of the mixture (L,), dB; NaN for stems that are silent or nearly alone."""
    truths = [TrueStem(mixture, stem, rate) for stem in stems]
    return [
        si_sdr(true.stem, estimate) - true.mixture_si_sdr if true.state == SCORED else np.nan
        for true, estimate in zip(truths, estimates, strict=True)
    ]


def with_mean(found: Sequence[Sequence[float]]) -> np.ndarray:
    """Mean gains over the tracks (..., N), and the mean of those: (N + 1,); NaN only of what was never scored."""
    figures = nanmean(np.array(found), axis=0)
    return np.append(figures, nanmean(figures))
