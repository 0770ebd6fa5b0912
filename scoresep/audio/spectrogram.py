"""The STFT and its inverse, in NumPy: one pair for preparation, separation and evaluation.

A periodic Hann window, frames centred on multiples of the hop, zeros beyond both ends. Spectra are divided by half the
window's sum, so a sine of amplitude a has a peak magnitude of a whatever the window length, and float16 suffices to
store it (docs/reference/cache.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

BLOCK = 64
"""Frames transformed at a time: what a core's cache holds; also bounds the memory of hour-long files."""


@lru_cache(maxsize=8)
def window(n_fft: int) -> np.ndarray:
    """Periodic Hann window (n_fft,), float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def stft(samples: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """Spectrum of float32 samples (L,): complex64 (T, F), T = L // hop + 1, F = n_fft // 2 + 1."""
    frames = len(samples) // hop + 1
    return frames_to_spectrum(padded(samples, n_fft, hop), frames, n_fft, hop)


def padded(samples: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """Samples (L,) with zeros before and after, float32: what the frames of `stft` are cut from."""
    zeros = np.zeros(n_fft + (len(samples) // hop + 1) * hop, dtype=np.float32)
    zeros[n_fft // 2 : n_fft // 2 + len(samples)] = samples
    return zeros


def frames_to_spectrum(padded: np.ndarray, frames: int, n_fft: int, hop: int) -> np.ndarray:
    """Spectrum of frames that start at 0, hop, 2 hop, ... of `padded`: complex64 (T, F)."""
    spectrum = np.empty((frames, n_fft // 2 + 1), dtype=np.complex64)
    for first, block in spectrum_blocks(padded, frames, n_fft, hop):
        spectrum[first : first + len(block)] = block
    return spectrum


def spectrum_blocks(padded: np.ndarray, frames: int, n_fft: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """The frames of `frames_to_spectrum`, a block that fits the processor's cache at a time: first frame, (t, F)."""
    cut = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop][:frames]
    scaled = window(n_fft) * np.float32(2.0 / window(n_fft).sum(dtype=np.float64))
    for first in range(0, frames, BLOCK):
        yield first, np.fft.rfft(cut[first : first + BLOCK] * scaled, axis=1)


def istft(spectrum: np.ndarray, length: int, n_fft: int, hop: int) -> np.ndarray:
    """Inverse of `stft` by weighted overlap-add: complex64 (T, F) -> float32 (length,)."""
    total, weight = overlap_add(spectrum, n_fft, hop)
    inside = slice(n_fft // 2, n_fft // 2 + length)
    return (total[inside] / np.maximum(weight[inside], 1e-8)).astype(np.float32, copy=False)


def overlap_add(spectrum: np.ndarray, n_fft: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """Windowed overlap-add of complex64 (T, F): float32 (n_fft + T * hop,) and the summed squared window of that shape.

    Frame t starts at t * hop. Dividing the first by the second inverts `frames_to_spectrum`.
    """
    frames, width = len(spectrum), -(-n_fft // hop)
    hann, gain = window(n_fft), np.float32(window(n_fft).sum(dtype=np.float64) / 2.0)
    total = np.zeros((frames + width, hop), dtype=np.float32)
    weight = np.zeros_like(total)
    squares = _rows((hann * hann)[None], hop)
    for first in range(0, frames, BLOCK):
        block = np.fft.irfft(spectrum[first : first + BLOCK], n_fft, axis=1).astype(np.float32, copy=False)
        rows = _rows(block * (hann * gain), hop)
        for part in reversed(range(width)):  # a sample's earliest frame first, as one frame after the other would do
            total[first + part : first + part + len(rows)] += rows[:, part]
            weight[first + part : first + part + len(rows)] += squares[:, part]
    length = n_fft + frames * hop
    return total.reshape(-1)[:length], weight.reshape(-1)[:length]


def _rows(frames: np.ndarray, hop: int) -> np.ndarray:
    """Frames (t, n_fft) cut into rows of one hop, with zeros after the last: (t, rows, hop)."""
    return np.pad(frames, ((0, 0), (0, -frames.shape[1] % hop))).reshape(len(frames), -1, hop)
