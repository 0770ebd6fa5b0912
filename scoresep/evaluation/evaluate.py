"""Evaluation of a checkpoint on a split of its cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scoresep import __version__
from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError, first_line
from scoresep.evaluation.baselines import BASELINES
from scoresep.evaluation.bss import FILTER, WINDOW_SECONDS, museval_metrics
from scoresep.evaluation.figures import Figures, rows_of
from scoresep.evaluation.metrics import ALONE_DB, REST_SECONDS, SILENT_DB
from scoresep.evaluation.parallel import Task, parts_folder, run_tasks
from scoresep.evaluation.registry import METRICS
from scoresep.evaluation.statistics import CONFIDENCE, RESAMPLES, SEED
from scoresep.evaluation.track_metrics import Settings
from scoresep.files import read_text, write_json
from scoresep.instruments import nearest
from scoresep.models.checkpoint import Checkpoint, load_checkpoint
from scoresep.separation.separate import Options, check_refinable

REFINED = "Separation is refined by factorising each track by the transcriptor's notes (--refine)."
"""The remark on an evaluation of refined stems."""


VERSION = 2
"""Of the files that `Evaluation.save` writes."""


@dataclass(frozen=True)
class Evaluation:
    """The result, in plain values (None where a figure is undefined).

    Attributes:
        about: corpus, split set, split, checkpoint, cache, settings.
        notes: remarks that a reader of the figures should see.
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
            ScoresepError: there is none, or another version of scoresep wrote it.
        """
        try:
            found = json.loads(read_text(path))
            evaluation = cls(*(found[name] for name in ("about", "notes", "tracks")))
            if found.get("version") != VERSION or not isinstance(evaluation.notes, list):
                raise ValueError("written by another version")
            _ = evaluation.figures  # refuses what is none
        except (OSError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as fault:
            raise ScoresepError(
                f"{path} is no result of `scoresep evaluate`, or lacks figures that this version shows "
                f"({type(fault).__name__}: {first_line(fault)}); evaluate anew with `scoresep evaluate --force`"
            ) from fault
        return evaluation

    @classmethod
    def load(cls, path: str | Path) -> Evaluation | None:
        """The result that `read` gives; None if there is none."""
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
        keep: folder for the tracks that are done: the same evaluation goes on from it. `tasks.remove_kept` empties it.
        other: a result of another checkpoint. If it is of the same tracks and settings, figures of references are its.

    Raises:
        ScoresepError: unreadable checkpoint or cache, a cache that is not there, one of other instruments or another
            grid, or without tracks in `split`; nothing to compare with (no stems, and a critic that knows no notes); an
            unknown reference; no museval for `bss`, or no notes to `refine` by.
    """
    settings = Settings(split, known_references(references), bss, refine)
    checkpoint, cache = opened(checkpoint_path, cache_path, settings)
    about = _about(checkpoint, checkpoint_path, cache, settings)
    parts = parts_folder(keep, about)
    task = Task(str(checkpoint_path), str(cache.path), about["checkpoint"]["sha256"], device, settings, parts)
    others = other.tracks if other and deciding(other.about) == deciding(about) else None
    records = run_tasks(task, cache, jobs, progress, others)
    notes = remarks(checkpoint, checkpoint_path, cache)
    return Evaluation(about, [*notes, REFINED] if refine else notes, records)


