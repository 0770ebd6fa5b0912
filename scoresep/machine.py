"""What this machine offers. Called by the command line and by what runs in parallel or on a device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from scoresep.errors import ScoresepError

if TYPE_CHECKING:
    import torch


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
