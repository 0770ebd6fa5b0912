"""Independent calls over processes, with progress. Called by `render` and `excerpt`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import joblib

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done)."""


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parallel(calls: list[tuple], jobs: int) -> Iterator[tuple]:
    """Results of delayed calls in the order they come; in this process where there is one job or one call."""
    if min(jobs, len(calls)) <= 1:
        return (function(*args, **kwargs) for function, args, kwargs in calls)
    return joblib.Parallel(n_jobs=min(jobs, len(calls)), return_as="generator_unordered", batch_size=1)(calls)
