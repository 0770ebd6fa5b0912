"""Independent calls over processes, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import joblib

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done)."""


def in_parallel(calls: list[tuple], jobs: int) -> Iterator[tuple]:
    """Results of delayed calls in the order they come; in this process where there is one job or one call."""
    if min(jobs, len(calls)) <= 1:
        return (function(*args, **kwargs) for function, args, kwargs in calls)
    return joblib.Parallel(n_jobs=min(jobs, len(calls)), return_as="generator_unordered", batch_size=1)(calls)
