"""The STFT, its inverse, and the magnitudes and level that networks are given: one definition for the whole package.

A periodic Hann window, frames centred on multiples of the hop, zeros beyond both ends. Spectra are divided by half the
window's sum, so a sine of amplitude a has a peak magnitude of a whatever the window length, and float16 suffices to
store it (docs/reference/cache.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

FRAMES_AT_ONCE = 64
"""Frames transformed at a time: what a core's cache holds; also bounds the memory of hour-long files."""
SMALLEST_NORMAL = np.float32(2.0**-14)
"""Of float16: smaller values are multiples of 2^-24."""
QUIETEST = 1e-5
"""Level of silence: keeps digital zero from being divided by zero."""


@lru_cache(maxsize=8)
def window(n_fft: int) -> np.ndarray:
    """Periodic Hann window (n_fft,), float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


@lru_cache(maxsize=8)
def analysis_window(n_fft: int) -> np.ndarray:
    """`window` divided by half its sum, float32 (n_fft,): the transform of a frame times it is a row of `stft`."""
    return window(n_fft) * np.float32(2.0 / window(n_fft).sum(dtype=np.float64))


def stft(samples: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """Spectrum of float32 samples (L,): complex64 (T, F), T = L // hop + 1, F = n_fft // 2 + 1."""
    return frames_to_spectrum(padded(samples, n_fft, hop), len(samples) // hop + 1, n_fft, hop)


def half_magnitude(samples: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """`np.abs(stft(samples, n_fft, hop)).astype(np.float16)`: float16 (T, F), without the whole spectrum in memory."""
    frames = len(samples) // hop + 1
    magnitude = np.empty((frames, n_fft // 2 + 1), dtype=np.float16)
    for first, block in spectrum_blocks(padded(samples, n_fft, hop), frames, n_fft, hop):
        magnitude[first : first + len(block)] = as_half(np.abs(block))
    return magnitude


def as_half(values: np.ndarray) -> np.ndarray:
    """`values.astype(np.float16)` of float32 values that are not negative, ten times as fast where they are small.

    NumPy is slow for values that float16 cannot hold below its smallest normal number; adding 0.5 rounds them to 2^-24.
    """
    rounded = (values + np.float32(0.5)) - np.float32(0.5)
    return np.where(values < SMALLEST_NORMAL, rounded, values).astype(np.float16)


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
    for first in range(0, frames, FRAMES_AT_ONCE):
        yield first, np.fft.rfft(cut[first : first + FRAMES_AT_ONCE] * analysis_window(n_fft), axis=1)


def istft(spectrum: np.ndarray, length: int, n_fft: int, hop: int) -> np.ndarray:
    """Inverse of `stft` by weighted overlap-add: complex64 (T, F) -> float32 (length,)."""
    adder = OverlapAdd(n_fft, hop, length)
    blocks = [adder.push(spectrum[first : first + FRAMES_AT_ONCE]) for first in range(0, len(spectrum), FRAMES_AT_ONCE)]
    return np.concatenate([*blocks, adder.finish()])


class OverlapAdd:
    """The inverse of `stft` for a spectrum that comes in pieces, and for any number of signals at once.

    The output begins at sample 0 and ends at sample `samples`. Each sample is the sum of its frames in
    their order, so how the spectrum is cut does not change a bit.

    Args:
        n_fft: length of the window, a multiple of `hop`.
        hop: distance between frames.
        samples: length of the output.
    """

    def __init__(self, n_fft: int, hop: int, samples: int) -> None:
        self._n_fft, self._hop, self._samples = n_fft, hop, samples
        self._position = -(n_fft // 2)  # of the first sample that is not complete
        self._synthesis = window(n_fft) * np.float32(window(n_fft).sum(dtype=np.float64) / 2.0)
        self._squares = np.square(window(n_fft)).reshape(-1, hop)
        self._sound = self._weight = np.zeros((n_fft // hop - 1, hop), dtype=np.float32)

    def push(self, spectrum: np.ndarray) -> np.ndarray:
        """Add frames, complex64 (..., t, F); returns the samples that they complete, float32 (..., n)."""
        frames, width = spectrum.shape[-2], len(self._squares)
        sound = np.fft.irfft(spectrum, self._n_fft, axis=-1).astype(np.float32, copy=False)
        sound *= self._synthesis
        rows = sound.reshape(*sound.shape[:-1], width, self._hop)
        total = np.zeros((*spectrum.shape[:-2], frames + width - 1, self._hop), dtype=np.float32)
        weight = np.zeros(total.shape[-2:], dtype=np.float32)
        total[..., : width - 1, :], weight[: width - 1] = self._sound, self._weight
        for part in reversed(range(width)):  # a sample's earliest frame first
            total[..., part : part + frames, :] += rows[..., part, :]
            weight[part : part + frames] += self._squares[part]
        self._sound, self._weight = total[..., frames:, :], weight[frames:]
        return self._complete(total[..., :frames, :], weight[:frames])

    def finish(self) -> np.ndarray:
        """The samples after those of the last `push`, float32 (..., n)."""
        return self._complete(self._sound, self._weight)

    def _complete(self, sound: np.ndarray, weight: np.ndarray) -> np.ndarray:
        samples: np.ndarray = (sound / np.maximum(weight, 1e-8)).reshape(*sound.shape[:-2], -1)
        first = self._position
        self._position += samples.shape[-1]
        return samples[..., max(-first, 0) : max(self._samples - first, 0)]


def level_of(samples: np.ndarray) -> float:
    """Root mean square of samples (L,): the scale of a whole recording, so networks do not depend on its loudness."""
    return combine_levels([float(np.square(samples, dtype=np.float64).sum())], len(samples))


def combine_levels(energies: list[float], samples: int) -> float:
    """Level of a recording read in pieces, from the sums of squares of the pieces and the number of samples."""
    return max(float(np.sqrt(sum(energies) / max(samples, 1))), QUIETEST)
