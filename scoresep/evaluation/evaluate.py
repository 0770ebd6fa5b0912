"""Evaluation of a checkpoint on a split of its cache. Called by `scoresep evaluate` and the pipelines.

A pair of track and instrument is one of three: `scored`; `silent`, where the instrument does not play (SI-SDR is
undefined; the energy leaked there is reported instead); `alone`, where it is nearly all of the mixture (SI-SDR of the
mixture above `ALONE_DB`), which would wreck means of improvement. Only scored pairs enter means and medians of SI-SDR.

Frame scores are pooled: hits and misses of all frames of the split are added up before F1 is computed (micro average).
Note scores are means over the tracks in which the instrument has notes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scoresep import __version__
from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.evaluation.baselines import BASELINES, Track
from scoresep.evaluation.metrics import frame_counts, leak_db, note_scores, scores, si_sdr
from scoresep.evaluation.summary import ALONE_DB, SILENT_DB, finite, summarise
from scoresep.files import write_json
from scoresep.inference.separate import separate_array
from scoresep.inference.transcribe import transcribe_array
from scoresep.training.checkpoint import Checkpoint, Model, load_checkpoint

MODEL = "model"
"""Name of the checkpoint's own row beside those of `BASELINES`."""


@dataclass(frozen=True)
class Evaluation:
    """The result, in plain values (None where a figure is undefined).

    Attributes:
        about: corpus, split set, split, checkpoint, cache, settings.
        notes: remarks that a reader of the figures should see.
        summary: see `evaluation.summary.summarise`.
        tracks: one record a track.
    """

    about: dict[str, Any]
    notes: list[str]
    summary: dict[str, Any]
    tracks: list[dict[str, Any]]

    def save(self, path: str | Path) -> None:
        """Write all of it as JSON (`metrics.json`)."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> Evaluation | None:
        """The result that `save` wrote to `path`; None if there is none."""
        try:
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def evaluate(
    checkpoint_path: str | Path,
    cache_path: str | Path | None = None,
    split: str = "test",
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Separate and transcribe every track of `split` and compare with the truth.

    Args:
        cache_path: the cache; None for the one that the checkpoint was trained on.
        progress: called with tracks done and tracks in all.

    Raises:
        ScoresepError: unreadable checkpoint or cache, a cache that is not there, one of other instruments or another
            grid, or without tracks in `split`; nothing to compare with (no stems, and a critic that knows no notes).
    """
    checkpoint = load_checkpoint(checkpoint_path)
    cache = open_cache(checkpoint, checkpoint_path, cache_path)
    rows = cache.rows(split)
    if not len(rows):
        splits = ", ".join(sorted(set(cache.tracks["split"]))) or "none"
        raise ScoresepError(f"{cache.path} has no track in the split '{split}' (it has {splits}); choose another")
    model = checkpoint.model.to(device)
    if not (cache.has_stems or model.transcribes):
        raise ScoresepError(
            f"{cache.path} holds no stems and {checkpoint_path} knows no notes, so there is nothing to compare; "
            "name a cache with stems with --cache"
        )
    records = []
    for done, row in enumerate(rows, start=1):
        records.append(evaluate_track(cache, int(row), model))
        if progress:
            progress(done, len(rows))
    notes = []
    if cache.digest != checkpoint.cache_digest:
        notes.append(f"{checkpoint_path} was trained on another cache than {cache.path}")
    if cache.leaks:
        notes.append(
            f"{len(cache.leaks)} compositions lie in several splits, so figures may flatter; prepare with --dedupe"
        )
    if not cache.has_stems:
        notes.append("The corpus has no stems: separation cannot be scored, only transcription.")
    if not model.transcribes:
        notes.append("The critic tells who plays and knows no notes: separation is scored, transcription cannot be.")
    about = _about(checkpoint, checkpoint_path, cache, split)
    return Evaluation(about, notes, summarise(records, model.instruments, (MODEL, *BASELINES)), records)


def up_to_date(evaluation: Evaluation, checkpoint_path: str | Path, cache_path: str | Path | None, split: str) -> bool:
    """Whether `evaluation` is what evaluating this checkpoint on this cache and split would give again."""
    checkpoint = load_checkpoint(checkpoint_path)
    cache = open_cache(checkpoint, checkpoint_path, cache_path)
    return evaluation.about == _about(checkpoint, checkpoint_path, cache, split)


