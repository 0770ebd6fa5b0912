"""The command line: every command parses, calls one function and prints. Entry point `main`."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from scoresep import __version__
from scoresep.cli.align import align
from scoresep.cli.doctor import doctor
from scoresep.cli.evaluate import evaluate
from scoresep.cli.export import export
from scoresep.cli.info import info
from scoresep.cli.prepare import prepare_app
from scoresep.cli.render import render
from scoresep.cli.report import report
from scoresep.cli.separate import separate
from scoresep.cli.studio import studio
from scoresep.cli.train import train
from scoresep.cli.transcribe import transcribe
from scoresep.console import console, errors, one_line, take_any_name
from scoresep.errors import NotFound, ScoresepError, unwritable

ORDER = (
    "render",
    "align",
    "prepare",
    "train",
    "evaluate",
    "report",
    "separate",
    "transcribe",
    "studio",
    "export",
    "info",
    "doctor",
)
"""The order of work, in which help lists the commands."""


class Commands(typer.core.TyperGroup):
    """Lists commands in the order of work, and says a word when one is stopped, which Typer would end in silence."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)

    def invoke(self, ctx: Any) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            errors.print("stopped; finished parts are kept, the same command goes on")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Music source separation that learns from mixtures and their scores, without isolated stems.\n\n"
    "Example: scoresep separate song.flac",
)
app.command()(render)
app.add_typer(prepare_app, name="prepare")
for command in (align, train, evaluate, report, separate, transcribe, studio, export, info, doctor):
    app.command()(command)


def main() -> None:
    """Run the command line; what a user can put right is one line on standard error and exit status 2."""
    take_any_name()
    threading.excepthook = thread_fault
    try:
        check_working_folder()
        app()
    except ScoresepError as fault:
        fail(str(fault))
    except OSError as fault:
        if refused := unwritable(fault):
            fail(str(refused))
        raise


def check_working_folder() -> None:
    """Refuse a working folder that is gone: libraries in C abort there."""
    try:
        Path.cwd()
    except OSError as fault:
        problem = f"the working folder cannot be used ({fault.strerror})"
        raise NotFound(problem, remedy="go to another one") from fault


def thread_fault(fault: threading.ExceptHookArgs) -> None:
    """Leave what a disk says against TensorBoard's thread to the main one, which is told by the next call."""
    if fault.exc_value is None or unwritable(fault.exc_value) is None:
        threading.__excepthook__(fault)


def fail(message: str) -> None:
    """Print one line, whatever characters of broken files are in it, and exit with status 2."""
    with suppress(OSError):  # a terminal that is gone, a log on a full disk
        errors.print(f"error: {one_line(message)}", markup=False)
    sys.exit(2)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        console.print(f"scoresep {__version__}")
        raise typer.Exit
