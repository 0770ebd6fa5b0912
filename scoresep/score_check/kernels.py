"""Compiled kernels of the score check."""

from __future__ import annotations

import numpy as np

from scoresep.compiled import compiled

PARTIALS, DECAY, INHARMONICITY = 12, 0.65, 8e-5
"""A template: partial h weighs h ** -DECAY, in square roots of magnitudes, at h f0 sqrt(1 + INHARMONICITY h^2)."""
HALF_WIDTH, SPREAD = 2.0, 0.004
"""Bins on either side of a partial, and the share of its frequency by which they grow: vibrato, detuned strings."""


@compiled(fastmath=True)
def energies(samples: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean squares of samples (L,) and of their differences in steps of `step` samples."""
    count = len(samples) // step
    energy = np.zeros(count, dtype=np.float32)
    edges = np.zeros(count, dtype=np.float32)
    for t in range(count):
        piece = samples[t * step : (t + 1) * step]
        total = np.float32(0)
        differences = np.float32(0)
        for n in range(1, step):
            total += piece[n] * piece[n]
            difference = piece[n] - piece[n - 1]
            differences += difference * difference
        energy[t] = total / step
        edges[t] = differences / step
    return energy, edges


@compiled(fastmath=True)
def windows(samples: np.ndarray, start: np.ndarray, step: int, smoothing: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Every `step`-th sample of the smoothed signal from each start on, times `window` (W,): float32 (F, W)."""
    frames = np.empty((len(start), len(window)), dtype=np.float32)
    for f in range(len(start)):
        for n in range(len(window)):
            first = start[f] + n * step
            total = np.float32(0)
            for k in range(len(smoothing)):
                total += smoothing[k] * samples[first + k]
            frames[f, n] = total * window[n]
    return frames


@compiled(fastmath=True)
def cosines(
    partials: np.ndarray,
    start: np.ndarray,
    length: float,
    bin_width: float,
    onset: np.ndarray,
    offset: np.ndarray,
    pitch: np.ndarray,
    part: np.ndarray,
    bend: np.ndarray,
    shifts: np.ndarray,
) -> np.ndarray:
    """See `agreement`. The template is the strongest partial in each bin; notes weigh by the share of the window."""
    frames, bins = partials.shape
    cosines = np.zeros((frames, len(shifts)), dtype=np.float32)
    template = np.zeros(bins, dtype=np.float32)
    touched = np.zeros(bins, dtype=np.int64)
    for f in range(frames):
        for s in range(len(shifts)):
            count = 0
            for k in range(len(onset)):
                if onset[k] >= start[f] + length - 0.03:
                    break
                if offset[k] <= start[f]:
                    continue
                share = (min(offset[k], start[f] + length) - max(onset[k], start[f])) / length
                fundamental = 440.0 * 2.0 ** ((pitch[k] + bend[part[k], f] + shifts[s] - 69.0) / 12.0) / bin_width
                count = add_partials(template, touched, count, fundamental, np.sqrt(max(share, 0.1)))
            product = norm = np.float32(0)
            for n in range(count):
                b = touched[n]
                product += template[b] * partials[f, b]
                norm += template[b] * template[b]
                template[b] = 0.0
            if norm > 0:
                cosines[f, s] = product / np.sqrt(norm)
    return cosines


@compiled(fastmath=True)
def add_partials(template: np.ndarray, touched: np.ndarray, count: int, fundamental: float, loudness: float) -> int:
    """Write the partials of a note, whose fundamental lies at a bin, into a template (B,) where they are stronger.

    touched: int64 (B,), the first `count` are the bins that have been written to; returns their new number.
    """
    for h in range(1, PARTIALS + 1):
        centre = fundamental * h * np.sqrt(1.0 + INHARMONICITY * h * h)
        half = HALF_WIDTH + SPREAD * centre
        if centre - half > len(template) - 1:
            break
        for b in range(max(int(np.ceil(centre - half)), 0), min(int(centre + half), len(template) - 1) + 1):
            value = np.float32(loudness * h**-DECAY * (1.0 - ((b - centre) / half) ** 2))
            if template[b] == 0.0:
                touched[count] = b
                count += 1
            template[b] = max(template[b], value)
    return count