def open_cache(checkpoint: Checkpoint, checkpoint_path: str | Path, cache_path: str | Path | None) -> Cache:
    """The cache to evaluate on.

    Raises:
        ScoresepError: it is missing, unreadable, or does not fit the checkpoint.
    """
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


def evaluate_track(cache: Cache, row: int, model: Model) -> dict[str, Any]:
    """The record of one track: separation and transcription of every instrument."""
    mixture = cache.mixture(row)
    return {
        "track": str(cache.tracks["id"][row]),
        "seconds": round(len(mixture) / cache.grid.sample_rate, 3),
        "separation": separation_records(cache, row, mixture, model) if cache.has_stems else {},
        "transcription": transcription_records(cache, row, mixture, model) if model.transcribes else {},
    }


def separation_records(cache: Cache, row: int, mixture: np.ndarray, model: Model) -> dict[str, dict[str, Any]]:
    """SI-SDR of the model and of the baselines, instrument by instrument."""
    track = Track(mixture, cache.stems(row), cache.harmonic(row), cache.grid)
    separated = separate_array(mixture, cache.grid.sample_rate, model)
    estimates = {MODEL: np.stack([separated[name] for name in model.names])}
    estimates |= {name: baseline(track) for name, baseline in BASELINES.items()}
    return {
        name: separation_record(mixture, track.stems[n], {r: e[n] for r, e in estimates.items()})
        for n, name in enumerate(model.names)
    }


def separation_record(mixture: np.ndarray, stem: np.ndarray, estimates: dict[str, np.ndarray]) -> dict[str, Any]:
    """One pair: `state` (see the module), SI-SDR of each row in dB, improvements over the mixture, or what leaked."""
    if not leak_db(mixture, stem) > SILENT_DB:
        return {"state": "silent", "leak_db": finite(leak_db(mixture, estimates[MODEL]))}
    before = si_sdr(stem, mixture)
    figures = {row: si_sdr(stem, estimate) for row, estimate in estimates.items()}
    return {
        "state": "alone" if before > ALONE_DB else "scored",
        "si_sdr": figures,
        "si_sdr_improvement": {row: value - before for row, value in figures.items()},
    }


def transcription_records(cache: Cache, row: int, mixture: np.ndarray, model: Model) -> dict[str, dict[str, Any]]:
    """Frame and note scores of each instrument of one track, and the counts that frame scores are pooled from."""
    estimated = transcribe_array(mixture, cache.grid.sample_rate, model)
    roll, truth = cache.roll(row), cache.notes(row)
    records = {}
    for n, instrument in enumerate(model.instruments):
        if not instrument.scored:
            continue
        name = instrument.name
        frames = frame_counts(roll[:, n], estimated.roll[: len(roll), n])
        frame = scores(frames)
        true_notes = truth[truth[:, 4] == n]
        note = note_scores(true_notes[:, :4], estimated.notes[name])
        records[name] = {
            **{f"frame_{key}": finite(value) for key, value in frame._asdict().items()},
            **{f"note_{key}": finite(value) for key, value in note._asdict().items()},
            "frame_counts": list(frames),
            "notes": len(true_notes),
            "estimated_notes": len(estimated.notes[name]),
        }
    return records


def _about(checkpoint: Checkpoint, checkpoint_path: str | Path, cache: Cache, split: str) -> dict[str, Any]:
    model = checkpoint.model
    return {
        "scoresep": __version__,
        "corpus": cache.corpus,
        "split_set": cache.split_set,
        "leaks": len(cache.leaks),
        "split": split,
        "rules": list(cache.rules),
        "instruments": list(model.names),
        "grid": model.grid.to_dict(),
        "seed": checkpoint.recipe.get("seed"),
        "checkpoint": {
            "path": str(checkpoint_path),
            "sha256": hashlib.sha256(Path(checkpoint_path).read_bytes()).hexdigest(),
            "stage": checkpoint.stage,
            "steps": checkpoint.steps,
            "complete": checkpoint.complete,
            "recipe": checkpoint.recipe,
        },
        "cache": {"path": str(cache.path), "digest": cache.digest, "trained_on": checkpoint.cache_digest},
        "settings": {
            "silent_below_db": SILENT_DB,
            "alone_above_db": ALONE_DB,
            "threshold": list(model.threshold),
            "onset_threshold": list(model.onset_threshold),
        },
    }
