"""The distance of separated tracks from stems, or from the shares that a teacher gives them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scoresep.compiled import compiled
from scoresep.losses.fused import over_clips
from scoresep.nmf.kernels import FAINTEST


class StemError(torch.autograd.Function):
    """sum over counted clips of |S_i - E_i|; where both are the same, the gradient is 0."""

    @staticmethod
    def forward(
        ctx: Any, mixture: Tensor, separated: Tensor, parts: Tensor, counted: Tensor | None, shared: bool
    ) -> Tensor:
        """The error, a scalar.

        Args:
            mixture: X, float32 (B, F, T).
            separated: S, float32 (B, N, F, T).
            parts: float32 (B, N, F, T): E itself, or if `shared` what X is shared out by, E_i = X parts_i / sum_j
                parts_j, and equally where that sum is next to nothing.
            counted: bool (B,), clips that count; None for all.
            shared: see `parts`.
        """
        wanted = separated.requires_grad
        gradient = torch.empty(separated.shape if wanted else (0, 0, 0, 0), dtype=torch.float32)
        arrays = [x.detach().contiguous().numpy() for x in (mixture, separated, parts)]
        weight = np.ones(len(mixture), np.float32) if counted is None else counted.float().numpy()
        errors = np.zeros(len(mixture))
        over_clips(partial(clip_errors, *arrays, weight, shared, gradient.numpy(), errors), len(mixture))
        ctx.save_for_backward(gradient)
        return mixture.new_tensor(errors.sum())

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[None, Tensor, None, None, None]:
        """The gradient of the tracks."""
        (gradient,) = ctx.saved_tensors
        return None, gradient * outer, None, None, None


@compiled(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def clip_errors(
    mixture: np.ndarray,
    separated: np.ndarray,
    parts: np.ndarray,
    weight: np.ndarray,
    shared: bool,
    gradient: np.ndarray,
    errors: np.ndarray,
    begin: int,
    end: int,
) -> None:
    """Errors, and gradients of the errors, of clips begin to end - 1.

    mixture: float32 (B, F, T); separated, parts: float32 (B, N, F, T); weight: float32 (B,), 0 or 1; gradient: float32
    as `separated`, or empty; errors: float64 (B,).
    """
    _, count, bins, frames = separated.shape
    scale, rest, above = np.ones(frames, np.float32), np.zeros(frames, np.float32), np.empty(frames, np.float32)
    for b in range(begin, end):
        for f in range(bins):
            if shared:
                scale[:] = 0
                for n in range(count):
                    for t in range(frames):
                        scale[t] += parts[b, n, f, t]
                for t in range(frames):
                    heard = scale[t] > FAINTEST
                    scale[t] = mixture[b, f, t] / scale[t] if heard else np.float32(0)
                    rest[t] = np.float32(0) if heard else mixture[b, f, t] / np.float32(count)
            error = np.float32(0)
            for n in range(count):
                for t in range(frames):
                    above[t] = separated[b, n, f, t] - parts[b, n, f, t] * scale[t] - rest[t]
                    error += abs(above[t])
                if gradient.size:
                    for t in range(frames):
                        sign = np.float32(above[t] > 0) - np.float32(above[t] < 0)
                        gradient[b, n, f, t] = weight[b] * sign
            errors[b] += weight[b] * error
