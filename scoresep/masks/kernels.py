"""Compiled kernels of preparation, and nothing else: what NumPy would do in many passes or in Python loops.

A mask is kept as packed bits, row by row, uint8 (T, bytes) with bytes = ceil(F / 8): bit k of byte b is bin 8 b + k.
All masks are made the same way: the pattern of one row is packed once, then whole bytes of it are written into the
rows that it belongs to.
"""

from __future__ import annotations

import numpy as np

from scoresep.compiled import compiled


def packed_width(bits: int) -> int:
    """Bytes that hold `bits` bits."""
    return -(-bits // 8)


def warm_up() -> None:
    """Compile every kernel, or load it from numba's cache.

    Call it once before forking or starting workers: they then load the kernels instead of racing to compile them.
    """
    patterns = np.zeros((1, 1), dtype=np.uint8)
    ranges = np.zeros(1, dtype=np.int64)
    mark_range(patterns, ranges, ranges, 1)
    mark_partials(patterns, np.zeros(1), 1, 1.0, 1, 1.0, 0.0, 0.0)
    merge_rows(patterns, ranges, ranges, ranges, patterns)


@compiled()
def set_bits(row: np.ndarray, low: int, high: int) -> None:
    """Set bits low to high of one packed row, both included; none if high < low."""
    if high < low:
        return
    first, last = low >> 3, high >> 3
    head, tail = (0xFF << (low & 7)) & 0xFF, 0xFF >> (7 - (high & 7))
    if first == last:
        row[first] |= np.uint8(head & tail)
        return
    row[first] |= np.uint8(head)
    for b in range(first + 1, last):
        row[b] = 0xFF
    row[last] |= np.uint8(tail)


@compiled()
def mark_range(patterns: np.ndarray, low: np.ndarray, high: np.ndarray, bins: int) -> None:
    """Set bits low[u] to high[u], both included, as far as there are bins, in pattern u.

    patterns: uint8 (U or more, bytes); low, high: int64 (U,).
    """
    for u in range(len(low)):
        set_bits(patterns[u], max(low[u], 0), min(high[u], bins - 1))


@compiled()
def mark_partials(
    patterns: np.ndarray,
    pitches: np.ndarray,
    bins: int,
    bin_width: float,
    harmonics: int,
    half_width: float,
    spread: float,
    inharmonicity: float,
) -> None:
    """Set the bins around the partials of MIDI pitch pitches[u] (float64) in pattern u: uint8 (U, bytes).

    A bin is marked if it lies within `half_width` bins plus `spread` times its frequency of a partial
    h f0 sqrt(1 + inharmonicity h^2), h = 1 to `harmonics`.
    """
    for u in range(len(pitches)):
        fundamental = 440.0 * 2.0 ** ((pitches[u] - 69.0) / 12.0) / bin_width
        for h in range(1, harmonics + 1):
            centre = h * fundamental * np.sqrt(1.0 + inharmonicity * h * h)
            reach = half_width + spread * centre
            if centre - reach > bins - 1:
                break
            set_bits(patterns[u], max(int(np.ceil(centre - reach)), 0), min(int(np.floor(centre + reach)), bins - 1))


@compiled()
def merge_rows(mask: np.ndarray, first: np.ndarray, count: np.ndarray, which: np.ndarray, patterns: np.ndarray) -> None:
    """OR pattern which[r] into rows first[r] to first[r] + count[r] of `mask`, for every run r.

    mask: uint8 (T, bytes); patterns: uint8 (U, bytes); first, count, which: int64 (R,).
    """
    for r in range(len(first)):
        pattern = patterns[which[r]]
        for t in range(first[r], first[r] + count[r]):
            row = mask[t]
            for b in range(len(pattern)):
                row[b] |= pattern[b]