def opened(checkpoint_path: str | Path, cache_path: str | Path | None, settings: Settings) -> tuple[Checkpoint, Cache]:
    """A checkpoint and the cache to evaluate it on, once it is sure that they can be.

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


def deciding(about: dict[str, Any]) -> list[Any]:
    """What decides on the figures of references, of all that a result is about: nothing of the model."""
    settings = about["settings"]
    return [about["scoresep"], about["split"], about["cache"]["digest"]] + [
        settings[name] for name in ("references", "bss", "plugins")
    ]


def known_references(names: Sequence[str] | None) -> tuple[str, ...]:
    """Names of `BASELINES`, in their order there; None for all.

    Raises:
        ScoresepError: there is no such row.
    """
    for name in names or ():
        if name not in BASELINES:
            raise ScoresepError(f"unknown reference '{name}'{nearest(name, BASELINES)}")
    return tuple(name for name in BASELINES if names is None or name in names)


def check_comparable(cache: Cache, checkpoint: Checkpoint, checkpoint_path: str | Path, split: str) -> None:
    """Refuse what has nothing to compare.

    Raises:
        ScoresepError: no track in `split`, or neither stems nor a critic that knows notes.
    """
    if not len(cache.rows(split)):
        splits = nearest(split, sorted(set(cache.tracks["split"])) or ["none"])
        raise ScoresepError(f"{cache.path} has no track in the split '{split}'{splits}")
    if not (cache.has_stems or checkpoint.model.transcribes):
        raise ScoresepError(
            f"{cache.path} holds no stems and {checkpoint_path} knows no notes, so there is nothing to compare; "
            "name a cache with stems with --cache"
        )


def remarks(checkpoint: Checkpoint, checkpoint_path: str | Path, cache: Cache) -> list[str]:
    """What a reader of the figures should know."""
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
        notes.append("The critic tells who plays and knows no notes: separation is scored, transcription cannot be.")
    return notes


def up_to_date(
    evaluation: Evaluation, checkpoint_path: str | Path, cache_path: str | Path | None, settings: Settings
) -> bool:
    """Whether `evaluation` is what evaluating this checkpoint with these settings would give again."""
    checkpoint, cache = opened(checkpoint_path, cache_path, settings)
    return evaluation.about == _about(checkpoint, checkpoint_path, cache, settings)


def open_cache(checkpoint: Checkpoint, checkpoint_path: str | Path, cache_path: str | Path | None) -> Cache:
    """The cache to evaluate on.

    Raises:
        ScoresepError: it is missing, unreadable, or does not fit the checkpoint.
    """
    if cache_path is None and not checkpoint.cache:  # a shipped model names no folder of whoever made it
        raise ScoresepError(f"{checkpoint_path} does not say which cache it was trained on; name one with --cache")
    if cache_path is None and not Path(checkpoint.cache).exists():
        raise ScoresepError(
            f"the cache {checkpoint.cache} that {checkpoint_path} was trained on is not there; name one with --cache"
        )
    cache = Cache(cache_path if cache_path is not None else checkpoint.cache)
    model = checkpoint.model
    if cache.instruments != model.instruments:
        raise ScoresepError(
            f"{cache.path} has the instruments {','.join(cache.names)}, {checkpoint_path} was trained for "
            f"{','.join(model.names)}; name a cache of the same with --cache"
        )
    if cache.grid != model.grid:
        raise ScoresepError(
            f"{cache.path} has the grid {_grid_text(cache.grid.to_dict())}, {checkpoint_path} needs "
            f"{_grid_text(model.grid.to_dict())}; name a cache of the same with --cache"
        )
    return cache


def _grid_text(grid: dict[str, int]) -> str:
    return " ".join(f"{name}={value}" for name, value in grid.items())


def _about(checkpoint: Checkpoint, checkpoint_path: str | Path, cache: Cache, settings: Settings) -> dict[str, Any]:
    model = checkpoint.model
    return {
        "scoresep": __version__,
        "corpus": cache.corpus,
        "split_set": cache.split_set,
        "leaks": len(cache.split_leakage),
        "split": settings.split,
        "rules": list(cache.rules),
        "instruments": list(model.names),
        "grid": model.grid.to_dict(),
        "seed": checkpoint.config.get("seed"),
        "checkpoint": {
            "path": str(checkpoint_path),
            "sha256": hashlib.sha256(Path(checkpoint_path).read_bytes()).hexdigest(),
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
