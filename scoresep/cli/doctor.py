"""The command that looks at the machine: `scoresep doctor`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scoresep.cli.options import DEFAULT_CACHE, DEFAULT_CHECKPOINT
from scoresep.console import console, meter, one_line

SIGNS = {"good": "[green]good[/]", "note": "[yellow]note[/]", "bad": "[red]bad [/]"}


def doctor(
    cache: Annotated[
        Path | None, typer.Option(help="Read this cache through; default: cache.h5 if it is here.")
    ] = None,
    ckpt: Annotated[Path | None, typer.Option(help="Look at this checkpoint; default: ckpt.pt if it is here.")] = None,
) -> None:
    """Say what works on this machine, whether a cache and a checkpoint are whole, and what to do about what is not.

    Exit status 1 if anything is bad.

    Example: scoresep doctor --cache cache.h5
    """
    from scoresep.cli.checks import examine

    cache = cache or existing(DEFAULT_CACHE)
    ckpt = ckpt or existing(DEFAULT_CHECKPOINT)
    states: set[str] = set()
    with meter("shards") as progress:
        for check in examine(Path(), cache, ckpt, partial(progress, "checking the cache")):
            states.add(check.state)
            console.print(f"{SIGNS[check.state]}  [bold]{check.about:<11}[/] ", end="")
            console.print(one_line(check.detail), markup=False)
            if check.remedy:
                console.print(f"{'':>18}-> {check.remedy}", markup=False)
    raise typer.Exit(int("bad" in states))


def existing(path: Path) -> Path | None:
    """The path if there is such a file."""
    return path if path.exists() else None
