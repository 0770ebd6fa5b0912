"""Audio files to arrays and rates to rates. Called by corpora, cache and inference.

Whole files are decoded: libFLAC 1.4.0-1.4.2 seeks wrongly, and a corpus is read front to back anyway.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from scoresep.errors import ScoresepError


def read_audio(path: str | Path, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Decode a whole file to mono float32 of shape (L,) and give its rate.

    Channels are averaged. With `sample_rate` (Hz) the signal is resampled to it.

    Raises:
        ScoresepError: the file cannot be decoded to its end, is empty, or holds NaN or infinite samples.
    """
    try:
        with soundfile.SoundFile(path) as file:
            expected, rate = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as fault:
        raise ScoresepError(f"{path} is not readable audio ({_first_line(fault)}); replace or remove it") from fault
    if len(samples) != expected or not len(samples):
        raise ScoresepError(f"{path} is truncated: {len(samples)} of {expected} samples; replace it")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise ScoresepError(f"{path} holds samples that are not numbers; replace it")
    if sample_rate is not None:
        return resample(mono, rate, sample_rate), sample_rate
    return mono, rate


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample (L,) or (L, C) float32 from `rate` to `new_rate` Hz; the length becomes ceil(L * new_rate / rate)."""
    if rate == new_rate:
        return samples
    length = -(-len(samples) * new_rate // rate)
    resampled = soxr.resample(samples, rate, new_rate, quality="HQ").astype(np.float32, copy=False)
    return fit(resampled, length)


def fit(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut or zero-pad the first axis to `length`."""
    if len(samples) >= length:
        return samples[:length]
    return np.pad(samples, [(0, length - len(samples))] + [(0, 0)] * (samples.ndim - 1))


def _first_line(fault: BaseException) -> str:
    return str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
