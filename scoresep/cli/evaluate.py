"""The command `scoresep evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoresep.cli.options import DEFAULT_CHECKPOINT, DEFAULT_METRICS, Device, Jobs, by_comma
from scoresep.console import console, meter
from scoresep.errors import AlreadyExists, InvalidValue
from scoresep.files import check_writable, first_bytes

if TYPE_CHECKING:
    from scoresep.evaluation.evaluate import Evaluation, Subject

ALL, NONE = "all", "none"


def evaluate(
    ckpt: Annotated[
        list[Path] | None,
        typer.Argument(help="Checkpoint made by `scoresep train`; two to compare.", show_default="ckpt.pt"),
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Cache; default: the one the checkpoint was trained on.")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    out: Annotated[Path, typer.Option(help="Where the figures go.")] = DEFAULT_METRICS,
    references: Annotated[str, typer.Option(help="Rows beside the model: all, none, or names by comma.")] = ALL,
    bss: Annotated[
        bool, typer.Option("--bss", help="BSS Eval v4 too (SDR, ISR, SIR, SAR): several times the work.")
    ] = False,
    refine: Annotated[bool, typer.Option("--refine", help="Separate as `scoresep separate --refine` does.")] = False,
    details: Annotated[bool, typer.Option("--details", help="Print all figures instead of a choice.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the split's first track, with its score, to this file.")
    ] = None,
    jobs: Jobs = 0,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Evaluate anew even if --out holds this very result.")] = False,
) -> None:
    """Compare separation and transcription with the truth; print tables and write metrics.json.

    Beside the model stand the mixture, the score's harmonic mask, score-informed NMF and the oracle ratio mask.
    Stopped, it goes on.

    Two checkpoints are compared by a paired test over the tracks; figures go to metrics-NAME.json and -comparison.json.

    Example: scoresep evaluate ckpt.pt --split validation --plot first.png

    Example: scoresep evaluate old.pt new.pt --cache cache.h5 --bss
    """
    from scoresep.evaluation.baselines import BASELINES
    from scoresep.evaluation.evaluate import check_same_cache, compare, open_subject
    from scoresep.evaluation.tables import comparison_table, result_tables
    from scoresep.evaluation.track_records import EvaluationSettings
    from scoresep.machine import choose_device, use_threads
    from scoresep.plots.result import plot_track

    ckpts = ckpt or [DEFAULT_CHECKPOINT]
    if len(ckpts) > 2:
        raise InvalidValue(f"{len(ckpts)} checkpoints", remedy="give one to evaluate or two to compare")
    use_threads()
    chosen = str(choose_device(device))
    names = tuple(BASELINES) if references == ALL else () if references == NONE else by_comma(references)
    settings = EvaluationSettings(split, names, bss, refine)
    outs = [out] if len(ckpts) == 1 else places(ckpts, out)
    check_places(outs, plot)
    subjects = [open_subject(path, cache, settings) for path in ckpts]
    check_same_cache([subject.about for subject in subjects])
    results: list[Evaluation] = []
    for subject, path in zip(subjects, outs, strict=False):
        results.append(evaluated(subject, path, chosen, jobs, force, *results))
        console.print(result_tables(results[-1], details))
        console.print(f"figures: {path}", markup=False)
    if len(results) == 2:
        comparison = compare(*results)
        comparison.save(outs[-1])
        console.print(comparison_table(comparison))
        console.print(f"comparison: {outs[-1]}", markup=False)
    if plot:
        plot_track(plot, subjects[-1], chosen)
        console.print(f"picture: {plot}", markup=False)


def evaluated(
    subject: Subject, out: Path, device: str, jobs: int, force: bool, other: Evaluation | None = None
) -> Evaluation:
    """The result that `out` holds if it is up to date, else a new one, which is written there.

    `other`: a result whose figures of references are reused.
    """
    from scoresep.evaluation.evaluate import Evaluation
    from scoresep.evaluation.evaluate import evaluate as run_evaluation
    from scoresep.evaluation.track_records import remove_kept

    result = None if force else Evaluation.load(out)
    if result and result.about == subject.about:
        console.print(f"{out} holds the result for {subject.path}; --force evaluates anew", markup=False)
        return result
    keep = out.with_name(f"{out.stem}.parts")
    if force:
        remove_kept(keep)
    with meter("tracks") as progress:
        shown = partial(progress, "evaluating")
        result = run_evaluation(subject, device, shown, jobs=jobs, keep=keep, other=other)
    result.save(out)
    remove_kept(keep)
    return result


def places(ckpts: list[Path], out: Path) -> list[Path]:
    """Where the figures of two checkpoints and of their comparison go."""
    return [out.with_name(f"{out.stem}-{name}{out.suffix}") for name in (*distinct_names(ckpts), "comparison")]


def check_places(outs: list[Path], plot: Path | None) -> None:
    """Refuse places for the results before the work.

    Raises:
        ScoresepError: they cannot be written, hold something else than figures, or are none for a picture.
    """
    from scoresep.plots.style import check_picture

    for out in outs:
        check_writable(out, "figures' file")
        if out.exists() and first_bytes(out, 1) not in (b"", b"{"):
            raise AlreadyExists("exists already and holds no figures", file=out, remedy="give another --out")
    if plot:
        check_writable(check_picture(plot), "picture")


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Short names that tell checkpoints apart: file names without suffix, with folders or numbers where needed."""
    for names in ([path.stem for path in paths], [f"{path.resolve().parent.name}-{path.stem}" for path in paths]):
        if len({name.casefold() for name in names}) == len(names):
            return names
    return [f"{number}-{path.stem}" for number, path in enumerate(paths, start=1)]
