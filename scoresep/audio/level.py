"""A track's level: what magnitudes are divided by before a network sees them."""

from __future__ import annotations

import numpy as np

QUIETEST = 1e-5
"""Level of silence: keeps digital zero from being divided by zero."""


def level_of(samples: np.ndarray) -> float:
    """Root mean square of samples (L,): the scale of a whole recording, so networks do not depend on its loudness."""
    return combine_levels([float(np.square(samples, dtype=np.float64).sum())], len(samples))


def combine_levels(energies: list[float], samples: int) -> float:
    """Level of a recording read in pieces, from the sums of squares of the pieces and the number of samples."""
    return max(float(np.sqrt(sum(energies) / max(samples, 1))), QUIETEST)
