"""The tracks of an evaluation: each to its record, in several processes.

The record of a track is kept as a file as soon as it is computed, so that a stopped evaluation resumes. Each track is
computed on one thread, so that no figure depends on the number of processes or cores.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from scoresep.arguments import unknown
from scoresep.cache.reader import Cache
from scoresep.evaluation.baselines import BASELINES, TrueTrack
from scoresep.evaluation.figures import SEPARATION, FigureRow, record_of, rows_of
from scoresep.evaluation.metric_table import METRICS, MODEL, OVERALL, STEMS, Metric
from scoresep.evaluation.metrics import NotePair, StemPair, Stems, TrueStem
from scoresep.executor import Engine
from scoresep.files import read_text, write_json
from scoresep.instruments import DRUM_PROGRAM
from scoresep.machine import available_cores
from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model
from scoresep.separation.separate import Options, separate_array
from scoresep.transcription.transcribe import Transcription, transcribe_array, transcribe_tracks

JOBS_ON_A_DEVICE = 4
"""Most processes that share one GPU unless told otherwise: each holds a context and a model there."""
PART = "part-"
"""How names of folders of finished tracks begin."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What to compute.

    Attributes:
        split: of the cache.
        references: rows of `BASELINES` beside the model's, in their order there.
        bss: whether to compute BSS Eval: seconds a minute of music, row and instrument (docs/reference/metrics.md).
        refine: whether the model's separation is refined by factorisation (docs/research/teacher.md).
    """

    split: str = "test"
    references: tuple[str, ...] = field(default_factory=lambda: tuple(BASELINES))
    bss: bool = False
    refine: bool = False

    def __post_init__(self) -> None:
        """Raises InvalidValue for an unknown reference."""
        for name in self.references:
            if name not in BASELINES:
                raise unknown("reference", name, BASELINES)
        object.__setattr__(self, "references", tuple(name for name in BASELINES if name in self.references))


def evaluate_track(
    cache: Cache, row: int, model: Model, settings: EvaluationSettings, other: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The record (`figures.record_of`) of one track: separation and transcription of every instrument.

    Args:
        other: record of the same track with the same references and `bss`, of whatever model: figures of the references
            are taken from it.
    """
    name, mixture, rate = str(cache.tracks["id"][row]), cache.mixture(row), cache.grid.sample_rate
    stems = separate_array(mixture, rate, model, Options(refine=settings.refine))
    rows: list[FigureRow] = []
    if cache.has_stems:
        kinds, score = tuple(each.kind for each in cache.instruments), (cache.roll(row), cache.onset(row))
        track = TrueTrack(mixture, cache.stems(row), cache.harmonic(row), cache.grid, kinds, *score)
        estimates = {MODEL: np.stack([stems[part] for part in model.names])}
        estimates |= {} if other else {each: reference(each, track, name) for each in settings.references}
        truth = [TrueStem(mixture, stem, rate) for stem in track.stems]
        for estimator, estimate in estimates.items():
            whole = Stems(truth, estimate)
            pairs = dict(zip(model.names, whole.pairs, strict=True))
            rows += measured(name, SEPARATION, estimator, whole, pairs, settings)
        rows += [each for each in rows_of(other) if each.estimator in settings.references] if other else []
    if model.transcribes:
        roll, notes = cache.roll(row), cache.notes(row)
        for output, transcription in (
            ("transcription", transcribe_array(mixture, rate, model)),
            ("transcription_separated", transcribe_tracks(stems, mixture, model)),
        ):
            rows += measured(name, output, MODEL, None, note_pairs(roll, notes, transcription, model), settings)
    return record_of(name, round(len(mixture) / rate, 3), rows)


def reference(name: str, track: TrueTrack, of: str) -> np.ndarray:
    """What a row of `BASELINES` makes of a track called `of`, float (N, L)."""
    with BASELINES.running(name, of):
        estimates = np.asarray(BASELINES[name].estimate(track))
        if estimates.shape != track.stems.shape:
            raise ValueError(f"estimates of shape {estimates.shape}, stems of {track.stems.shape}")
    return estimates


def measured(
    track: str,
    output: str,
    estimator: str,
    whole: Stems | None,
    pairs: Mapping[str, StemPair | NotePair],
    settings: EvaluationSettings,
) -> Iterator[FigureRow]:
    """All metrics of what an estimator made of one track, `pairs` by instrument."""
    for name, metric in METRICS.items():
        asked = not metric.option or getattr(settings, metric.option)
        fits = estimator == MODEL or metric.baselines is None or estimator in metric.baselines
        if not (asked and fits and (metric.source == STEMS) == (output == SEPARATION)):
            continue
        with METRICS.running(name, track):
            if metric.per_track:
                yield FigureRow(track, output, estimator, OVERALL, name, *measure(metric, whole))
                continue
            for instrument, pair in pairs.items():
                if metric.applies(pair.state):
                    yield FigureRow(track, output, estimator, instrument, name, *measure(metric, pair), pair.state)


