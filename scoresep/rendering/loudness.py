"""Loudness of stems and the gain of a mix, as Slakh does both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyloudnorm

STEM_LUFS = -13.0
"""Integrated loudness every stem is brought to before the overall gain (Slakh's `normalization_factor`)."""
TARGET_PEAK_DB = -1.0
"""Highest peak of mix and stems, dB of full scale (Slakh's `target_peak`)."""
_BLOCK_SECONDS = 0.4


@lru_cache(maxsize=4)
def _meter(sample_rate: int) -> pyloudnorm.Meter:
    return pyloudnorm.Meter(sample_rate)


def integrated_loudness(samples: np.ndarray, sample_rate: int) -> float:
    """Loudness of mono (L,) in LUFS by ITU-R BS.1770-4; -inf where silent or not longer than one block (0.4 s)."""
    if len(samples) <= _BLOCK_SECONDS * sample_rate or not samples.any():
        return -math.inf
    return float(_meter(sample_rate).integrated_loudness(samples.astype(np.float64)))


def mix_stems(stems: Sequence[np.ndarray], loudness: Sequence[float]) -> tuple[list[np.ndarray], np.ndarray, float]:
    """Bring stems (L,) of the given loudness to -13 LUFS each, then all by one gain below the target peak.

    Returns:
        Stems and mix as int16 (L,), the mix exactly the sum of the stems, and the overall gain (linear, at most 1).
    """
    level = [samples * 10 ** ((STEM_LUFS - lufs) / 20) for samples, lufs in zip(stems, loudness, strict=True)]
    # A stem can peak above the mix (others cancel it there); neither may clip.
    peak = max(float(np.abs(samples).max()) for samples in [*level, np.sum(level, axis=0)])
    gain = min(1.0, 10 ** (TARGET_PEAK_DB / 20) / peak)
    integers = [np.rint(samples * (gain * 32767)).astype(np.int16) for samples in level]
    return integers, np.sum(integers, axis=0, dtype=np.int32).astype(np.int16), gain
