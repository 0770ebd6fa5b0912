"""The tracks of an evaluation as tasks for several processes.

The result of each track is kept as a file as soon as it is there, so that a stopped evaluation goes on; and each is
computed on one thread, so that no figure depends on the number of processes or cores.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from scoresep.cache.reader import Cache
from scoresep.evaluation.track_metrics import Settings, evaluate_track
from scoresep.executor import Engine
from scoresep.files import read_text, write_json
from scoresep.machine import available_cores
from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model

JOBS_ON_A_DEVICE = 4
"""Most processes that share one GPU unless told otherwise: each holds a context and a model there."""
PART = "part-"
"""How names of folders of finished tracks begin."""


@dataclass(frozen=True)
class Task:
    """What a process needs to know to evaluate any track of a split; it opens the files itself."""

    checkpoint: str
    cache: str
    sha256: str
    device: str
    settings: Settings
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
    known = dict(zip(rows, others, strict=True)) if others is not None else {}
    records = {row: kept for row in rows if (kept := read_part(task.part(row), str(cache.tracks["id"][row])))}
    left = [row for row in rows if row not in records]
    if progress and records and left:
        progress(len(records), len(rows))
    try:
        engine = Engine(min(jobs or default_jobs(task.device), max(len(left), 1)))
        for row, record in engine.map(functools.partial(run_task, task), [(row, known.get(row)) for row in left]):
            records[row] = record
            if progress:
                progress(len(records), len(rows))
    finally:
        _open.cache_clear()
    return [records[row] for row in rows]


def default_jobs(device: str) -> int:
    """Processes for `jobs` 0."""
    cores = available_cores()
    return cores if device == "cpu" else min(cores, JOBS_ON_A_DEVICE)


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
