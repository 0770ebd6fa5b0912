"""The command `scoresep report`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scoresep.cli.options import Device, Sound, by_comma
from scoresep.console import console, meter
from scoresep.errors import InvalidValue
from scoresep.reporting import REPORT_SECONDS, REPORT_TRACKS

DEFAULT_REPORT = Path("report.html")


def report(
    source: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN_OR_EVAL...",
            help="A run's folder, a metrics.json, a checkpoint, or several of them.",
            show_default="run and metrics.json",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The page.")] = DEFAULT_REPORT,
    ckpt: Annotated[Path | None, typer.Option(help="Checkpoint to hear; default: the evaluated one.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Cache; default: the one that was evaluated on.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the tracks; default: the evaluated one.")] = None,
    tracks: Annotated[str, typer.Option(help="How many tracks, or their names by comma.")] = str(REPORT_TRACKS),
    seconds: Annotated[float, typer.Option(help="Length of the excerpts; 0 for whole tracks.", min=0)] = REPORT_SECONDS,
    audio: Annotated[Sound, typer.Option(help="flac (no loss), or mp3 or ogg for a smaller page.")] = "flac",
    device: Device = "auto",
) -> None:
    """Make a page to look at and listen to: losses, figures, spectrograms, masks, piano rolls, players.

    It is one file that needs nothing else, to open in any browser.

    Example: scoresep report run metrics.json --out report.html
    """
    from scoresep.machine import choose_device, use_threads
    from scoresep.reporting.page import size_text, write_report
    from scoresep.reporting.sources import gather

    use_threads()
    chosen = str(choose_device(device))
    material = gather(source or [], ckpt, cache, split)
    for note in material.notes:
        console.print(f"  {note}", markup=False)
    with meter("tracks") as progress:
        shown = partial(progress, "separating")
        size = write_report(out, material, read_tracks(tracks), seconds, audio, chosen, shown)
    console.print(f"report: {out} ({size_text(size)})", markup=False)


def read_tracks(text: str) -> int | tuple[str, ...]:
    """A number, or the names in 'Track00001,Track00002'."""
    if text.isdecimal():
        return int(text)
    names = by_comma(text)
    if not names:
        raise InvalidValue(f"--tracks '{text}'", remedy="give a number, or names of tracks by comma")
    return names
