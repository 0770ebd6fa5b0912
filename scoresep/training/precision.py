"""The precision of a training step: float32 or bfloat16."""

from __future__ import annotations

import torch

from scoresep.machine import multiplies_bfloat16


def choose_precision(wanted: str, device: torch.device) -> str:
    """`float32` or `bfloat16`; `auto` takes bfloat16 where it was measured to pay: on CPUs that multiply it.

    `bfloat16` rounds what the networks' convolutions multiply. Parameters, statistics, losses, gradients and the
    optimiser are float32 in either case. docs/explanation/training.md has what it gains and what it does to the losses.
    """
    if wanted != "auto":
        return wanted
    return "bfloat16" if device.type == "cpu" and multiplies_bfloat16() else "float32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a step's networks and losses run."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
