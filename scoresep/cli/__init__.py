"""The command line: every command parses, calls one function and prints. Entry point `main`."""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer
import typer.core

from scoresep import __version__
from scoresep.cli.corpora import info, render
from scoresep.cli.doctor import doctor
from scoresep.cli.evaluate import evaluate
from scoresep.cli.lines import one_line
from scoresep.cli.prepare import prepare_app
from scoresep.cli.report import report
from scoresep.cli.train import train
from scoresep.cli.use import separate, transcribe
from scoresep.console import console, errors
from scoresep.errors import ScoresepError

ORDER = ("render", "prepare", "train", "evaluate", "report", "separate", "transcribe", "info", "doctor")
"""The order of work, in which help lists the commands."""


class Commands(typer.core.TyperGroup):
    """Lists commands in the order of work, and says a word when one is stopped, which Typer would end in silence."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)

    def invoke(self, ctx: typer.Context) -> object:
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
for command in (train, evaluate, report, separate, transcribe, info, doctor):
    app.command()(command)


def main() -> None:
    """Run the command line; what a user can put right is one line on standard error and exit status 2."""
    try:
        app()
    except ScoresepError as fault:
        fail(str(fault))
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            fail(f"the disk is full{named(fault)}; free some space and run the same command again")
        if fault.errno == errno.EFBIG:
            fail(f"a file grows larger than is allowed{named(fault)}; raise the limit (ulimit -f) or use another disk")
        if fault.errno in (errno.EACCES, errno.EROFS):
            fail(f"no permission to write{named(fault)}; choose another place")
        if fault.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
            fail(f"cannot write{named(fault)}: {fault.strerror}; choose another place")
        raise


def fail(message: str) -> None:
    """Print one line, whatever characters of broken files are in it, and exit with status 2."""
    errors.print(f"error: {one_line(message)}", markup=False)
    sys.exit(2)


def named(fault: OSError) -> str:
    """The file of a fault, for a message: the name that was wanted rather than a temporary one."""
    name = fault.filename2 or fault.filename
    return f" ({name})" if name else ""


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        console.print(f"scoresep {__version__}")
        raise typer.Exit
