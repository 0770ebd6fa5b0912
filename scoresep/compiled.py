"""Functions compiled by numba, and kept on disk where that can be: a help, never a condition.

numba refuses to compile for a cache that has no writable place (an installation of another user's, no home folder), and
fails after the work where the disk is full or a kept file is damaged. Here the function is compiled anew instead.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
from numba.core.caching import FunctionCache


class Kept(FunctionCache):
    """numba's cache of one function, which never fails: what it cannot load or keep is compiled."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]  # numba has no types
        except Exception:  # of any type: pickle raises many on a file that is cut, foreign or not ours to read
            with suppress(Exception):
                self.flush()  # type: ignore[no-untyped-call]  # else it would stand in the way of the next ones
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]  # as above
        except Exception:  # as in loading, and whatever a disk says
            return


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(**options)`, with a cache on disk where there is a place for one."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        with suppress(RuntimeError, OSError):  # no place can be written to; the source cannot be read
            dispatcher._cache = Kept(function)  # type: ignore[no-untyped-call]  # what `cache=True` sets to a bare FunctionCache
        return dispatcher

    return decorate


def cache_place(dispatcher: Any) -> str:
    """Where a compiled function is kept; '' for nowhere."""
    return str(dispatcher._cache.cache_path or "")
