"""Evaluation of a checkpoint on a split of its cache, and its result on disk (`metrics.json`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scoresep import __version__
from scoresep.arguments import unknown
from scoresep.cache.reader import Cache
from scoresep.errors import Damaged, Mismatch, NotFound, NothingToDo, ScoresepError, WrongVersion, described, first_line
from scoresep.evaluation.baselines import BASELINES
from scoresep.evaluation.bss import FILTER, WINDOW_SECONDS, museval_metrics
from scoresep.evaluation.figures import CONFIDENCE, RESAMPLES, SEED, Figures, rows_of
from scoresep.evaluation.metric_table import METRICS
from scoresep.evaluation.metrics import ALONE_DB, REST_SECONDS, SILENT_DB
from scoresep.evaluation.track_records import Settings, Task, parts_folder, run_tasks
from scoresep.files import read_text, sha256_of, write_json
from scoresep.instruments import suggestion
from scoresep.models.checkpoint import Checkpoint, load_checkpoint
from scoresep.separation.separate import Options, check_refinable

REFINED = "Separation is refined by factorising each track by the transcriptor's notes (--refine)."
"""The remark on an evaluation of refined stems."""
VERSION = 3
"""Of the files that `Evaluation.save` writes. Since 3, "leak" in names of metrics is "bleed"."""
AGAIN = "evaluate anew with `scoresep evaluate --force`"


@dataclass(frozen=True)
class Evaluation:
    """The result, in plain values (None where a figure is undefined).

    Attributes:
        about: corpus, split set, split, checkpoint, cache, settings.
        notes: remarks to show beside the figures.
        tracks: one record a track, see `figures.record_of`.
    """

    about: dict[str, Any]
    notes: list[str]
    tracks: list[dict[str, Any]]

    @cached_property
    def figures(self) -> Figures:
        """The figures of all tracks."""
        names = [str(record["track"]) for record in self.tracks]
        return Figures(names, self.about["instruments"], (row for record in self.tracks for row in rows_of(record)))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The figures of the split as plain values, see `Figures.summary`."""
        return self.figures.summary()

    def save(self, path: str | Path) -> None:
        """Write all of it as JSON (`metrics.json`)."""
        write_json(path, {"version": VERSION, **{n: getattr(self, n) for n in ("about", "notes", "summary", "tracks")}})

    @classmethod
    def read(cls, path: str | Path) -> Evaluation:
        """The result that `save` wrote to `path`.

        Raises:
            WrongVersion: another version of scoresep wrote it.
            Damaged: it cannot be read, or is no such result.
        """
        try:
            content = json.loads(read_text(path))
            if content["version"] != VERSION:
                problem = f"figures of format {described(content['version'])}; this version reads {VERSION}"
                raise WrongVersion(problem, file=path, remedy=AGAIN)
            evaluation = cls(*(content[name] for name in ("about", "notes", "tracks")))
            if not isinstance(evaluation.notes, list):
                raise TypeError("notes are no list")
            _ = evaluation.figures  # checks the records
        except (OSError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as fault:
            problem = f"no result of `scoresep evaluate` ({type(fault).__name__}: {first_line(fault)})"
            raise Damaged(problem, file=path, remedy=AGAIN) from fault
        return evaluation

    @classmethod
    def load(cls, path: str | Path) -> Evaluation | None:
        """The same; None if there is none that can be read."""
        try:
            return cls.read(path)
        except ScoresepError:
            return None


def evaluate(
    checkpoint_path: str | Path,
    cache_path: str | Path | None = None,
    split: str = "test",
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    *,
    references: Sequence[str] | None = None,
    bss: bool = False,
    refine: bool = False,
    jobs: int = 1,
    keep: str | Path | None = None,
    other: Evaluation | None = None,
) -> Evaluation:
    """Separate and transcribe every track of `split` and compare with the truth.

    Args:
        cache_path: the cache; None for the one that the checkpoint was trained on.
        progress: called with tracks done and tracks in all.
        references: rows of `BASELINES`; None for all.
        bss, refine: see `Settings`.
        jobs: processes; 0 for one a core (on a GPU at most `JOBS_ON_A_DEVICE`). The result does not depend on it.
        keep: folder for finished tracks, from which the same evaluation resumes. `remove_kept` empties it.
        other: a result of another checkpoint, whose figures of references are reused if tracks and settings agree.

    Raises:
        ScoresepError: checkpoint or cache cannot be read.
        NotFound, Mismatch: the cache does not exist, or has other instruments or another grid.
        NothingToDo: no tracks in `split`, or nothing to compare with (no stems, and a model that does not transcribe).
        InvalidValue: an unknown reference.
        Unavailable: `bss` without museval.
    """
    settings = Settings(split, known_references(references), bss, refine)
    checkpoint, cache = open_both(checkpoint_path, cache_path, settings)
    about = _about(checkpoint, checkpoint_path, cache, settings)
    parts = parts_folder(keep, about)
    task = Task(str(checkpoint_path), str(cache.path), about["checkpoint"]["sha256"], device, settings, parts)
    others = other.tracks if other and reference_key(other.about) == reference_key(about) else None
    records = run_tasks(task, cache, jobs, progress, others)
    notes = remarks(checkpoint, checkpoint_path, cache)
    return Evaluation(about, [*notes, REFINED] if refine else notes, records)


def open_both(
    checkpoint_path: str | Path, cache_path: str | Path | None, settings: Settings
) -> tuple[Checkpoint, Cache]:
    """A checkpoint and the cache to evaluate it on, checked for these settings.

    Raises:
        ScoresepError: as `evaluate`.
    """
    checkpoint = load_checkpoint(checkpoint_path)
    cache = open_cache(checkpoint, checkpoint_path, cache_path)
    check_comparable(cache, checkpoint, checkpoint_path, settings.split)
    check_refinable(checkpoint.model, Options(refine=settings.refine))
    if settings.bss:
        museval_metrics()
    return checkpoint, cache


def reference_key(about: dict[str, Any]) -> list[Any]:
    """All that the figures of references depend on: nothing of the model."""
    settings = about["settings"]
    return [about["scoresep"], about["split"], about["cache"]["digest"]] + [
        settings[name] for name in ("references", "bss", "plugins")
    ]


def known_references(names: Sequence[str] | None) -> tuple[str, ...]:
    """Names of `BASELINES`, in their order there; None for all.

    Raises:
        InvalidValue: there is no such row.
    """
    for name in names or ():
        if name not in BASELINES:
            raise unknown("reference", name, BASELINES)
    return tuple(name for name in BASELINES if names is None or name in names)


def check_comparable(cache: Cache, checkpoint: Checkpoint, checkpoint_path: str | Path, split: str) -> None:
    """Raise NothingToDo without a track in `split`, or with neither stems nor a model that transcribes."""
    if not len(cache.rows(split)):
        splits = suggestion(split, sorted(set(cache.tracks["split"])) or ["none"])
        raise NothingToDo(f"no track in the split '{split}'", file=cache.path, remedy=splits)
    if not (cache.has_stems or checkpoint.model.transcribes):
        problem = f"no stems, and {checkpoint_path} does not transcribe: there is nothing to compare"
        raise NothingToDo(problem, file=cache.path, remedy="name a cache with stems with --cache")


def remarks(checkpoint: Checkpoint, checkpoint_path: str | Path, cache: Cache) -> list[str]:
    """Remarks to show beside the figures."""
    notes = []
    if cache.digest != checkpoint.cache_digest:
        notes.append(f"{checkpoint_path} was trained on another cache than {cache.path}")
    if cache.split_leakage:
        notes.append(
            f"{len(cache.split_leakage)} compositions lie in several splits, so figures may flatter; "
            "prepare with --dedupe"
        )
    if not cache.has_stems:
        notes.append("The corpus has no stems: separation cannot be scored, only transcription.")
    if not checkpoint.model.transcribes:
        notes.append("The critic classifies who plays, without notes: separation is scored, transcription cannot be.")
    return notes


def up_to_date(
    evaluation: Evaluation, checkpoint_path: str | Path, cache_path: str | Path | None, settings: Settings
) -> bool:
    """Whether `evaluation` is what evaluating this checkpoint with these settings would give again."""
    checkpoint, cache = open_both(checkpoint_path, cache_path, settings)
    return evaluation.about == _about(checkpoint, checkpoint_path, cache, settings)


def open_cache(checkpoint: Checkpoint, checkpoint_path: str | Path, cache_path: str | Path | None) -> Cache:
    """The cache to evaluate on.

    Raises:
        ScoresepError: it cannot be read.
        NotFound: none is named, or it does not exist.
        Mismatch: it does not fit the checkpoint.
    """
    if cache_path is None and not checkpoint.cache:  # the model in the box names no cache
        problem = "the checkpoint does not say which cache it was trained on"
        raise NotFound(problem, file=checkpoint_path, remedy="name one with --cache")
    if cache_path is None and not Path(checkpoint.cache).exists():
        problem = f"the cache {checkpoint.cache} that it was trained on does not exist any more"
        raise NotFound(problem, file=checkpoint_path, remedy="name one with --cache")
    cache = Cache(cache_path if cache_path is not None else checkpoint.cache)
    model = checkpoint.model
    for what, fits, has, needs in (
        ("instruments", cache.instruments == model.instruments, ",".join(cache.names), ",".join(model.names)),
        ("grid", cache.grid == model.grid, _grid_text(cache.grid.to_dict()), _grid_text(model.grid.to_dict())),
    ):
        if not fits:
            problem = f"the {what} {has}, where {checkpoint_path} was trained for {needs}"
            raise Mismatch(problem, file=cache.path, remedy="name a cache of the same with --cache")
    return cache


def _grid_text(grid: dict[str, int]) -> str:
    return " ".join(f"{name}={value}" for name, value in grid.items())


def _about(checkpoint: Checkpoint, checkpoint_path: str | Path, cache: Cache, settings: Settings) -> dict[str, Any]:
    model = checkpoint.model
    return {
        "scoresep": __version__,
        "corpus": cache.corpus,
        "split_set": cache.split_set,
        "split_leakage": len(cache.split_leakage),
        "split": settings.split,
        "rules": list(cache.rules),
        "instruments": list(model.names),
        "grid": model.grid.to_dict(),
        "seed": checkpoint.config.get("seed"),
        "checkpoint": {
            "path": str(checkpoint_path),
            "sha256": sha256_of(checkpoint_path),
            "stage": checkpoint.stage,
            "steps": checkpoint.steps,
            "complete": checkpoint.complete,
            "config": checkpoint.config,
        },
        "cache": {"path": str(cache.path), "digest": cache.digest, "trained_on": checkpoint.cache_digest},
        "settings": {
            "silent_below_db": SILENT_DB,
            "alone_above_db": ALONE_DB,
            "threshold": list(model.threshold),
            "onset_threshold": list(model.onset_threshold),
            "rest_window_seconds": REST_SECONDS,
            "references": list(settings.references),
            "refine": settings.refine,
            "bss": {"window_seconds": WINDOW_SECONDS, "filter": FILTER} if settings.bss else None,
            "plugins": {**METRICS.describe(), **BASELINES.describe()},
            "bootstrap": {"resamples": RESAMPLES, "confidence": CONFIDENCE, "seed": SEED},
        },
    }
