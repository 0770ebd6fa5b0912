"""Work that takes seconds, one piece at a time, in a thread of its own: what is done, how far, and how it ended."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from scoresep.audio.source import Progress
from scoresep.console import errors
from scoresep.errors import Mismatch, ScoresepError

LETTING_GO = 0.1
"""Seconds that work which says that it has ended may take to let other work begin."""


class Stopped(Exception):
    """Work that was given up because the studio ends."""


class Cancelled(Stopped):
    """Work that a person gave up."""


class Busy(Mismatch):
    """Something else is being computed."""


@dataclass(frozen=True)
class Job:
    """The latest piece of work.

    Attributes:
        kind: what was asked for; '' if nothing ever was.
        stage: what is being done (`measuring`, `transcribing`, ...).
        done: share of the stage, 0 to 1.
        running: whether it goes on.
        error: why it failed; '' if it did not.
        number: how many were begun.
        cancelled: whether it was given up.
    """

    kind: str = ""
    stage: str = ""
    done: float = 0.0
    running: bool = False
    error: str = ""
    number: int = 0
    cancelled: bool = False


class Worker:
    """Does one thing after another; what comes while it works is refused."""

    def __init__(self) -> None:
        self._busy, self._job = threading.Lock(), Job()
        self._thread: threading.Thread | None = None
        self._ending, self._cancelled = False, 0

    def state(self) -> dict[str, Any]:
        """The latest job, for the page."""
        return asdict(self._job)

    def start(self, kind: str, work: Callable[[Progress], object], first: Callable[[], object] | None = None) -> None:
        """Begin something, after what comes `first`, at once.

        Raises:
            Busy: something is being done.
        """
        self._take()
        try:
            if first:
                first()
        except BaseException:
            self._busy.release()
            raise
        self._job = Job(kind, running=True, number=self._job.number + 1)
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A block in which nothing else is begun.

        Raises:
            Busy: something is being done.
        """
        self._take()
        try:
            yield
        finally:
            self._busy.release()

    def wait(self) -> None:
        """Until what was begun has ended."""
        if self._thread:
            self._thread.join()

    def cancel(self, number: int) -> None:
        """Give up the job of that number at its next step, if it still runs."""
        self._cancelled = number

    def stop(self) -> None:
        """Give up what is being done at its next step, and wait for that: Python must not end while threads compute."""
        self._ending = True
        self.wait()

    def _take(self) -> None:
        if not self._busy.acquire(timeout=LETTING_GO):
            raise Busy("something is being computed", remedy="wait until it is done")

    def _run(self, work: Callable[[Progress], object]) -> None:
        job, error, cancelled = self._job, "", False

        def progress(stage: str, done: float, total: float) -> None:
            if self._ending:
                raise Stopped
            if self._cancelled == job.number:
                raise Cancelled
            share = min(max(done / total, 0.0), 1.0) if total else 1.0
            self._job = replace(job, stage=stage, done=share)

        try:
            work(progress)
        except Stopped as end:
            cancelled = isinstance(end, Cancelled)
        except ScoresepError as fault:
            error = str(fault)
        except Exception as fault:  # a bug: the page says so, the terminal has the traceback
            error = f"{type(fault).__name__}: {fault}"
            errors.print(traceback.format_exc(), markup=False)
        finally:
            self._job = replace(self._job, done=1.0, running=False, error=error, cancelled=cancelled)
            self._busy.release()
