"""Weights as integers of eight bits with a scale for each output channel: a quarter of the size.

For models that are shipped. Only weights of two axes or more are rounded; the others (biases, statistics of
normalisation) are small.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

BITS = 8
"""Of a weight, the sign included. With fewer bits it still takes a byte, but a compressor needs fewer."""

Packed = dict[str, Tensor]
"""A weight (C, ...): `counts`, int8 of its shape, and `step`, float32 (C,)."""


def compact(weights: Mapping[str, Tensor], bits: int = BITS) -> dict[str, Tensor | Packed]:
    """A network's state with its large weights rounded to multiples of their channel's largest / 127 (at 8 bits)."""
    return {
        name: _packed(value, 2 ** (bits - 1) - 1) if value.ndim > 1 and value.is_floating_point() else value
        for name, value in weights.items()
    }


def expand(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """A network's state: what `compact` rounded as float32, the rest, and states that are not compact, as it is.

    Raises:
        ValueError: a weight is not one that `compact` makes.
    """
    return {name: _unpacked(value) if isinstance(value, dict) else value for name, value in weights.items()}


def _packed(weight: Tensor, largest: int) -> Packed:
    step = weight.detach().abs().flatten(1).amax(1).float() / largest
    divisor = torch.where(step > 0, step, 1.0)
    return {"counts": (weight.detach() / _like(divisor, weight)).round().to(torch.int8), "step": step}


def _unpacked(packed: Packed) -> Tensor:
    counts, step = packed["counts"], packed["step"]
    if counts.dtype != torch.int8 or counts.ndim < 2 or (step.dtype, step.shape) != (torch.float32, counts.shape[:1]):
        raise ValueError("a compact weight has other axes than its steps")
    return counts * _like(step, counts)


def _like(values: Tensor, weight: Tensor) -> Tensor:
    """(C,) with as many axes as `weight`."""
    return values.reshape(-1, *(1,) * (weight.ndim - 1))
