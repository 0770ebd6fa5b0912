"""The command `scoresep train`."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from scoresep.cli.options import DEFAULT_CACHE, DEFAULT_CHECKPOINT, DEFAULT_RUN, Device, Resident
from scoresep.console import console, errors, losses_line, meter
from scoresep.errors import InvalidValue


def train(
    stage: Annotated[int, typer.Option(help="Last stage to train.", min=1, max=3)] = 3,
    cache: Annotated[Path, typer.Option(help="Cache made by `scoresep prepare`.")] = DEFAULT_CACHE,
    config: Annotated[
        str | None, typer.Option(help="mini, taught, paper or a TOML file; default: mini on a CPU, paper on a GPU.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the config; repeatable.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option(help="Steps of every stage, or of stages 1,2,3 by comma; default: the config's.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="End after so long: all stages get as many steps as that allows, in the config's proportions."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="CKPT", help="Checkpoint to fine-tune, of the same networks; 'shipped': that of scoresep itself."
        ),
    ] = None,
    device: Device = "auto",
    resident: Annotated[
        Resident | None, typer.Option(help="Hold the training split in memory; default: read it as it is needed.")
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder of logs and stage checkpoints.")] = DEFAULT_RUN,
    out: Annotated[Path, typer.Option(help="Where the last stage's checkpoint is copied to.")] = DEFAULT_CHECKPOINT,
    force: Annotated[bool, typer.Option("--force", help="Train the last stage anew even if it is there.")] = False,
) -> None:
    """Train the transcriptor (1), the separator with the transcriptor as critic (2), both against each other (3).

    Stages before the one asked for are trained first where their checkpoints are missing from the run's folder.
    Ctrl-C saves; the same command goes on, with --minutes by the steps that were fixed for it at first. Several GPUs or
    machines: `torchrun ... -m -- scoresep train ...`.

    Example: scoresep train --stage 3 --set stage2.separator.harmonic_mixture=1.0
    """
    began = time.monotonic()
    from scoresep.cache.reader import Cache
    from scoresep.machine import choose_device, keep_freed_memory, use_threads
    from scoresep.pretrained import SHIPPED_MODEL
    from scoresep.training.config_files import load_config
    from scoresep.training.distributed import joined
    from scoresep.training.log import RunLog
    from scoresep.training.run import Run, Stopped, default_config

    if minutes is not None and not 0 < minutes < math.inf:
        raise InvalidValue(f"--minutes {minutes:g} is not a length of time", remedy="give a number above 0, such as 10")
    chosen = choose_device(device)
    keep_freed_memory()
    name = config or default_config(chosen)
    wanted = load_config(name, [*step_settings(steps), *(settings or [])])
    data = Cache(cache)
    with joined(chosen) as world, meter("steps") as progress:
        use_threads(world.local_size)
        console.quiet = not world.is_first
        console.print(f"{cache}: {data.corpus}, {', '.join(data.names)}; config {name}; device {chosen}", markup=False)
        new = not run.exists()
        show = lambda title, done, total, losses: progress(title, done, total, losses_line(losses))  # noqa: E731
        log = RunLog(run if world.is_first else None, show, lambda text: console.print(text, markup=False))
        try:
            Run(
                data,
                wanted,
                run,
                out,
                log,
                last=stage,
                device=chosen,
                force=force,
                resident=resident or "",
                minutes=minutes,
                began=began,
                start=None if start is None else SHIPPED_MODEL if start == "shipped" else Path(start),
                world=world,
            ).train()
        except Stopped as stop:
            again = "the same command without --force" if force else "the same command"
            errors.print(f"{stop}; everything is saved in {run}, {again} goes on", markup=False)
            raise typer.Exit(130) from None
        finally:
            log.close()
            if new and world.is_first:
                remove_if_empty(run)
    console.print(f"{out}: stage {stage}; next: scoresep evaluate {out}", markup=False)


def remove_if_empty(run: Path) -> None:
    """Remove the folder of a run that was refused before its first step: it has empty logs alone."""
    if not any(path.stat().st_size for path in run.glob("*") if path.is_file()):
        shutil.rmtree(run, ignore_errors=True)


def step_settings(steps: str | None) -> list[str]:
    """`--steps 300` or `--steps 300,200,100` as settings of the config."""
    if steps is None:
        return []
    counts = steps.split(",")
    if len(counts) not in (1, 3) or not all(count.strip().isdecimal() for count in counts):
        problem = f"--steps '{steps}' is neither a number nor three by comma"
        raise InvalidValue(problem, remedy="give them as in 300,200,100")
    return [f"stage{n}.steps={int(count)}" for n, count in enumerate(counts * (3 // len(counts)), start=1)]
