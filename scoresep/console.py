"""What the terminal shows: progress with rates and remaining time, as a bar or, where output is a file, as lines."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LONGEST_LINE = 1000
"""Characters of a message that are shown."""


class Terminal(Console):
    """A console on which names of files, printed without markup, cannot do anything."""

    def print(self, *objects: Any, markup: bool | None = None, **options: Any) -> None:
        if markup is False:
            objects = tuple(printable(item) if isinstance(item, str) else item for item in objects)
        super().print(*objects, markup=markup, **options)


def printable(text: str) -> str:
    """Lines of text in which what cannot be printed (in names of broken files, say) is written as its code."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


def one_line(message: str) -> str:
    """A message as one printable line."""
    line = printable(" ".join(line.strip() for line in message.splitlines()))
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ..."


def take_any_name() -> None:
    """Have letters that the terminal's encoding lacks written as their codes, instead of failing for a file's name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


console = Terminal(highlight=False, soft_wrap=True, emoji=False)
errors = Terminal(stderr=True, highlight=False, soft_wrap=True, emoji=False)
SHORTEST_TIME = 0.5
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

    def __call__(self, title: str, done: float, total: float, detail: str = "", unit: str = "") -> None:
        """Show that `done` of `total` units of `title` are done; `unit` where it is not the meter's own."""
        unit = unit or self._unit
        title = one_line(title)
        if title != self._title:
            self._begin(title, done, total)
        elapsed = time.monotonic() - self._began
        rate = (done - self._first) / elapsed if elapsed > SHORTEST_TIME else 0.0
        speed = f", {rate:.1f} {unit}/s" if rate > 0 else ""
        if self._bar:
            self._bar.update(self._task, completed=done, total=total, detail=f"{speed[2:]}  {detail}")
        elif done >= total or time.monotonic() - self._line >= LINE_EVERY:
            self._line = time.monotonic()
            remaining = f", {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
            line = f"{title}: {done:g}/{total:g} {unit}{speed}{remaining}  {detail}".rstrip()
            console.print(line, markup=False)

    def _begin(self, title: str, done: float, total: float) -> None:
        self._title, self._first = title, done if done > 1 else 0.0
        self._began = self._line = time.monotonic()
        if self._bar:
            self._task = self._bar.add_task(title, total=total, completed=int(done), detail="")


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
