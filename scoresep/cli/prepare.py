"""The commands `scoresep prepare ...`: a corpus of one kind to a cache."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoresep.audio.decoding.formats import FORMATS
from scoresep.cli.options import DEFAULT_CACHE, Jobs, by_comma
from scoresep.console import console, meter
from scoresep.errors import ScoresepError
from scoresep.instruments import DEFAULT_INSTRUMENTS, OTHER, Instrument, choose, read_instruments

if TYPE_CHECKING:
    from scoresep.cache.prepare import Outcome, Part
    from scoresep.cache.schema import CacheSettings
    from scoresep.datasets.base import Corpus
    from scoresep.executor import Engine

prepare_app = typer.Typer(
    no_args_is_help=True,
    help="Compile a corpus into a cache for training.\n\nExample: scoresep prepare slakh ~/slakh2100_flac_redux",
)

SHOWN = 20
"""Tracks that the terminal lists; the CSV file has them all."""

Out = Annotated[Path, typer.Option(help="Index file to write; its shards go into a folder beside it.")]
Instruments = Annotated[
    str,
    typer.Option(
        help="Groups to separate, by comma ('other' takes what is left over), or a TOML file of your own groups."
    ),
]
ScoreCheck = Annotated[
    str, typer.Option(help="Stems that contradict their score: flag them, exclude their tracks, or off.")
]
Teacher = Annotated[
    str,
    typer.Option(help="What estimates stems from mixture and score, for training: nmf (factorisation), or none."),
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
SLAKH_INSTRUMENTS = ",".join(DEFAULT_INSTRUMENTS)
PAIRS_INSTRUMENTS = f"{SLAKH_INSTRUMENTS},{OTHER.name}"
"""A recording holds all that plays in it; what has no group must go somewhere."""


@prepare_app.command()
def slakh(
    corpus: Annotated[Path | None, typer.Argument(help="Folder of the corpus; default: SLAKH_ROOT.")] = None,
    out: Out = DEFAULT_CACHE,
    instruments: Instruments = SLAKH_INSTRUMENTS,
    split_set: Annotated[
        str | None,
        typer.Option(help="Name of the split that the folders follow (orig, split2, redux), or a JSON file of splits."),
    ] = None,
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Leave out music that another split holds too (same UUID).")
    ] = False,
    score_check: ScoreCheck = "flag",
    teacher: Teacher = "nmf",
    teacher_device: TeacherDevice = "cpu",
    strict: Strict = False,
    part: PartOption = None,
    scheduler: Scheduler = "",
    jobs: Jobs = 0,
) -> None:
    """Compile Slakh2100 (FLAC or 16 kHz WAV edition), or a corpus made by `scoresep render`.

    Without a folder: the one that SLAKH_ROOT names, else a usual folder name such as slakh2100_flac_redux.
    A stopped run goes on where it was.

    Example: scoresep prepare slakh ~/slakh2100_flac_redux --out cache.h5
    """
    from scoresep.datasets.slakh import open_slakh
    from scoresep.executor import Engine

    groups = read_groups(instruments)
    settings = read_settings(groups, score_check, teacher)
    engine = Engine(jobs, scheduler)
    compile_corpus(open_slakh(corpus, split_set, dedupe), out, settings, strict, part, engine, teacher_device)


@prepare_app.command()
def pairs(
    folder: Annotated[
        Path, typer.Argument(help=f"Folder with recordings ({FORMATS}) and MIDI files of the same name.")
    ],
    out: Out = DEFAULT_CACHE,
    instruments: Instruments = PAIRS_INSTRUMENTS,
    splits: Annotated[
        Path | None, typer.Option(help="CSV file with the columns name and split; default: by chance.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the splits by chance.", min=0)] = 0,
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Leave out music that another split holds too (same MIDI file).")
    ] = False,
    teacher: Teacher = "nmf",
    teacher_device: TeacherDevice = "cpu",
    strict: Strict = False,
    part: PartOption = None,
    scheduler: Scheduler = "",
    jobs: Jobs = 0,
) -> None:
    """Compile recordings with their scores: song.mp3 beside song.mid. No stems are needed.

    The scores must be aligned to the recordings. Their parts are grouped by track name or program.

    Example: scoresep prepare pairs ~/songs --out cache.h5 --instruments piano,bass,drums,other
    """
    from scoresep.datasets.pairs import open_pairs
    from scoresep.executor import Engine

    groups = read_groups(instruments)
    settings = read_settings(groups, "off", teacher)
    engine = Engine(jobs, scheduler)
    compile_corpus(open_pairs(folder, splits, seed, dedupe), out, settings, strict, part, engine, teacher_device)


def compile_corpus(
    corpus: Corpus,
    out: Path,
    settings: CacheSettings,
    strict: bool,
    part: str | None,
    engine: Engine,
    teacher_device: str,
) -> None:
    """Prepare `corpus` and say what came of it."""
    from scoresep.cache.prepare import prepare
    from scoresep.machine import choose_device

    if teacher_device != "cpu" and not engine.scheduler:  # the workers of a cluster know their own
        teacher_device = str(choose_device(teacher_device))
    console.print(f"{corpus.root}: {len(corpus.tracks)} tracks, split set {corpus.split_set}", markup=False)
    for note in corpus.notes:
        console.print(f"  {note}", markup=False)
    with meter("tracks") as progress:
        outcome = prepare(
            corpus,
            out,
            settings,
            engine,
            partial(progress, "preparing"),
            read_part(part),
            strict,
            teacher_device,
        )
    say(outcome, partial=part is not None)


def say(outcome: Outcome, partial: bool) -> None:
    """Print what was left out and what is odd, then what there is."""
    from scoresep.cache.outcome import lines, unused_lines

    found, unused = lines(outcome), unused_lines(outcome)
    for line in found[:SHOWN]:
        console.print(f"  {line}", markup=False)
    if len(found) > SHOWN:
        console.print(f"  and {len(found) - SHOWN} more", markup=False)
    for line in unused:
        console.print(f"  {line}", markup=False)
    if (found or unused) and not partial:
        console.print(f"  all of it: {outcome.table}", markup=False)
    counts = ", ".join(f"{count} {split}" for split, count in outcome.tracks.items()) or "no usable track"
    what = "part made" if partial else outcome.path
    console.print(
        f"{what}: {counts}; {len(outcome.excluded)} left out; {outcome.reused} of {outcome.shards} shards were there",
        markup=False,
    )
    if partial:
        console.print("when all parts are made, run the same command without --part", markup=False)


def read_settings(instruments: tuple[Instrument, ...], score_check: str, teacher: str) -> CacheSettings:
    """The settings of a cache, from the options of a command."""
    from scoresep.cache.schema import SCORE_CHECKS, TEACHERS, CacheSettings
    from scoresep.instruments import nearest

    for option, value, known in (("score-check", score_check, SCORE_CHECKS), ("teacher", teacher, TEACHERS)):
        if value not in known:
            raise ScoresepError(f"--{option} '{value}'{nearest(value, known)}")
    return CacheSettings(instruments=instruments, score_check=score_check, teacher=teacher)


def read_groups(text: str) -> tuple[Instrument, ...]:
    """The instruments of 'piano,guitar, bass' or of a TOML file."""
    if text.lower().endswith(".toml"):
        return read_instruments(text)
    return choose(by_comma(text))


def read_part(text: str | None) -> Part | None:
    """The part of '3/16'."""
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ScoresepError(f"--part '{text}' is not K/N with K from 1 to N, such as 3/16")
    return int(number), int(count)
