"""The command `scoresep train`. Called by `cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scoresep.cli.options import DEFAULT_CACHE, DEFAULT_CHECKPOINT, DEFAULT_RUN, Device
from scoresep.console import console, errors, losses_line, meter
from scoresep.errors import ScoresepError
from scoresep.machine import available_cores


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
    torch.set_num_threads(available_cores())
    name = recipe or default_recipe(chosen)
    wanted = load_recipe(name, [*step_settings(steps), *(settings or [])])
    data = Cache(cache)
    console.print(f"{cache}: {data.corpus}, {', '.join(data.names)}; recipe {name}; device {chosen}", markup=False)
    with meter("steps") as progress:
        log = RunLog(
            run,
            lambda title, done, total, losses: progress(title, done, total, losses_line(losses)),
            lambda text: console.print(text, markup=False),
        )
        try:
            run_training(data, stage, wanted, chosen, run, out, log, force)
        except Stopped as stop:
            again = "the same command without --force" if force else "the same command"
            errors.print(f"{stop}; everything is saved in {run}, {again} goes on", markup=False)
            raise typer.Exit(130) from None
        finally:
            log.close()
    console.print(f"{out}: stage {stage}; next: scoresep evaluate {out}", markup=False)


def step_settings(steps: str | None) -> list[str]:
    """`--steps 300` or `--steps 300,200,100` as settings of the recipe."""
    if steps is None:
        return []
    counts = steps.split(",")
    if len(counts) not in (1, 3) or not all(count.strip().isdecimal() for count in counts):
        raise ScoresepError(f"--steps '{steps}' is neither a number nor three by comma, such as 300,200,100")
    return [f"stage{n}.steps={int(count)}" for n, count in enumerate(counts * (3 // len(counts)), start=1)]
