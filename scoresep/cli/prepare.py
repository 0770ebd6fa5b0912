"""The commands `scoresep prepare ...`: one for each dataset of the table."""

from __future__ import annotations

import inspect
import math
from collections.abc import MutableMapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
import typer.core
import typer.main

from scoresep.cache import ScoreCheck, Teacher
from scoresep.cli.options import DEFAULT_CACHE, Jobs, by_comma
from scoresep.console import console, meter
from scoresep.errors import InvalidValue
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.instruments import Instrument, choose, read_instruments

if TYPE_CHECKING:
    from scoresep.cache.prepare_report import Report
    from scoresep.datasets.base import Dataset

HIGHEST_KEY = 440.0 * 2.0 ** ((LOWEST_PITCH + PITCHES - 1 - 69) / 12)
"""Hz."""
SHORTEST_HOP, LONGEST_HOP = 0.002, 0.1
"""Seconds: more frames tell nothing new; with fewer, a frame's centre is not within the 50 ms that an onset may be off
(`transcription.note_metrics`)."""
WIDEST_BIN = 100.0
"""Hz: notes of the middle of the piano are less apart."""
MOST_LISTED = 20
"""Tracks that the terminal lists; the CSV file has them all."""


class DatasetCommands(typer.core.TyperGroup):
    """A command for each row of `DATASETS`; those of other packages are imported when they are called or listed."""

    @property
    def commands(self) -> MutableMapping[str, Any]:
        from scoresep.datasets.table import DATASETS

        return {name: command_of(name, dataset) for name, dataset in DATASETS.items()}

    @commands.setter
    def commands(self, commands: MutableMapping[str, Any]) -> None:
        """Typer assigns those that were registered: none."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from scoresep.datasets.table import BUILT_IN, DATASETS

        if dataset := BUILT_IN.get(cmd_name) or DATASETS.get(cmd_name):
            return command_of(cmd_name, dataset)
        return None

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


prepare_app = typer.Typer(
    cls=DatasetCommands,
    no_args_is_help=True,
    help="Compile a dataset into a cache for training.\n\nExample: scoresep prepare slakh ~/slakh2100_flac_redux",
)

Out = Annotated[Path, typer.Option(help="Index file to write; its shards go into a folder beside it.")]
Instruments = Annotated[
    str,
    typer.Option(
        help="Groups to separate, by comma ('other' takes what is left over), or a TOML file of your own groups."
    ),
]
Rate = Annotated[int, typer.Option(help="Hz of the audio that the networks hear; half of it is the highest frequency.")]
Window = Annotated[int | None, typer.Option(help="Samples of a frame; default: 4 hops, or about 0.13 s.")]
Hop = Annotated[int | None, typer.Option(help="Samples between frames; default: a quarter of the window.")]
Dedupe = Annotated[bool, typer.Option("--dedupe", help="Leave out music that a higher-priority split holds too.")]
ScoreCheckOption = Annotated[
    ScoreCheck, typer.Option(help="Stems that contradict their score: flag them, exclude their tracks, or off.")
]
TeacherOption = Annotated[
    Teacher,
    typer.Option(help="What estimates stems from mixture and score, for training: nmf (factorisation), or none."),
]
Unwritten = Annotated[
    bool | None,
    typer.Option(
        "--unwritten/--no-unwritten",
        help="Let the teacher hear notes that the scores lack; default: where scores come with recordings, not stems.",
        show_default=False,
    ),
]
TeacherDevice = Annotated[
    str, typer.Option(help="Where the teacher works, in each worker: cpu, auto, or a GPU such as cuda:0.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail if any track cannot be used.")]
PartOption = Annotated[
    str | None, typer.Option(metavar="K/N", help="Make the K-th of N parts only, for machines that share the work.")
]
Scheduler = Annotated[
    str, typer.Option(help="Address of a Dask scheduler that does the work, such as tcp://node1:8786.")
]


def command_of(name: str, dataset: Dataset) -> Any:
    """The command that compiles a kind of dataset: its extra options, then those of every dataset."""
    extra = options_of(dataset)
    known = {"Dataset": type(dataset)}  # which is imported here no sooner than it is needed
    signature = inspect.signature(compile_dataset, eval_str=True, locals=known)
    shared = {name: option for name, option in signature.parameters.items() if option.kind is option.KEYWORD_ONLY}
    shared["instruments"] = shared["instruments"].replace(default=",".join(dataset.instruments))
    if not dataset.has_stems:
        del shared["score_check"]

    def command(root: Path | None, **values: Any) -> None:
        compile_dataset(dataset, root, {option: values.pop(option) for option in extra}, **values)

    folder = inspect.Parameter(
        "root",
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None if dataset.environment or dataset.usual_folders else ...,
        annotation=Annotated[Path | None, typer.Argument(help=dataset.folder)],
    )
    parameters = [folder, *extra.values(), *shared.values()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {}
    app = typer.Typer(add_completion=False)
    app.command(name, help=inspect.cleandoc(dataset.about))(command)
    return typer.main.get_command(app)


def options_of(dataset: Dataset) -> dict[str, inspect.Parameter]:
    """The parameters of a dataset's `open` besides the folder, as options of a command."""
    _, *options = inspect.signature(dataset.open, eval_str=True).parameters.values()
    return {option.name: option.replace(annotation=as_option(option.annotation)) for option in options}


def as_option(annotation: Any) -> Any:
    """`Annotated[TYPE, "help"]` as Typer has it."""
    kind, about = get_args(annotation)
    return Annotated[kind, typer.Option(help=about)]


