"""The command line: every command parses, calls one function and prints. Entry point `main`."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from scoresep import __version__
from scoresep.console import console, errors, losses_line, meter
from scoresep.errors import ScoresepError
from scoresep.instruments import DEFAULT_INSTRUMENTS

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Music source separation that learns from mixtures and their scores, without isolated stems.",
)
prepare_app = typer.Typer(no_args_is_help=True, help="Compile a corpus into a cache for training.")
app.add_typer(prepare_app, name="prepare")

DEFAULT_CACHE, DEFAULT_CHECKPOINT, DEFAULT_RUN = Path("cache.h5"), Path("ckpt.pt"), Path("run")

Jobs = Annotated[int, typer.Option(help="Worker processes; 0 for one a core.", min=0)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
CheckpointOption = Annotated[Path, typer.Option("--ckpt", help="Checkpoint made by `scoresep train`.")]


def main() -> None:
    """Run the command line; what a user can put right is one line on standard error and exit status 2."""
    try:
        app()
    except ScoresepError as fault:
        fail(str(fault))
    except KeyboardInterrupt:
        errors.print("stopped; finished parts are kept, the same command goes on")
        sys.exit(130)
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            fail(f"the disk is full{named(fault)}; free some space and run the same command again")
        if fault.errno in (errno.EACCES, errno.EROFS):
            fail(f"no permission to write{named(fault)}; choose another place")
        raise


def fail(message: str) -> None:
    """Print one line and exit with status 2."""
    errors.print(f"error: {' '.join(message.split())}", markup=False)
    sys.exit(2)


def named(fault: OSError) -> str:
    return f" ({fault.filename})" if fault.filename else ""


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        console.print(f"scoresep {__version__}")
        raise typer.Exit


@prepare_app.command("slakh")
def prepare_slakh(
    corpus: Annotated[Path | None, typer.Argument(metavar="[ROOT]", help="Folder of the corpus.")] = None,
    out: Annotated[Path, typer.Option(help="Cache to write; its shards lie in a folder beside it.")] = DEFAULT_CACHE,
    instruments: Annotated[str, typer.Option(help="Groups to separate, by comma.")] = ",".join(DEFAULT_INSTRUMENTS),
    jobs: Jobs = 0,
) -> None:
    """Compile Slakh2100 (FLAC or 16 kHz WAV edition), or a corpus made by `scoresep render`.

    Without ROOT: the folder that SLAKH_ROOT names, else a usual folder name such as slakh2100_flac_redux.
    A stopped run goes on where it was.

    Example: scoresep prepare slakh ~/slakh2100_flac_redux --out cache.h5
    """
    from scoresep.cache.prepare import prepare
    from scoresep.cache.schema import CacheSettings
    from scoresep.corpora.slakh import open_slakh

    found = open_slakh(corpus)
    names = tuple(name.strip() for name in instruments.split(",") if name.strip())
    console.print(f"{found.root}: {len(found.tracks)} tracks, split set {found.split_set}")
    with meter("tracks") as progress:
        report = prepare(
            found,
            out,
            CacheSettings(instruments=names),
            jobs or cores(),
            lambda done, total: progress("preparing", done, total),
        )
    for track, reason in report.excluded:
        console.print(f"  left out {track}: {reason}", markup=False)
    counts = ", ".join(f"{count} {split}" for split, count in report.tracks.items())
    console.print(
        f"{report.path}: {counts}; {len(report.excluded)} left out; {report.reused} of {report.shards} "
        "shards were there"
    )


@app.command()
def train(
    stage: Annotated[int, typer.Option(help="Last stage to train.", min=1, max=3)] = 3,
    cache: Annotated[Path, typer.Option(help="Cache made by `scoresep prepare`.")] = DEFAULT_CACHE,
    recipe: Annotated[
        str | None, typer.Option(help="mini, paper or a TOML file; default: mini on a CPU, paper on a GPU.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option(help="Steps of every stage, or of stages 1,2,3 by comma; default: the recipe's.")
    ] = None,
    device: Device = "auto",
    run: Annotated[Path, typer.Option(help="Folder of logs and stage checkpoints.")] = DEFAULT_RUN,
    out: Annotated[Path, typer.Option(help="Where the last stage's checkpoint is copied to.")] = DEFAULT_CHECKPOINT,
    force: Annotated[bool, typer.Option("--force", help="Train the last stage anew even if it is there.")] = False,
) -> None:
    """Train the transcriptor (1), the separator with the transcriptor as critic (2), both against each other (3).

    Stages before the one asked for are trained first where their checkpoints are missing from the run's folder.
    Ctrl-C saves; the same command goes on.

    Example: scoresep train --stage 3 --set stage2.separator.harmonic_mixture=1.0
    """
    import torch

    from scoresep.cache.reader import Cache
    from scoresep.training.log import RunLog
    from scoresep.training.recipe import load_recipe
    from scoresep.training.run import Stopped, choose_device, default_recipe
    from scoresep.training.run import train as run_training

    chosen = choose_device(device)
    torch.set_num_threads(cores())
    name = recipe or default_recipe(chosen)
    wanted = load_recipe(name, [*step_settings(steps), *(settings or [])])
    data = Cache(cache)
    console.print(f"{cache}: {data.corpus}, {', '.join(data.instruments)}; recipe {name}; device {chosen}")
    with meter("steps") as progress:
        log = RunLog(
            run,
            lambda title, done, total, losses: progress(title, done, total, losses_line(losses)),
            lambda text: console.print(text, markup=False),
        )
        try:
            run_training(data, stage, wanted, chosen, run, out, log, force)
        except Stopped as stop:
            errors.print(f"{stop}; everything is saved in {run}, the same command goes on", markup=False)
            raise typer.Exit(130) from None
        finally:
            log.close()
    console.print(f"{out}: stage {stage}; next: scoresep evaluate {out}")


def step_settings(steps: str | None) -> list[str]:
    """`--steps 300` or `--steps 300,200,100` as settings of the recipe."""
    if steps is None:
        return []
    counts = steps.split(",")
    if len(counts) not in (1, 3) or not all(count.strip().isdigit() for count in counts):
        raise ScoresepError(f"--steps '{steps}' is neither a number nor three by comma, such as 300,200,100")
    return [f"stage{n}.steps={int(count)}" for n, count in enumerate(counts * (3 // len(counts)), start=1)]
