"""The command that looks at the machine: `scoresep doctor`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

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
    from scoresep.doctor import examine

    cache = cache or present(Path("cache.h5"))
    ckpt = ckpt or present(Path("ckpt.pt"))
    states = set()
    with meter("shards") as progress:
        for finding in examine(Path(), cache, ckpt, partial(progress, "checking the cache")):
            states.add(finding.state)
            console.print(f"{SIGNS[finding.state]}  [bold]{finding.about:<11}[/] ", end="")
            console.print(one_line(finding.detail), markup=False)
            if finding.remedy:
                console.print(f"{'':>18}-> {finding.remedy}", markup=False)
    raise typer.Exit(int("bad" in states))


def present(path: Path) -> Path | None:
    """The path if there is such a file."""
    return path if path.exists() else None