def measure(metric: Metric, pair: Any) -> tuple[float, tuple[int, ...]]:
    """Value and counts; the latter are () if the metric has none."""
    measured: Any = metric.measure(pair)
    if metric.score is None:
        return float(measured), ()
    counts = tuple(map(int, measured))
    return float(metric.score(np.array(counts))), counts


def note_pairs(roll: np.ndarray, truth: np.ndarray, estimated: Transcription, model: Model) -> dict[str, NotePair]:
    """What metrics of transcription are computed from, by instrument.

    Args:
        roll: keys that sound, bool (T, N, P).
        truth: notes (K, 5): onset s, offset s, pitch, velocity, instrument.
    """
    scored = [n for n, instrument in enumerate(model.instruments) if instrument.scored]
    true = [truth[truth[:, 4] == n][:, :4] for n in scored]
    return {
        (name := model.names[n]): NotePair(
            roll[:, n],
            estimated.roll[: len(roll), n],
            estimated.notes[name],
            true,
            place,
            drums=model.instruments[n].programs == (DRUM_PROGRAM,),
        )
        for place, n in enumerate(scored)
    }


@dataclass(frozen=True)
class Task:
    """What a process needs to know to evaluate any track of a split; it opens the files itself."""

    checkpoint: str
    cache: str
    sha256: str
    device: str
    settings: EvaluationSettings
    parts: Path | None

    def part(self, row: int) -> Path | None:
        """Where the record of a track is kept."""
        return self.parts / f"{row:06d}.json" if self.parts else None


def run_tasks(
    task: Task,
    cache: Cache,
    jobs: int,
    progress: Callable[[int, int], None] | None,
    others: Sequence[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """The records of all tracks of the split, in the order of the cache: those kept, and the rest computed.

    `others`: the records of another model, see `evaluate_track`.
    """
    rows = [int(row) for row in cache.rows(task.settings.split)]
    references = dict(zip(rows, others, strict=True)) if others is not None else {}
    records = {row: kept for row in rows if (kept := read_part(task.part(row), str(cache.tracks["id"][row])))}
    left = [row for row in rows if row not in records]
    if progress and records and left:
        progress(len(records), len(rows))
    if not jobs and task.device != "cpu":
        jobs = min(available_cores(), JOBS_ON_A_DEVICE)
    tracks = [(row, references.get(row)) for row in left]
    try:
        for row, record in Engine(jobs).map(functools.partial(run_task, task), tracks):
            records[row] = record
            if progress:
                progress(len(records), len(rows))
    finally:
        _open.cache_clear()
    return [records[row] for row in rows]


def run_task(task: Task, track: tuple[int, dict[str, Any] | None]) -> tuple[int, dict[str, Any]]:
    """Evaluate a track, its row and another model's record of it, and keep its record; called in the processes."""
    row, other = track
    with one_thread():
        model, cache = _open(task.checkpoint, task.sha256, task.cache, task.device)
        record = evaluate_track(cache, row, model, task.settings, other)
    if part := task.part(row):
        write_json(part, record)
    return row, record


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the block on one thread: sums in another order, as by several, differ in their last digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


@functools.lru_cache(maxsize=1)
def _open(checkpoint: str, sha256: str, cache: str, device: str) -> tuple[Model, Cache]:
    """Model and cache of a process; the hash tells one checkpoint of a name from the next."""
    return load_checkpoint(checkpoint).model.to(device), Cache(cache)


def parts_folder(keep: str | Path | None, about: dict[str, Any]) -> Path | None:
    """Where the tracks of this very evaluation are kept; those of others below `keep` are removed: they are stale."""
    if keep is None:
        return None
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(keep) / f"{PART}{key}"
    for other in Path(keep).glob(f"{PART}*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def remove_kept(keep: str | Path) -> None:
    """Remove all finished tracks below `keep`, of whatever evaluation, and `keep` if nothing else is in it."""
    keep = Path(keep)
    for folder in keep.glob(f"{PART}*"):
        shutil.rmtree(folder, ignore_errors=True)
    if keep.is_dir() and not any(keep.iterdir()):
        keep.rmdir()


def read_part(path: Path | None, track: str) -> dict[str, Any] | None:
    """The record kept at `path`; None if there is none, or none of this track that can be read."""
    if path is None:
        return None
    try:
        record = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("track") == track else None
