"""What this machine offers: cores, threads, devices, memory; and how to share it with other work."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from scoresep.errors import InvalidValue, Unavailable, described

if TYPE_CHECKING:
    import torch
    from torch import Tensor

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3): freed bytes at the heap's end that go back; pieces that are taken from the system."""
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which a user may say how OpenMP's threads wait (OpenMP 5.2, section 21.2.8; libgomp; LLVM)."""
SPINS = 1000
"""Turns that libgomp's threads wait for one another before they sleep, some 20 microseconds: threads that share a step
evenly meet within it, and a run alone loses nothing (docs/research/performance.md). By itself libgomp takes 300,000."""


def wait_passively() -> None:
    """Have threads soon sleep at barriers instead of spinning, unless the environment says how to wait.

    Threads that spin keep the cores from the work they wait for, wherever another program runs: two trainings on two
    cores take three times as long (tools/bench_shared.py). OpenMP reads its variables when torch loads it, so this
    comes first.
    """
    if not any(os.environ.get(name) for name in WAITING):  # an empty one would make libgomp complain
        os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": str(SPINS)}


def available_cores() -> int:
    """Cores this process may use: those of the machine, or fewer by its affinity or its control group's quota."""
    import loky

    return int(loky.cpu_count())


def use_threads(processes: int = 1) -> None:
    """Have torch compute on this process's part of the cores; a user's OMP_NUM_THREADS wins.

    Args:
        processes: how many of ours share the cores; `torchrun` sets OMP_NUM_THREADS to 1 for several, which is not a
            user's wish.
    """
    import torch

    wish = os.environ.get("OMP_NUM_THREADS", "")
    if not wish or (wish == "1" and processes > 1):
        torch.set_num_threads(max(1, available_cores() // processes))


def keep_freed_memory() -> None:
    """Have this process keep memory that it frees, where its C library is glibc; elsewhere nothing changes.

    Steps of training take and free the same tensors of megabytes over and over. By default they go back to the system,
    which hands them out again page by page, cleared: a tenth of a step on a CPU (docs/research/performance.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def sent(values: Tensor, device: torch.device) -> Tensor:
    """CPU values on their way to `device`, which is not waited for: only pinned memory is copied beside work."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


@lru_cache(maxsize=64)
def constant(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of these values that lies on `device` from the first call on; not to be changed."""
    import torch

    with torch.inference_mode(False):  # else one made while a network is only used could not be trained with
        return torch.tensor(values, dtype=dtype, device=device)


def memory(device: torch.device) -> int | None:
    """Bytes that a GPU has free, or that this machine has in all; None where that cannot be told."""
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    names = ("SC_PAGE_SIZE", "SC_PHYS_PAGES")
    if device.type != "cpu" or not set(names) <= set(getattr(os, "sysconf_names", ())):
        return None
    return os.sysconf(names[0]) * os.sysconf(names[1])


def choose_device(name: str | torch.device) -> torch.device:
    """The device called `name`; `auto` is a GPU where there is one, of its own for each process of `torchrun`.

    Raises:
        InvalidValue: `name` is no name of a device.
        Unavailable: there is no such device.
    """
    import torch

    if not isinstance(name, (str, torch.device)):
        raise InvalidValue(f"the device is {described(name)}", remedy="give its name: auto, cpu, cuda, cuda:1, ...")
    if name == "auto" and torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))  # torchrun numbers the processes of a node
    if name == "auto":
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a device without memory, `meta`, has no values
    except (RuntimeError, AssertionError, ImportError) as fault:
        raise Unavailable(f"device '{name}' is not available", remedy="use auto or cpu") from fault
    return device


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 products (AVX512-BF16 or AMX), as far as torch can tell."""
    import torch

    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older ones cannot tell
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
