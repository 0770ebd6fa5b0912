"""The magnitudes that a cache stores.
Apart from `spectrogram`, because it needs the compiled kernels that separation does without.
"""

from __future__ import annotations

import numpy as np

from scoresep.audio.spectrogram import padded, spectrum_blocks
from scoresep.masks.kernels import to_half


def half_magnitude(samples: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """Magnitudes of float32 samples (L,): float16 (T, F), equal to `np.abs(stft(...)).astype(np.float16)`.

    The spectrum itself is never stored.
    """
    frames = len(samples) // hop + 1
    magnitude = np.empty((frames, n_fft // 2 + 1), dtype=np.float16)
    for first, block in spectrum_blocks(padded(samples, n_fft, hop), frames, n_fft, hop):
        to_half(np.abs(block), magnitude[first : first + len(block)].view(np.uint16))
    return magnitude
