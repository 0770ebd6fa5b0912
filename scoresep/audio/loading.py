"""Audio files to arrays and rates to rates."""

from __future__ import annotations

from math import gcd
from pathlib import Path

import numpy as np
import soxr

from scoresep.audio.decoding.recording import Recording, open_recording
from scoresep.errors import ScoresepError

SILENCE_BLOCK = 0.25
"""Seconds of digital silence that stay on either side of a sound that is resampled (soxr's filter reaches 11 ms at
8 kHz), and the unit in which silence is looked for."""
LONGEST_PERIOD = 1000
"""Input samples after which a resampler's phase repeats, at most, if silence is to be skipped: soxr rounds the phase of
ratios such as 44100 to 44099, and a second start would round it otherwise."""
PROBES = 4
"""Samples of a block that are looked at before all of them are."""


def read_audio(path: str | Path, sample_rate: int | None = None, channels: int | None = None) -> tuple[np.ndarray, int]:
    """Decode a whole file to mono float32 of shape (L,) and give its rate.

    Channels are averaged. With `sample_rate` (Hz) the signal is resampled to it.

    Raises:
        ScoresepError: the file cannot be decoded to its end, is empty, holds NaN or infinite samples, or has another
            number of channels than `channels`.
    """
    recording = open_recording(path)
    if channels is not None and recording.channels != channels:
        raise ScoresepError(f"{path} has {recording.channels} channels where {channels} is expected; replace it")
    mono = _mono(recording)
    if not recording.integers and not np.isfinite(mono).all():
        raise ScoresepError(f"{path} holds samples that are not numbers; replace it")
    rate = recording.rate
    if sample_rate is not None:
        return resample(mono, rate, sample_rate), sample_rate
    return mono, rate


def _mono(recording: Recording) -> np.ndarray:
    try:
        mono = np.empty(recording.samples, dtype=np.float32)
    except MemoryError as fault:
        raise ScoresepError(f"{recording.path} does not fit into memory ({fault}); cut it into pieces") from fault
    done = 0
    for block in recording.blocks():
        mono[done : done + len(block)] = average(block)
        done += len(block)
    return mono


def average(samples: np.ndarray) -> np.ndarray:
    """Mean of the channels: float32 (L, C) -> (L,). `mean(axis=1)` takes ten times as long for two channels."""
    total = samples[:, 0]
    for channel in range(1, samples.shape[1]):
        total = total + samples[:, channel]
    return total / np.float32(samples.shape[1]) if samples.shape[1] > 1 else total


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample (L,) or (L, C) float32 from `rate` to `new_rate` Hz; the length becomes ceil(L * new_rate / rate).

    Digital silence of three quarters of a second or more costs nothing: what lies between is resampled piece by piece,
    which differs from the whole by less than 1e-6 of full scale.
    """
    if rate == new_rate:
        return samples
    length = -(-len(samples) * new_rate // rate)
    period, new_period = rate // gcd(rate, new_rate), new_rate // gcd(rate, new_rate)
    spans = sounding_spans(samples, period * -(-round(SILENCE_BLOCK * rate) // period))
    if period > LONGEST_PERIOD or spans == [(0, len(samples))]:
        return fit(_resample(samples, rate, new_rate), length)
    resampled = np.zeros((length, *samples.shape[1:]), dtype=np.float32)
    for first, end in spans:
        start = first // period * new_period
        piece = _resample(samples[first:end], rate, new_rate)[: length - start]
        resampled[start : start + len(piece)] = piece
    return resampled


def _resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    return soxr.resample(samples, rate, new_rate, quality="HQ").astype(np.float32, copy=False)


def sounding_spans(samples: np.ndarray, block: int) -> list[tuple[int, int]]:
    """Where (L,) or (L, C) samples are not zero, as (first, end): whole blocks of `block` samples and one on each side.

    Spans start and end at multiples of `block`, except that the last may end with the samples.
    """
    whole = len(samples) // block
    blocks = samples[: whole * block].reshape(whole, block * samples[:1].size)
    sounds = np.append(blocks[:, :: max(block // PROBES, 1)].any(axis=1), samples[whole * block :].any())
    for b in np.flatnonzero(~sounds[:whole]):
        sounds[b] = blocks[b].any()
    kept = np.convolve(sounds, [True, True, True])[1:-1]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]])))
    return [(int(first), min(int(end), len(samples))) for first, end in edges.reshape(-1, 2) * block]


def fit(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut or zero-pad the first axis to `length`."""
    if len(samples) >= length:
        return samples[:length]
    return np.pad(samples, [(0, length - len(samples))] + [(0, 0)] * (samples.ndim - 1))
