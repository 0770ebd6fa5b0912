"""Compile a corpus into a cache: a map over shards, run on all cores. Called by `scoresep prepare`.

The tracks of each shard are fixed by the corpus alone, so an interrupted preparation goes on at the first missing
shard and ends with the same cache as an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np

from scoresep.cache.schema import INDEX_FORMAT, CacheSettings, difference, shard_folder, shard_name
from scoresep.cache.track import Compiled, compile_track
from scoresep.cache.writer import read_shard_summary, write_index, write_shard
from scoresep.corpora.base import Corpus, Track
from scoresep.errors import ScoresepError
from scoresep.features.harmonics import mark_harmonics
from scoresep.files import write_json
from scoresep.instruments import choose, group_of

Progress = Callable[[int, int], None]
"""Called with tracks done and tracks in all."""


@dataclass(frozen=True)
class PrepareReport:
    """What a preparation made.

    Attributes:
        path: the index.
        tracks: usable tracks per split.
        excluded: (track, reason) of the others.
        reused: shards that an earlier run had finished.
        shards: shards in all.
    """

    path: Path
    tracks: dict[str, int]
    excluded: list[tuple[str, str]]
    reused: int
    shards: int


def prepare(
    corpus: Corpus, out: Path, settings: CacheSettings, jobs: int = -1, progress: Progress | None = None
) -> PrepareReport:
    """Compile `corpus` into the cache `out`; shards that are there already are kept.

    Args:
        jobs: worker processes; -1 for one a core.

    Raises:
        ScoresepError: an instrument is absent from the corpus, no track is usable, or `out` holds a cache made with
            other settings.
    """
    choose(settings.instruments)
    check_present(corpus, settings.instruments)
    about = describe(corpus, settings)
    check_replaceable(out)
    check_same_settings(out, about)
    plan = plan_shards(corpus.tracks, settings.tracks_per_shard)
    keys = [shard_key(about, tracks) for tracks in plan]
    paths = [shard_folder(out) / shard_name(number) for number in range(len(plan))]
    missing = [n for n in range(len(plan)) if read_shard_summary(paths[n], keys[n]) is None]
    if missing:  # an index of before must not outlive the shards it points into
        out.unlink(missing_ok=True)
    write_json(shard_folder(out) / "settings.json", about)
    warm_up()
    tasks = (joblib.delayed(compile_shard)(paths[n], settings, keys[n], plan[n]) for n in missing)
    done = sum(len(tracks) for tracks in plan) - sum(len(plan[n]) for n in missing)
    for count in joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="n_jobs")(tasks):
        done += count
        if progress:
            progress(done, len(corpus.tracks))
    summaries = [read_shard_summary(path, key) for path, key in zip(paths, keys, strict=True)]
    if None in summaries:
        raise ScoresepError(f"{paths[summaries.index(None)]} vanished while preparing; run the same command again")
    usable = {row["id"] for summary in summaries for row in summary["rows"]}  # type: ignore[index]
    check_present(replace(corpus, tracks=tuple(t for t in corpus.tracks if t.id in usable)), settings.instruments)
    return finish(out, about, summaries, len(plan) - len(missing))  # type: ignore[arg-type]


def finish(out: Path, about: dict[str, Any], summaries: list[dict[str, Any]], reused: int) -> PrepareReport:
    """Write the index over finished shards and say what there is."""
    excluded = [(track, reason) for summary in summaries for track, reason in summary["excluded"]]
    splits = [row["split"] for summary in summaries for row in summary["rows"]]
    if not splits:
        first = f"; {excluded[0][0]}: {excluded[0][1]}" if excluded else ""
        raise ScoresepError(f"{about['root']} holds no usable track ({len(excluded)} excluded{first})")
    write_index(out, about, summaries, len(about["settings"]["instruments"]))
    counts = {split: splits.count(split) for split in sorted(set(splits))}
    return PrepareReport(out, counts, excluded, reused, len(summaries))


def describe(corpus: Corpus, settings: CacheSettings) -> dict[str, Any]:
    """What identifies a cache's making, as plain values."""
    return {
        "corpus": corpus.name,
        "root": corpus.root.resolve().name,
        "split_set": corpus.split_set,
        "rules": list(corpus.rules),
        "settings": settings.to_dict(),
    }


def check_present(corpus: Corpus, instruments: Sequence[str]) -> None:
    """Refuse instruments that no stem of the corpus plays: their outputs could never be learnt."""
    chosen = choose(instruments)
    found = {group_of(stem.program, stem.is_drum, chosen) for track in corpus.tracks for stem in track.stems}
    absent = [name for n, name in enumerate(instruments) if n not in found]
    if absent and any(track.stems for track in corpus.tracks):
        names = ", ".join(absent)
        raise ScoresepError(f"{corpus.root} has no usable stem of {names}; choose others with --instruments")


def check_replaceable(out: Path) -> None:
    """Refuse to write over a file that is not a cache of ours."""
    if not out.is_file():
        return
    try:
        with h5py.File(out, "r", locking=False) as file:
            ours = file.attrs.get("format") == INDEX_FORMAT
    except OSError:
        ours = False
    if not ours:
        raise ScoresepError(f"{out} exists and is not a scoresep cache; give another --out or delete it")


def check_same_settings(out: Path, about: dict[str, Any]) -> None:
    """Refuse to mix shards of different settings under one name."""
    noted = shard_folder(out) / "settings.json"
    try:
        made = json.loads(noted.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if changed := difference(made, about):
        raise ScoresepError(f"{out} was begun with other settings: {changed}; give another --out or delete it")


def plan_shards(tracks: Sequence[Track], per_shard: int) -> list[list[Track]]:
    """Tracks of each shard, in the corpus's order."""
    return [list(tracks[first : first + per_shard]) for first in range(0, len(tracks), per_shard)]


def shard_key(about: dict[str, Any], tracks: Sequence[Track]) -> str:
    """Identity of a shard's input: the settings, the tracks, and size and time of every file."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for track in tracks:
        digest.update(f"{track.id}|{track.split}|{track.uuid}|{track.problem}".encode())
        for stem in track.stems:
            for path in (stem.audio, stem.score):
                status = path.stat() if path else None
                stamp = f"{status.st_size}|{status.st_mtime_ns}" if status else ""
                digest.update(f"{stem.name}|{stem.program}|{stem.is_drum}|{stem.transpose}|{stamp}".encode())
    return digest.hexdigest()


def compile_shard(path: Path, settings: CacheSettings, key: str, tracks: Sequence[Track]) -> int:
    """Compile the tracks of one shard and write it; returns how many tracks it was asked for."""
    write_shard(path, settings, key, compiled_tracks(tracks, settings))
    return len(tracks)


def compiled_tracks(tracks: Sequence[Track], settings: CacheSettings) -> Iterator[Compiled | tuple[str, str]]:
    """Each track compiled, or (id, reason) where it cannot be used; one track in memory at a time."""
    for track in tracks:
        try:
            yield compile_track(track, settings)
        except ScoresepError as fault:
            yield track.id, str(fault)


def warm_up() -> None:
    """Compile the numba kernel once in the parent: workers then load it instead of racing to write it."""
    one = np.zeros(1, dtype=np.int64)
    mark_harmonics(np.zeros((1, 1), dtype=np.uint8), one, one, np.zeros(0), 1, 1.0, 1, 1.0, 0.0)
