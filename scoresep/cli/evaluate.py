"""The command `scoresep evaluate`. Called by `cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scoresep.cli.options import DEFAULT_CHECKPOINT, DEFAULT_METRICS, Device
from scoresep.console import console, meter
from scoresep.machine import available_cores


def evaluate(
    ckpt: Annotated[Path, typer.Argument(help="Checkpoint made by `scoresep train`.")] = DEFAULT_CHECKPOINT,
    cache: Annotated[Path | None, typer.Option(help="Cache; default: the one the checkpoint was trained on.")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    out: Annotated[Path, typer.Option(help="Where the figures go.")] = DEFAULT_METRICS,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the split's first track, with its score, to this file.")
    ] = None,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Evaluate anew even if --out holds this very result.")] = False,
) -> None:
    """Compare separation and transcription with the truth; print tables and write metrics.json.

    Beside the model stand the mixture itself, the score's harmonic mask and the oracle ratio mask.

    Example: scoresep evaluate ckpt.pt --split validation --plot first.png
    """
    import torch

    from scoresep.evaluation.evaluate import Evaluation, up_to_date
    from scoresep.evaluation.evaluate import evaluate as run_evaluation
    from scoresep.evaluation.report import plot_track, report
    from scoresep.training.run import choose_device

    torch.set_num_threads(available_cores())
    chosen = str(choose_device(device))
    result = None if force else Evaluation.load(out)
    if result and up_to_date(result, ckpt, cache, split):
        console.print(f"{out} holds the result for {ckpt}; --force evaluates anew", markup=False)
    else:
        with meter("tracks") as progress:
            result = run_evaluation(ckpt, cache, split, chosen, lambda done, total: progress("evaluating", done, total))
        result.save(out)
    console.print(report(result))
    console.print(f"figures: {out}", markup=False)
    if plot:
        plot_track(plot, ckpt, cache, split, chosen)
        console.print(f"picture: {plot}", markup=False)
