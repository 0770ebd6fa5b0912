"""The shards of a cache as pieces of work, and the making of one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoresep.cache.schema import CacheSettings, Excluded, shard_folder, shard_name
from scoresep.cache.track import Compiled, taught, untaught
from scoresep.cache.writer import write_shard
from scoresep.datasets.base import Corpus, Track
from scoresep.errors import ScoresepError, Unwritable

Part = tuple[int, int]
"""Which part of how many, from 1."""


@dataclass(frozen=True)
class Job:
    """One shard to make: all that a worker, perhaps on another machine, needs.

    Attributes:
        number, path: of the shard.
        key: identity of what it is made from (`shard_key`).
        tracks: its tracks.
        root: of the corpus; left out of recorded reasons.
        settings, about: of the cache.
        teacher_device: where the teacher's factors are searched; its rounding, and nothing else, depends on that.
    """

    number: int
    path: Path
    key: str
    tracks: tuple[Track, ...]
    root: Path
    settings: CacheSettings
    about: dict[str, Any]
    teacher_device: str = "cpu"


def plan(
    corpus: Corpus, out: Path, settings: CacheSettings, about: dict[str, Any], teacher_device: str = "cpu"
) -> list[Job]:
    """The shards of a corpus, in the order of its tracks."""
    size = settings.tracks_per_shard
    groups = [corpus.tracks[first : first + size] for first in range(0, len(corpus.tracks), size)]
    folder, what = shard_folder(out), (corpus.root, settings, about, teacher_device)
    return [Job(n, folder / shard_name(n), shard_key(about, tracks), tracks, *what) for n, tracks in enumerate(groups)]


def in_part(job: Job, part: Part) -> bool:
    """Whether a shard belongs to a part: shards are dealt out in turn."""
    return job.number % part[1] == part[0] - 1


def compile_shard(job: Job) -> tuple[Job, str]:
    """Compile the tracks of one shard and write it; returns the job and why there is no shard, or ''."""
    try:
        write_shard(job.path, job.settings, job.key, compiled_tracks(job))
    except Unwritable:  # nor can the next shard be written
        raise
    except ScoresepError as fault:
        return job, str(fault)
    return job, ""


def compiled_tracks(job: Job) -> Iterator[Compiled | Excluded]:
    """Each track compiled, or why it cannot be used; one in memory at a time, or all where a device teaches.

    Raises:
        ScoresepError: the teacher's device fails; or in the end, if a file came, went or changed meanwhile: what was
            read cannot be trusted.
    """
    together = 1 if job.teacher_device == "cpu" else len(job.tracks)
    for first in range(0, len(job.tracks), together):
        found = [compiled(track, job) for track in job.tracks[first : first + together]]
        yield from (item for item in found if isinstance(item, Excluded))
        yield from taught([item for item in found if isinstance(item, Compiled)], job.settings, job.teacher_device)
    if shard_key(job.about, job.tracks) != job.key:
        names = f"{job.tracks[0].id} to {job.tracks[-1].id}"
        raise ScoresepError(f"a file of the tracks {names} changed while it was read; run the same command again")


def compiled(track: Track, job: Job) -> Compiled | Excluded:
    """A track but for what the teacher says of it, or why it cannot be used."""
    try:
        return untaught(track, job.settings)
    except ScoresepError as fault:
        reason = str(fault).replace(f"{job.root}{os.sep}", "")
        return Excluded(track.id, track.split, reason, bool(track.omitted))


def shard_key(about: dict[str, Any], tracks: Sequence[Track]) -> str:
    """Identity of a shard's input: the settings, the tracks, and size and time of every file."""
    said = [json.dumps(about, sort_keys=True)]
    for track in tracks:
        said.append(f"{track.id}|{track.split}|{track.uuid}|{track.problem}|{track.omitted}|")
        said += [f"{stem.name}|{stem.program}|{stem.is_drum}|{stem.transpose}|" for stem in track.stems]
        said += [f"{path.name}|{stamp(path)}|" for path in track.files]
    return hashlib.sha256("".join(said).encode(errors="surrogateescape")).hexdigest()


def stamp(path: Path) -> str:
    """Size and time of a file, or that it is not there or cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}|{status.st_mtime_ns}|{os.access(path, os.R_OK)}"
