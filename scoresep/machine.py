"""What this machine offers. Called by the command line and by what runs in parallel or on a device."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

from scoresep.errors import ScoresepError

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3): freed bytes at the heap's end that go back; pieces that are taken from the system."""


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Have this process keep memory that it frees, where its C library is glibc; elsewhere nothing changes.

    Steps of training take and free the same tensors of megabytes over and over. By default they go back to the system,
    which hands them out again page by page, cleared: a tenth of a step on a CPU (docs/training.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is a GPU where there is one, of its own for each process of `torchrun`.

    Raises:
        ScoresepError: there is no such device.
    """
    import torch

    if name == "auto" and torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))  # torchrun numbers the processes of a node
    if name == "auto":
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as fault:
        raise ScoresepError(f"device '{name}' is not to be had here; auto and cpu always are") from fault
    return device
