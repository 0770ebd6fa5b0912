"""Audio files to arrays and rates to rates. Called by corpora, cache and inference.

Whole files are decoded: libFLAC 1.4.0-1.4.2 seeks wrongly, and a corpus is read front to back anyway.
"""

from __future__ import annotations

import re
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
import soxr

from scoresep.errors import ScoresepError, first_line
from scoresep.grid import HIGHEST_RATE, LOWEST_RATE

MOST_SAMPLES_A_BYTE = 5000
"""FLAC holds 65535 samples of silence in 14 bytes; no other format holds more."""
LONGEST_OGG_PAGE = 65307
"""Bytes."""
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
    try:
        with soundfile.SoundFile(path) as file:
            expected, rate, integers = file.frames, file.samplerate, file.subtype.startswith("PCM_")
            check_header(path, expected, rate)
            samples = file.read(dtype="float32", always_2d=True)
            check_whole(path, file.format, file.extra_info)
    except (soundfile.LibsndfileError, OSError, ValueError, MemoryError) as fault:
        raise ScoresepError(f"{path} is not readable audio ({first_line(fault)}); replace or remove it") from fault
    if len(samples) != expected or not len(samples):
        raise ScoresepError(f"{path} is truncated: {len(samples)} of {expected} samples; replace it")
    if channels is not None and samples.shape[1] != channels:
        raise ScoresepError(f"{path} has {samples.shape[1]} channels where {channels} is expected; replace it")
    mono = average(samples)
    if not integers and not np.isfinite(mono).all():
        raise ScoresepError(f"{path} holds samples that are not numbers; replace it")
    if sample_rate is not None:
        return resample(mono, rate, sample_rate), sample_rate
    return mono, rate


def check_header(path: str | Path, samples: int, rate: int) -> None:
    """Refuse a file whose header promises what it cannot hold, before memory is taken for it.

    Raises:
        ScoresepError: it says so many samples for its size, or such a rate, that it must be damaged or forged.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ScoresepError(f"{path} is damaged: its header says {rate} Hz; replace it")
    if samples > MOST_SAMPLES_A_BYTE * Path(path).stat().st_size:
        raise ScoresepError(f"{path} is damaged: its header says {samples} samples, more than it can hold; replace it")


def check_whole(path: str | Path, kind: str, said: str) -> None:
    """Refuse a WAV or Ogg file that ends too early or is damaged within, which libsndfile reads without a word.

    Args:
        kind: libsndfile's name of the format.
        said: its notes on the file, after reading. Programs that write into a pipe leave a WAV file's length open, all
            bits set.

    Raises:
        ScoresepError: it is cut or damaged.
    """
    if damage := re.search(r"^Ogg.*(unexpected|Corrupt|a hole at|Junk|lacks).*", said, re.MULTILINE):
        raise ScoresepError(f"{path} is damaged ({damage[0].strip()}); replace it")
    if kind == "OGG" and not ends_its_stream(Path(path)):
        raise ScoresepError(f"{path} is truncated: its last page is missing; replace it")
    if (cut := re.search(r"^data : (\d+) \(should be (\d+)\)", said, re.MULTILINE)) and int(cut[1]) != 0xFFFFFFFF:
        raise ScoresepError(f"{path} is truncated: {cut[2]} of {cut[1]} bytes of sound; replace it")


def ends_its_stream(path: Path) -> bool:
    """Whether the last page of an Ogg file is whole and marked as the last one (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_OGG_PAGE))
        tail = file.read()
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    segments = page[27 : 27 + page[26]] if len(page) > 27 else b""
    return bool(segments) and bool(page[5] & 4) and len(page) >= 27 + len(segments) + sum(segments)


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
