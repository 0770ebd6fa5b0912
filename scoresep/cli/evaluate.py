"""The command `scoresep evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoresep.cli.options import DEFAULT_CHECKPOINT, DEFAULT_METRICS, Device, Jobs, by_comma
from scoresep.console import console, meter
from scoresep.errors import AlreadyExists, InvalidValue
from scoresep.files import check_writable, first_bytes

if TYPE_CHECKING:
    from scoresep.evaluation.evaluate import Evaluation
    from scoresep.evaluation.track_records import Settings

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
    from scoresep.evaluation.evaluate import known_references
    from scoresep.evaluation.tables import result_tables
    from scoresep.evaluation.track_records import Settings
    from scoresep.machine import choose_device, use_threads
    from scoresep.plots.result import plot_track

    ckpts = ckpt or [DEFAULT_CHECKPOINT]
    if len(ckpts) > 2:
        raise InvalidValue(f"{len(ckpts)} checkpoints", remedy="give one to evaluate or two to compare")
    use_threads()
    chosen = str(choose_device(device))
    names = None if references == ALL else () if references == NONE else by_comma(references)
    settings = Settings(split, known_references(names), bss, refine)
    check_places([out] if len(ckpts) == 1 else places(ckpts, out), plot)
    check_data(ckpts, cache, settings)

    def result_of(checkpoint: Path, path: Path, other: Evaluation | None = None) -> Evaluation:
        result = evaluated(checkpoint, path, cache, settings, chosen, jobs, force, other)
        console.print(result_tables(result, details))
        console.print(f"figures: {path}", markup=False)
        return result

    if len(ckpts) == 1:
        result_of(ckpts[0], out)
    else:
        compared(ckpts, out, result_of)
    if plot:
        plot_track(plot, ckpts[-1], cache, split, chosen, refine)
        console.print(f"picture: {plot}", markup=False)


def evaluated(
    checkpoint: Path,
    out: Path,
    cache: Path | None,
    settings: Settings,
    device: str,
    jobs: int,
    force: bool,
    other: Evaluation | None,
) -> Evaluation:
    """The result that `out` holds if it is up to date, else a new one, which is written there.

    `other`: a result whose figures of references are reused.
    """
    from scoresep.evaluation.evaluate import Evaluation, up_to_date
    from scoresep.evaluation.evaluate import evaluate as run_evaluation
    from scoresep.evaluation.track_records import remove_kept

    result = None if force else Evaluation.load(out)
    if result and up_to_date(result, checkpoint, cache, settings):
        console.print(f"{out} holds the result for {checkpoint}; --force evaluates anew", markup=False)
        return result
    keep = out.with_name(f"{out.stem}.parts")
    if force:
        remove_kept(keep)
    with meter("tracks") as progress:
        result = run_evaluation(
            checkpoint,
            cache,
            settings.split,
            device,
            partial(progress, "evaluating"),
            references=settings.references,
            bss=settings.bss,
            refine=settings.refine,
            jobs=jobs,
            keep=keep,
            other=other,
        )
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


def check_data(ckpts: list[Path], cache: Path | None, settings: Settings) -> None:
    """Refuse checkpoints that cannot be evaluated, or not be compared, before the first of them is.

    Raises:
        ScoresepError: as `evaluation.evaluate.evaluate` and `evaluation.compare.compare`.
    """
    from scoresep.evaluation.compare import check_same_cache
    from scoresep.evaluation.evaluate import open_both

    caches = [open_both(ckpt, cache, settings)[1] for ckpt in ckpts]
    check_same_cache(ckpts, [(each.path, each.digest) for each in caches])


def compared(ckpts: list[Path], out: Path, result_of: Callable[..., Evaluation]) -> None:
    """Evaluate both, the references once, compare them, write and print what comes out."""
    from scoresep.evaluation.compare import compare
    from scoresep.evaluation.tables import comparison_table

    *paths, path = places(ckpts, out)
    a = result_of(ckpts[0], paths[0])
    comparison = compare(a, result_of(ckpts[1], paths[1], a))
    comparison.save(path)
    console.print(comparison_table(comparison))
    console.print(f"comparison: {path}", markup=False)


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Short names that tell checkpoints apart: file names without suffix, with folders or numbers where needed."""
    for names in ([path.stem for path in paths], [f"{path.resolve().parent.name}-{path.stem}" for path in paths]):
        if len({name.casefold() for name in names}) == len(names):
            return names
    return [f"{number}-{path.stem}" for number, path in enumerate(paths, start=1)]
