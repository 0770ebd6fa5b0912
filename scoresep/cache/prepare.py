"""Compile a corpus into a cache: a map over shards, run by an engine. Called by `scoresep prepare`.

The tracks of each shard are fixed by the corpus alone, so an interrupted preparation goes on at the first missing
shard and ends with the same cache as an uninterrupted one, wherever its shards were made.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py

from scoresep.cache.engine import Engine
from scoresep.cache.outcome import Outcome, table_of, write_csv
from scoresep.cache.schema import (
    INDEX_FORMAT,
    VERSION,
    CacheSettings,
    Excluded,
    difference,
    shard_folder,
    shard_name,
)
from scoresep.cache.track import Compiled, compile_track
from scoresep.cache.writer import Summary, read_shard_summary, write_index, write_shard
from scoresep.corpora.base import Corpus, Track
from scoresep.corpora.splits import leaks
from scoresep.errors import ScoresepError
from scoresep.features import agreement, factorise_kernels, kernels
from scoresep.files import remove_stale, write_json
from scoresep.instruments import Instrument, group_of

Progress = Callable[[int, int], None]
"""Called with tracks done and tracks in all."""
Part = tuple[int, int]
"""Which part of how many, from 1."""


def prepare(
    corpus: Corpus,
    out: Path,
    settings: CacheSettings,
    engine: Engine | None = None,
    progress: Progress | None = None,
    part: Part | None = None,
    strict: bool = False,
) -> Outcome:
    """Compile `corpus` into the cache `out`; shards that are there already are kept.

    Args:
        engine: runs the work; all cores of this machine by default.
        part: make only this part of the shards, and no index: for machines that share the work.
        strict: refuse to make an index if a track cannot be used.

    Raises:
        ScoresepError: an instrument is absent from the corpus, no track is usable, `out` holds a cache made with
            other settings, a worker died, or a file changed while it was read. Finished shards stay.
    """
    settings = replace(settings, stems=settings.stems and corpus.has_stems)
    check_present(corpus, settings.instruments)
    check_replaceable(out)
    about = describe(corpus, settings)
    check_same_settings(out, about)
    jobs = [job for job in plan(corpus, out.absolute(), settings, about) if part is None or in_part(job, part)]
    missing = [job for job in jobs if read_shard_summary(job.path, job.key) is None]
    if missing:  # an index of before must not outlive the shards it points into
        out.unlink(missing_ok=True)
    tidy(out, jobs)
    write_json(settings_file(out), about)
    try:
        run(jobs, missing, engine or Engine(), progress)
    finally:  # a fault in one worker ends the others
        tidy(out, jobs)
    summaries = [finished(job) for job in jobs]
    outcome = summarise(out, summaries, corpus, len(jobs) - len(missing))
    if part is None:
        write_csv(outcome)
        check_usable(corpus, summaries, settings.instruments)
        check_strict(outcome, strict)
        write_index(out, about, summaries, settings, outcome.leaks)
    return outcome


@dataclass(frozen=True)
class Job:
    """One shard to make: all that a worker, perhaps on another machine, needs.

    Attributes:
        number, path: of the shard.
        key: identity of what it is made from (`shard_key`).
        tracks: its tracks.
        root: of the corpus; left out of recorded reasons.
        settings, about: of the cache.
    """

    number: int
    path: Path
    key: str
    tracks: tuple[Track, ...]
    root: Path
    settings: CacheSettings
    about: dict[str, Any]


def plan(corpus: Corpus, out: Path, settings: CacheSettings, about: dict[str, Any]) -> list[Job]:
    """The shards of a corpus, in the order of its tracks."""
    size = settings.tracks_per_shard
    groups = [corpus.tracks[first : first + size] for first in range(0, len(corpus.tracks), size)]
    return [
        Job(n, shard_folder(out) / shard_name(n), shard_key(about, tracks), tracks, corpus.root, settings, about)
        for n, tracks in enumerate(groups)
    ]


def in_part(job: Job, part: Part) -> bool:
    """Whether a shard belongs to a part: shards are dealt out in turn."""
    return job.number % part[1] == part[0] - 1


def run(jobs: Sequence[Job], missing: Sequence[Job], engine: Engine, progress: Progress | None) -> None:
    """Make the missing shards.

    Raises:
        ScoresepError: a shard could not be trusted and was not written; the others were.
    """
    total = sum(len(job.tracks) for job in jobs)
    done = total - sum(len(job.tracks) for job in missing)
    kernels.warm_up()
    agreement.warm_up()
    factorise_kernels.warm_up()
    if progress and done:
        progress(done, total)
    faults = []
    for job, fault in engine.map(compile_shard, missing):
        done += len(job.tracks)
        faults += [fault] * bool(fault)
        if progress:
            progress(done, total)
    if faults:
        raise ScoresepError(faults[0])


def tidy(out: Path, jobs: Sequence[Job]) -> None:
    """Delete what processes that were killed left half-written."""
    for path in (out, table_of(out), settings_file(out), *(job.path for job in jobs)):
        remove_stale(path)


def compile_shard(job: Job) -> tuple[Job, str]:
    """Compile the tracks of one shard and write it; returns the job and why there is no shard, or ''."""
    try:
        write_shard(job.path, job.settings, job.key, compiled_tracks(job))
    except ScoresepError as fault:
        return job, str(fault)
    return job, ""


def compiled_tracks(job: Job) -> Iterator[Compiled | Excluded]:
    """Each track compiled, or why it cannot be used; one track in memory at a time.

    Raises:
        ScoresepError: in the end, if a file came, went or changed meanwhile: what was read cannot be trusted.
    """
    for track in job.tracks:
        try:
            yield compile_track(track, job.settings)
        except ScoresepError as fault:
            reason = str(fault).replace(f"{job.root}{os.sep}", "")
            yield Excluded(track.id, track.split, reason, bool(track.omitted))
    if shard_key(job.about, job.tracks) != job.key:
        names = f"{job.tracks[0].id} to {job.tracks[-1].id}"
        raise ScoresepError(f"a file of the tracks {names} changed while it was read; run the same command again")


def finished(job: Job) -> Summary:
    """What a shard that must be there holds."""
    summary = read_shard_summary(job.path, job.key)
    if summary is None:
        raise ScoresepError(f"{job.path} vanished while preparing; run the same command again")
    return summary


def used(corpus: Corpus, summaries: Sequence[Summary]) -> tuple[Track, ...]:
    """The tracks of the corpus that came into the cache."""
    usable = {row["id"] for summary in summaries for row in summary.rows}
    return tuple(track for track in corpus.tracks if track.id in usable)


def summarise(out: Path, summaries: Sequence[Summary], corpus: Corpus, reused: int) -> Outcome:
    """What the shards hold, for people."""
    splits = [row["split"] for summary in summaries for row in summary.rows]
    return Outcome(
        out,
        {split: splits.count(split) for split in sorted(set(splits))},
        tuple(item for summary in summaries for item in summary.excluded),
        tuple(item for summary in summaries for item in summary.findings),
        tuple(leaks(used(corpus, summaries))),
        reused,
        len(summaries),
    )


def check_strict(outcome: Outcome, strict: bool) -> None:
    """Refuse tracks that cannot be used, if that is wished."""
    bad = [item for item in outcome.excluded if not item.deliberate]
    if strict and bad:
        raise ScoresepError(
            f"{len(bad)} tracks cannot be used (--strict), the first is {bad[0].track}: {bad[0].reason}; all of them "
            f"are in {outcome.table}"
        )


def describe(corpus: Corpus, settings: CacheSettings) -> dict[str, Any]:
    """What identifies a cache's making, as plain values."""
    return {
        "version": VERSION,
        "corpus": corpus.name,
        "root": corpus.root.resolve().name,
        "split_set": corpus.split_set,
        "rules": list(corpus.rules),
        "settings": settings.to_dict(),
    }


