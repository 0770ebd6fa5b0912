"""What the terminal shows: progress with rates and remaining time, as a bar or, where output is a file, as lines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(highlight=False, soft_wrap=True, emoji=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
SHORTEST = 0.5
"""Seconds that must have passed for a rate to mean something."""
LINE_EVERY = 10.0
"""Seconds between progress lines where there is no terminal."""


class Meter:
    """Progress of one piece of work after another; made by `meter`."""

    def __init__(self, bar: Progress | None, unit: str) -> None:
        self._bar, self._unit = bar, unit
        self._task: Any = None
        self._title = ""
        self._began = self._line = 0.0
        self._first = 0.0

    def __call__(self, title: str, done: float, total: float, detail: str = "") -> None:
        """Show that `done` of `total` units of `title` are done."""
        if title != self._title:
            self._begin(title, done, total)
        elapsed = time.monotonic() - self._began
        rate = (done - self._first) / elapsed if elapsed > SHORTEST else 0.0
        speed = f", {rate:.1f} {self._unit}/s" if rate > 0 else ""
        if self._bar:
            self._bar.update(self._task, completed=done, total=total, detail=f"{speed[2:]}  {detail}")
        elif done >= total or time.monotonic() - self._line >= LINE_EVERY:
            self._line = time.monotonic()
            remaining = f", {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
            line = f"{title}: {done:g}/{total:g} {self._unit}{speed}{remaining}  {detail}".rstrip()
            console.print(line, markup=False)

    def _begin(self, title: str, done: float, total: float) -> None:
        self._title, self._first = title, done if done > 1 else 0.0
        self._began = self._line = time.monotonic()
        if self._bar:
            self._task = self._bar.add_task(title, total=total, completed=done, detail="")


@contextmanager
def meter(unit: str) -> Iterator[Meter]:
    """A progress display for the block; `unit` is what is counted, such as 'tracks'."""
    if not console.is_terminal:
        yield Meter(None, unit)
        return
    columns = (
        TextColumn("{task.description}", markup=False),  # names of files, which may hold brackets
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Progress(*columns, console=console) as bar:
        yield Meter(bar, unit)


def losses_line(losses: Mapping[str, float]) -> str:
    """'player/name' losses as short text."""
    return "  ".join(f"{name.partition('/')[2]} {value:.3f}" for name, value in losses.items())
