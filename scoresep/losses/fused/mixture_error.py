"""The error of the mixture losses."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scoresep.compiled import compiled
from scoresep.losses.fused import over_clips


class MixtureError(torch.autograd.Function):
    """sum over counted bins of |X - sum_{i in A} S_i| + sum_{i not in A} S_i, with X and all S_i >= 0.

    Where the active tracks add up to X exactly, the gradient is taken from the side where they are too little.
    """

    @staticmethod
    def forward(ctx: Any, mixture: Tensor, separated: Tensor, active: Tensor, counted: Tensor) -> Tensor:
        """The error, a scalar.

        Args:
            mixture: X, float32 (B, F, T).
            separated: S, float32 (B, N, F, T).
            active: A, bool (B, N, F, T) or (B, N, 1, T or 1).
            counted: bool (B or 1, F, T) or (B or 1, 1, T or 1).
        """
        frames = mixture.shape[-1]
        active = active.expand(*separated.shape[:2], -1, frames).contiguous()
        counted = counted.expand(len(mixture), -1, frames).contiguous()
        wanted = separated.requires_grad
        gradient = torch.empty(separated.shape if wanted else (0, 0, 0, 0), dtype=torch.float32)
        arrays = [x.detach().contiguous().numpy() for x in (mixture, separated, active, counted)]
        errors = np.zeros(len(mixture))
        over_clips(partial(clip_errors, *arrays, gradient.numpy(), errors), len(mixture))
        ctx.save_for_backward(gradient)
        return mixture.new_tensor(errors.sum())

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[None, Tensor, None, None]:
        """The gradient of the tracks."""
        (gradient,) = ctx.saved_tensors
        return None, gradient * outer, None, None


@compiled(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def clip_errors(
    mixture: np.ndarray,
    separated: np.ndarray,
    active: np.ndarray,
    counted: np.ndarray,
    gradient: np.ndarray,
    errors: np.ndarray,
    begin: int,
    end: int,
) -> None:
    """Errors, and gradients of the errors, of clips begin to end - 1.

    mixture: float32 (B, F, T); separated: float32 (B, N, F, T); active: bool (B, N, F or 1, T); counted: bool
    (B, F or 1, T); gradient: float32 as `separated`, or empty; errors: float64 (B,).
    """
    _, count, bins, frames = separated.shape
    missing, total, slope = np.empty(frames, np.float32), np.empty(frames, np.float32), np.empty(frames, np.float32)
    for b in range(begin, end):
        for f in range(bins):
            a, c = f % active.shape[2], f % counted.shape[1]
            for t in range(frames):
                missing[t] = -mixture[b, f, t]
                total[t] = missing[t]
            for n in range(count):
                for t in range(frames):
                    track = separated[b, n, f, t]
                    total[t] += track
                    missing[t] += track * np.float32(active[b, n, a, t])
            error = np.float32(0.0)
            for t in range(frames):  # what inactive tracks hold is `total` less `missing`
                weight = np.float32(counted[b, c, t])
                error += weight * (abs(missing[t]) + total[t] - missing[t])
                slope[t] = weight if missing[t] > 0 else -weight
            errors[b] += error
            if gradient.size:
                for n in range(count):
                    for t in range(frames):
                        weight = np.float32(counted[b, c, t])
                        gradient[b, n, f, t] = slope[t] if active[b, n, a, t] else weight