def compile_dataset(
    dataset: Dataset,
    root: Path | None,
    options: dict[str, Any],
    *,
    out: Out = DEFAULT_CACHE,
    instruments: Instruments = "",
    rate: Rate = Grid.sample_rate,
    window: Window = None,
    hop: Hop = None,
    dedupe: Dedupe = False,
    score_check: ScoreCheckOption = "flag",
    teacher: TeacherOption = "nmf",
    unwritten: Unwritten = None,
    teacher_device: TeacherDevice = "cpu",
    strict: Strict = False,
    part: PartOption = None,
    scheduler: Scheduler = "",
    jobs: Jobs = 0,
) -> None:
    """Compile a dataset and print what came of it.

    Args:
        options: those of the dataset's own `open`.
    """
    from scoresep.cache.build import prepare
    from scoresep.cache.schema import CacheSettings
    from scoresep.datasets.splits import deduplicated
    from scoresep.executor import Engine
    from scoresep.machine import choose_device
    from scoresep.nmf import FactoriseSettings

    settings = CacheSettings(
        grid=read_grid(rate, window, hop),
        instruments=read_groups(instruments),
        score_check=score_check if dataset.has_stems else "off",
        teacher=teacher,
        factorise=FactoriseSettings(unwritten=not dataset.has_stems if unwritten is None else unwritten),
    )
    corpus = dataset.open(dataset.find_root(root), **options)
    corpus = deduplicated(corpus) if dedupe else corpus
    if teacher_device != "cpu" and not scheduler:  # the workers of a cluster know their own
        teacher_device = str(choose_device(teacher_device))
    console.print(f"{corpus.root}: {len(corpus.tracks)} tracks, split set {corpus.split_set}", markup=False)
    for note in corpus.notes:
        console.print(f"  {note}", markup=False)
    with meter("tracks") as progress:
        report = prepare(
            corpus,
            out,
            settings,
            Engine(jobs, scheduler),
            partial(progress, "preparing"),
            read_part(part),
            strict,
            teacher_device,
        )
    print_report(report, is_part=part is not None)


def print_report(report: Report, is_part: bool) -> None:
    """Print what was left out and what is odd, then what there is."""
    from scoresep.cache.prepare_report import problem_lines, unused_lines

    problems, unused = problem_lines(report), unused_lines(report)
    more = [f"and {len(problems) - MOST_LISTED} more"] * (len(problems) > MOST_LISTED)
    table = [f"all of it: {report.table}"] * bool((problems or unused) and not is_part)
    for line in (*problems[:MOST_LISTED], *more, *unused, *table):
        console.print(f"  {line}", markup=False)
    counts = ", ".join(f"{count} {split}" for split, count in report.tracks.items()) or "no usable track"
    what = "part made" if is_part else report.path
    console.print(
        f"{what}: {counts}; {len(report.excluded)} left out; {report.reused} of {report.shards} shards were there",
        markup=False,
    )
    if is_part:
        console.print("when all parts are made, run the same command without --part", markup=False)


def read_groups(text: str) -> tuple[Instrument, ...]:
    """The instruments of 'piano,guitar, bass' or of a TOML file."""
    if text.lower().endswith(".toml"):
        return read_instruments(text)
    return choose(by_comma(text))


def read_grid(rate: int, window: int | None = None, hop: int | None = None) -> Grid:
    """The grid of the options; steps that are not given are nearly those of the default grid.

    Raises:
        InvalidValue: there is none such, or notes cannot be told on it.
    """
    from scoresep.separation.mask_resampling import native_grid

    if window is None:
        window = native_grid(Grid(), rate).n_fft if hop is None else 4 * hop
    grid = Grid.from_dict({"sample_rate": rate, "n_fft": window, "hop": window // 4 if hop is None else hop})
    check_grid(grid)
    return grid


def check_grid(grid: Grid) -> None:
    """Refuse a grid that fundamentals of notes lie beyond, or too coarse or too fine in time or frequency."""
    if grid.sample_rate < 2 * HIGHEST_KEY:
        problem = f"the grid {grid} ends at {grid.sample_rate / 2:g} Hz, below the highest key's {HIGHEST_KEY:.0f} Hz"
        raise InvalidValue(problem, remedy=f"choose a rate of {math.ceil(2 * HIGHEST_KEY)} Hz or more")
    if grid.hop > LONGEST_HOP * grid.sample_rate:
        problem = f"the grid {grid} has a frame every {1000 * grid.hop / grid.sample_rate:.0f} ms: onsets are lost"
        raise InvalidValue(problem, remedy=f"choose a hop of {int(LONGEST_HOP * grid.sample_rate)} samples or less")
    if grid.hop < SHORTEST_HOP * grid.sample_rate:
        problem = f"the grid {grid} has {grid.frame_rate:g} frames a second, beyond any memory"
        raise InvalidValue(
            problem, remedy=f"choose a hop of {math.ceil(SHORTEST_HOP * grid.sample_rate)} samples or more"
        )
    if grid.bin_width > WIDEST_BIN:
        problem = f"the grid {grid} has bins of {grid.bin_width:.0f} Hz: notes cannot be told apart"
        raise InvalidValue(
            problem, remedy=f"choose a window of {math.ceil(grid.sample_rate / WIDEST_BIN)} samples or more"
        )


def read_part(text: str | None) -> tuple[int, int] | None:
    """The part of '3/16'.

    Raises:
        InvalidValue: it is none.
    """
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise InvalidValue(f"--part '{text}' is not K/N with K from 1 to N", remedy="give one such as 3/16")
    return int(number), int(count)