def check_present(corpus: Corpus, instruments: Sequence[Instrument]) -> None:
    """Refuse instruments that no stem of the corpus plays: their outputs could never be learnt."""
    stems = [stem for track in corpus.tracks for stem in track.stems]
    if stems:  # of a corpus without stems only the scores know, and they are read later
        refuse_absent({group_of(stem.program, stem.is_drum, instruments) for stem in stems}, corpus, instruments)


def check_usable(corpus: Corpus, summaries: Sequence[Summary], instruments: Sequence[Instrument]) -> None:
    """Refuse a corpus of which nothing can be used, or in which an instrument never plays."""
    rows = [row for summary in summaries for row in summary.rows]
    excluded = [item for summary in summaries for item in summary.excluded]
    if not rows:
        bad = [item for item in excluded if not item.deliberate] or excluded
        first = f"; {bad[0].track}: {bad[0].reason}" if bad else ""
        raise ScoresepError(f"{corpus.root} holds no usable track ({len(excluded)} left out{first})")
    if corpus.has_stems:
        check_present(replace(corpus, tracks=used(corpus, summaries)), instruments)
    else:
        refuse_absent({n for row in rows for n, plays in enumerate(row["active"]) if plays}, corpus, instruments)


def refuse_absent(found: set[int | None], corpus: Corpus, instruments: Sequence[Instrument]) -> None:
    """Refuse instruments whose index was not found."""
    absent = [instrument.name for n, instrument in enumerate(instruments) if n not in found]
    if absent:
        what = "stem" if corpus.has_stems else "part"
        names = ", ".join(absent)
        raise ScoresepError(f"{corpus.root} has no usable {what} of {names}; choose others with --instruments")


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
    """Refuse to mix shards of different settings, or of another format version, under one name."""
    try:
        made = dict(json.loads(settings_file(out).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return
    remedy = f"give another --out, or delete it and the folder {shard_folder(out).name}"
    if (version := made.get("version", 1)) != about["version"]:
        raise ScoresepError(f"{out} was begun in format version {version}, this scoresep writes {VERSION}; {remedy}")
    if changed := difference(made, about):
        raise ScoresepError(f"{out} was begun with other settings: {changed}; {remedy}")


def settings_file(out: Path) -> Path:
    """Where it is noted what the shards of the cache `out` are made with."""
    return shard_folder(out) / "settings.json"


def shard_key(about: dict[str, Any], tracks: Sequence[Track]) -> str:
    """Identity of a shard's input: the settings, the tracks, and size and time of every file."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for track in tracks:
        digest.update(f"{track.id}|{track.split}|{track.uuid}|{track.problem}|{track.omitted}|".encode())
        for stem in track.stems:
            digest.update(f"{stem.name}|{stem.program}|{stem.is_drum}|{stem.transpose}|".encode())
        for path in track.files:
            digest.update(f"{path.name}|{stamp(path)}|".encode())
    return digest.hexdigest()


def stamp(path: Path) -> str:
    """Size and time of a file, or that it is not there or cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}|{status.st_mtime_ns}|{os.access(path, os.R_OK)}"
