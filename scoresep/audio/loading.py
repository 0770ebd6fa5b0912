"""Whole audio files as arrays, and sample rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soxr

from scoresep.audio.decoding.recording import open_recording
from scoresep.errors import Failed, Mismatch


def read_audio(path: str | Path, sample_rate: int | None = None, channels: int | None = None) -> tuple[np.ndarray, int]:
    """Decode a whole file to mono float32 of shape (L,) and give its rate.

    Channels are averaged. With `sample_rate` (Hz) the signal is resampled to it.

    Raises:
        NotFound, WrongFormat, Damaged: as `open_recording`, and if the file cannot be decoded to its end.
        Mismatch: it has another number of channels than `channels`.
        Failed: it does not fit into memory.
    """
    recording = open_recording(path)
    if channels is not None and recording.channels != channels:
        problem = f"has {recording.channels} channels, where {channels} are expected"
        raise Mismatch(problem, file=path, remedy="replace it")
    try:
        mono = np.empty(recording.samples, dtype=np.float32)
    except MemoryError as fault:
        raise Failed(f"does not fit into memory ({fault})", file=path, remedy="cut it into pieces") from fault
    done = 0
    for block in recording.chunks():
        mono[done : done + len(block)] = average(block)
        done += len(block)
    if sample_rate is None:
        return mono, recording.rate
    return resample(mono, recording.rate, sample_rate), sample_rate


def average(samples: np.ndarray) -> np.ndarray:
    """Mean of the channels: float32 (L, C) -> (L,). `mean(axis=1)` takes ten times as long for two channels."""
    total = samples[:, 0]
    for channel in range(1, samples.shape[1]):
        total = total + samples[:, channel]
    return total / np.float32(samples.shape[1]) if samples.shape[1] > 1 else total


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample (L,) or (L, C) float32 from `rate` to `new_rate` Hz; the length becomes ceil(L * new_rate / rate)."""
    if rate == new_rate:
        return samples
    resampled = soxr.resample(samples, rate, new_rate, quality="HQ").astype(np.float32, copy=False)
    return fit(resampled, -(-len(samples) * new_rate // rate))


def fit(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut or zero-pad the first axis to `length`."""
    if len(samples) >= length:
        return samples[:length]
    return np.pad(samples, [(0, length - len(samples))] + [(0, 0)] * (samples.ndim - 1))
