"""Losses with their gradients in one pass over the tracks, compiled, for a CPU.

As tensor operations such a loss is a dozen passes over B*N*F*T floats, forwards and backwards: a sixth to a third of a
step of stage 2. Axes are those of `losses`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor


def applies(*inputs: Tensor, separated: Tensor) -> bool:
    """Whether a loss may be computed so: float32 on a CPU, and a gradient of the separated tracks alone."""
    return not any(x.requires_grad for x in inputs) and all(
        x.dtype == torch.float32 and x.device.type == "cpu" for x in (*inputs, separated)
    )


def over_clips(work: Callable[[int, int], None], clips: int) -> None:
    """Call `work` with first clips and clips after the last, in as many threads as torch has; it frees the GIL."""
    parts = list(pairwise(np.linspace(0, clips, min(torch.get_num_threads(), clips) + 1).astype(int).tolist()))
    if len(parts) < 2:
        work(0, clips)
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(work, *zip(*parts, strict=True)))
