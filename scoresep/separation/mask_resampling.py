"""From masks on the model's grid to sound at the input's own rate.

The networks work at one rate on a mono mixture; stems have the rate and the channels of the input. So each channel is
transformed at its own rate on a grid with nearly the model's time and frequency steps, and the masks are interpolated
to it, linearly in time and frequency: weights that add up to one, so masks that add up to one give stems that add up to
the input.

Above the model's band the networks have no input. There each instrument keeps the share that it has, on average and
weighted by the mixture's magnitude, in the top of the band (a heuristic, see `TOP_BAND`).
"""

from __future__ import annotations

import numpy as np

from scoresep.grid import Grid

TOP_BAND = (0.7, 0.9)
"""Part of the model's band, as fractions of its Nyquist frequency, whose mean mask is used for all that lies above it.
Beyond 0.9 the resampler's low-pass leaves nothing to estimate masks from."""


def native_grid(grid: Grid, rate: int, windows: int = 1) -> Grid:
    """The grid at `rate` Hz whose hop is nearest to the model's.

    The hop is the nearest number without prime factors above 5 (fast transforms), at most a few per cent off. The
    window has the model's ratio to the hop, or `windows` times that.
    """
    exact = max(grid.hop * rate / grid.sample_rate, 2.0)
    near = min(_smooth_numbers(2 * int(exact) + 2), key=lambda number: abs(number - exact))
    hop = grid.hop if rate == grid.sample_rate else near
    return Grid(rate, windows * (grid.n_fft // grid.hop) * hop, hop)


def _smooth_numbers(limit: int) -> list[int]:
    """Numbers up to `limit` whose prime factors are 2, 3 and 5."""
    numbers = [1]
    for prime in (2, 3, 5):
        for number in numbers:  # grows while it is walked through
            if number * prime <= limit:
                numbers.append(number * prime)
    return numbers


class MaskMap:
    """Interpolation of masks from the model's grid to another.

    Attributes:
        grid: the model's grid.
        native: the grid of the sound to be masked.
    """

    def __init__(self, grid: Grid, native: Grid) -> None:
        self.grid, self.native = grid, native
        position = np.arange(native.bins) * (native.bin_width / grid.bin_width)
        top = TOP_BAND[1] * (grid.bins - 1) if native.sample_rate > grid.sample_rate else grid.bins - 1
        outside = position > top + 1e-6
        self._below = np.where(outside, grid.bins, np.minimum(position.astype(np.int64), grid.bins - 1))
        self._above = np.where(outside, grid.bins, np.minimum(self._below + 1, grid.bins - 1))
        self._share = np.where(outside, 0.0, position - self._below).astype(np.float32)

    def extend(self, masks: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
        """Append the mean over the top band, weighted by the mixture: (N, F, T), (T, F) -> (N, T, F + 1)."""
        low, high = (round(edge * (self.grid.bins - 1)) for edge in TOP_BAND)
        band = slice(low, max(high, low + 1))
        masks = masks.transpose(0, 2, 1)
        weight = magnitude[:, band] + np.float32(1e-6)
        mean = (masks[:, :, band] * weight).sum(axis=2) / weight.sum(axis=1)
        return np.concatenate([masks, mean[:, :, None]], axis=2)

    def frame_position(self, frame: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where native frames lie on the model's grid: frame before, int64, and fraction of the way to the next."""
        steps, per_frame = self.native.hop * self.grid.sample_rate, self.native.sample_rate * self.grid.hop
        before, rest = np.divmod(np.asarray(frame, dtype=np.int64) * steps, per_frame)
        return before, (rest / per_frame).astype(np.float32)

    def ready(self, known: int) -> int:
        """Native frames whose neighbours are both among the first `known` model frames."""
        steps, per_frame = self.native.hop * self.grid.sample_rate, self.native.sample_rate * self.grid.hop
        return -(-(known - 1) * per_frame // steps) if known > 0 else 0

    def masks_at(self, extended: np.ndarray, first: int, start: int, stop: int) -> np.ndarray:
        """Masks of native frames start to stop: float32 (N, stop - start, F native).

        Args:
            extended: (N, t, F + 1) of `extend`, model frames `first` to `first` + t; beyond them the last is repeated.
        """
        before, share = self.frame_position(np.arange(start, stop))
        last = extended.shape[1] - 1
        rows = np.minimum(before - first, last), np.minimum(before + 1 - first, last)
        share = share[:, None]
        in_time = extended[:, rows[0]] * (1 - share) + extended[:, rows[1]] * share
        masks: np.ndarray = in_time[..., self._below] * (1 - self._share) + in_time[..., self._above] * self._share
        return masks
