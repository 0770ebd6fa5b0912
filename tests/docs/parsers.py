"""Each program's own parser, for the commands that the docs show. Nothing is run."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import itertools
import os
import re
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import typer.main
from shown import ROOT, Command

from scoresep.cli import app
from scoresep.training.config_files import load_config

SLURM = {"array", "cpus-per-task", "dependency", "gpus-per-node", "job-name", "mem", "nodes", "ntasks-per-node"} | {
    "parsable",
    "requeue",
    "signal",
    "time",
}
"""Those of sbatch's options (sbatch(1)) that the docs use; there is no parser of them to ask."""
SHELL = {"for", "do", "done", "export", "head", "scontrol"}
"""Other words with which a command of the docs may begin; `bash -n` looks at them."""


class Refused(Exception):
    """A program does not understand a command line."""


def check(command: Command) -> None:
    """Let the program that a command calls parse it.

    Raises:
        Refused: it does not understand it, or there is no such program here.
    """
    program, *arguments = command.words
    if program in SHELL:
        return
    if program not in PARSERS:
        raise Refused(f"no parser for {program}")
    for word in arguments:
        if re.match(r"(pipelines|tools|docs|tests|scoresep)/", word) and not (ROOT / word).exists():
            raise Refused(f"{word} is not there")
    for option, value in itertools.pairwise(arguments):
        if option == "--set" and not re.search(r"=[A-Z]+$", value):
            load_config("mini", [value])
    PARSERS[program](arguments, command.mentioned)


def by_click(command: click.Command, arguments: Sequence[str], mentioned: bool) -> None:
    """Walk through groups to the command, which takes all arguments; callbacks of options are not called."""
    arguments = list(arguments)
    while hasattr(command, "commands"):
        options = {name for option in command.params for name in option.opts} | {"--help"}
        if not arguments or arguments[0].isupper() or arguments[0] in options:
            if arguments or mentioned:
                return
            raise Refused(f"{command.name} without a command")
        if arguments[0] not in command.commands:
            raise Refused(f"{command.name} has no {arguments[0]}")
        command = command.commands[arguments.pop(0)]
    try:
        command.make_context(command.name, [word for word in arguments if word != "--help"])
    except Exception as fault:  # Typer has click's classes in a copy of its own
        if not (mentioned and type(fault).__name__ in ("MissingParameter", "BadOptionUsage")):
            raise Refused(f"{command.name}: {fault}") from fault


class Parsed(Exception):
    """A script has parsed its arguments."""


def by_script(arguments: Sequence[str], mentioned: bool) -> None:
    """Run a script, or by `-m` a module, until it has parsed its arguments; others are known as programs."""
    if arguments[0] == "-m":
        own = Path(*arguments[1].split(".")).with_suffix(".py")
        if not (ROOT / own).is_file():
            return PARSERS[arguments[1]](arguments[2:], mentioned)
        arguments = [str(own), *arguments[2:]]
    path = ROOT / arguments[0]
    if not path.is_file():
        raise Refused(f"{path} is not there")
    if "parse_args" not in path.read_text("utf-8"):
        return None  # tools/test.py hands all on to pytest
    before = sys.argv, list(sys.path), dict(sys.modules), dict(os.environ)
    real = argparse.ArgumentParser.parse_args

    def parse_args(parser: argparse.ArgumentParser, *rest: Any) -> None:
        parse(lambda words: real(parser, words), arguments[1:], mentioned)
        raise Parsed

    sys.argv, argparse.ArgumentParser.parse_args = [str(path), *arguments[1:]], parse_args
    sys.path.insert(0, str(path.parent))
    try:
        runpy.run_path(str(path), run_name="__main__")
    except Parsed:
        return None
    finally:
        sys.argv, sys.path, argparse.ArgumentParser.parse_args = *before[:2], real
        for name in set(sys.modules) - set(before[2]):
            if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(ROOT / path.parts[-2]):
                del sys.modules[name]
        os.environ.clear()
        os.environ.update(before[3])
    raise Refused(f"{path} never parses its arguments")


def parse(parser: Callable[[Sequence[str]], Any], arguments: Sequence[str], mentioned: bool = False) -> Any:
    """What an argparse or optparse parser makes of arguments."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parser(list(arguments))
    except SystemExit as end:
        if end.code and not (mentioned and "are required" in said.getvalue()):
            raise Refused(said.getvalue().strip().splitlines()[-1]) from end
        return None


def by_torchrun(arguments: Sequence[str], mentioned: bool) -> None:
    """torchrun's own parser, then that of what it starts."""
    from torch.distributed.run import get_args_parser

    given = parse(get_args_parser().parse_args, arguments)
    by_script(["-m"] * given.module + [given.training_script, *given.training_script_args], mentioned)


def by_pip(arguments: Sequence[str], mentioned: bool) -> None:
    from pip._internal.commands import create_command

    parse(create_command(arguments[0]).parse_args, arguments[1:])


def by_slurm(arguments: Sequence[str], mentioned: bool) -> None:
    """sbatch and srun: options first, then what they start; a batch script is one of the page."""
    rest = list(itertools.dropwhile(lambda word: word.startswith("-"), arguments))
    for word in arguments[: len(arguments) - len(rest)]:
        if word.removeprefix("--").split("=")[0] not in SLURM:
            raise Refused(f"{word} is no option of sbatch")
    if rest and not rest[0].endswith(".sh"):
        check(Command(tuple(rest), mentioned))


def by_dask(arguments: Sequence[str], mentioned: bool) -> None:
    module = importlib.import_module(f"distributed.cli.dask_{arguments[0]}")
    by_click(module.main, arguments[1:], mentioned)


PARSERS: dict[str, Callable[[Sequence[str], bool], None]] = {
    "scoresep": lambda arguments, mentioned: by_click(typer.main.get_command(app), arguments, mentioned),
    "python": by_script,
    "python3": by_script,
    "torchrun": by_torchrun,
    "pip": by_pip,
    "sbatch": by_slurm,
    "srun": by_slurm,
    "dask": by_dask,
}
