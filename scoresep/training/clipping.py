"""Gradients clipped to a norm, or to a quantile of the norms that there were.

The latter is AutoClip (Seetharaman et al., "AutoClip: Adaptive Gradient Clipping for Source Separation Networks", MLSP
2020), over the latest gradients rather than over all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor, nn

NORMS = 1000
"""Gradients whose norms are remembered, at most."""
LEAST = 10
"""Norms from which on there is a quantile."""


def clip_gradient(
    parameters: Iterable[nn.Parameter], norms: Sequence[float], largest: float, quantile: float
) -> Tensor:
    """Scale the gradient so that its norm is `largest` at most, or that quantile of `norms`; returns the norm it had.

    A `quantile` of 1 is none.
    """
    known = quantile < 1 and len(norms) >= LEAST
    limit = min(largest, float(np.quantile(norms, quantile))) if known else largest
    return nn.utils.clip_grad_norm_(parameters, limit)
