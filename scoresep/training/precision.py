"""The number format of the networks' products.
Parameters, statistics, losses, gradients and the optimiser are float32 in either case; `bfloat16` rounds what the
networks' convolutions multiply. docs/research/performance.md has what it gains and what it does to the losses.
"""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "float32", "bfloat16")


def choose_precision(wanted: str, device: torch.device) -> str:
    """`float32` or `bfloat16`; `auto` takes bfloat16 where it was measured to pay: on CPUs that multiply it."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if device.type == "cpu" and cpu_multiplies_bfloat16() else "float32"


def cpu_multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 products (AVX512-BF16 or AMX), as far as torch can tell."""
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe() for probe in probes if probe)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a step's networks and losses run."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
