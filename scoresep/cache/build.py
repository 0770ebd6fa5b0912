"""Compile a dataset into a cache: a map over shards, whose tracks are fixed by the dataset alone.

An interrupted preparation goes on at the first missing shard and ends with the same cache as an uninterrupted one,
wherever its shards were made.
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

from scoresep import score_check
from scoresep.cache.prepare_report import Report, table_of, write_csv
from scoresep.cache.schema import (
    INDEX_FORMAT,
    CacheSettings,
    Excluded,
    difference,
    shard_folder,
    shard_name,
)
from scoresep.cache.track import TrackFeatures, add_teacher, extract_features
from scoresep.cache.writer import Summary, read_shard_summary, write_index, write_shard
from scoresep.datasets.base import Corpus, Track
from scoresep.datasets.splits import find_split_leakage
from scoresep.errors import (
    AlreadyExists,
    Failed,
    Mismatch,
    NotFound,
    NothingToDo,
    ScoresepError,
    Unwritable,
    WrongVersion,
)
from scoresep.executor import Engine
from scoresep.files import read_text, remove_stale, write_json
from scoresep.instruments import Instrument, group_of
from scoresep.masks import harmonic
from scoresep.masks.table import mask_name
from scoresep.nmf import kernels as nmf_kernels

TracksDone = Callable[[int, int], None]
"""Called with tracks done and tracks in all."""


def prepare(
    corpus: Corpus,
    out: Path,
    settings: CacheSettings,
    engine: Engine | None = None,
    progress: TracksDone | None = None,
    part: tuple[int, int] | None = None,
    strict: bool = False,
    teacher_device: str = "cpu",
) -> Report:
    """Compile `corpus` into the cache `out`; shards that are there already are kept.

    Args:
        engine: runs the work; all cores of this machine by default.
        part: (k, n): make only part k (from 1) of n of the shards, and no index: for machines that share the work.
        strict: refuse to make an index if a track cannot be used.
        teacher_device: where workers search the teacher's factors, see `machine.choose_device`.

    Raises:
        ScoresepError: an instrument is absent from the dataset, no track is usable, `out` holds a cache made with other
            settings, a worker died, or a file changed while it was read. Finished shards stay.
    """
    weak = any(track.labels for track in corpus.tracks)
    settings = replace(settings, stems=settings.stems and corpus.has_stems, weak=weak)
    about = description(corpus, settings)
    check_possible(corpus, out, settings, about)
    jobs = plan(corpus, out.absolute(), settings, about, teacher_device)
    if part is not None:
        jobs = jobs[part[0] - 1 :: part[1]]
    missing = [job for job in jobs if read_shard_summary(job.path, job.key) is None]
    write_json(settings_file(out), about)
    compile_shards(out, jobs, missing, engine or Engine(), progress)
    summaries = [finished_shard(job) for job in jobs]
    report = make_report(out, summaries, corpus, len(jobs) - len(missing))
    if part is None:
        write_csv(report)
        check_usable(corpus, summaries, settings.instruments)
        check_strict(report, strict)
        write_index(out, about, summaries, settings, report.split_leakage)
    return report


# Shards


@dataclass(frozen=True)
class Job:
    """One shard to make: all that a worker, perhaps on another machine, needs.

    Attributes:
        path: of the shard.
        key: identity of what it is made from (`shard_key`).
        tracks: its tracks.
        root: of the dataset; left out of recorded reasons.
        settings, about: of the cache.
        teacher_device: where the teacher's factors are searched; its rounding, and nothing else, depends on that.
    """

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
    """The shards of a dataset, in the order of its tracks."""
    size = settings.tracks_per_shard
    groups = [corpus.tracks[first : first + size] for first in range(0, len(corpus.tracks), size)]
    folder, same = shard_folder(out), (corpus.root, settings, about, teacher_device)
    return [Job(folder / shard_name(n), shard_key(about, tracks), tracks, *same) for n, tracks in enumerate(groups)]


def compile_shards(
    out: Path, jobs: Sequence[Job], missing: Sequence[Job], engine: Engine, progress: TracksDone | None
) -> None:
    """Make the missing shards.

    Raises:
        ScoresepError: a shard could not be trusted and was not written; the others were.
    """
    total = sum(len(job.tracks) for job in jobs)
    done = total - sum(len(job.tracks) for job in missing)
    for compiled in (harmonic, score_check, nmf_kernels):
        compiled.warm_up()
    if progress and done:
        progress(done, total)
    if missing:  # an index of before must not outlive the shards it points into
        out.unlink(missing_ok=True)
    remove_temporaries(out, jobs)
    faults = []
    try:
        for job, fault in engine.map(compile_shard, missing):
            done += len(job.tracks)
            faults += [fault] if fault else []
            if progress:
                progress(done, total)
    finally:  # a fault in one worker ends the others
        remove_temporaries(out, jobs)
    if faults:
        raise faults[0]


def compile_shard(job: Job) -> tuple[Job, ScoresepError | None]:
    """Compile the tracks of one shard and write it; returns the job and why there is no shard, if there is none."""
    try:
        write_shard(job.path, job.settings, job.key, compile_tracks(job))
    except Unwritable:  # nor can the next shard be written
        raise
    except ScoresepError as fault:
        return job, fault
    return job, None


def compile_tracks(job: Job) -> Iterator[TrackFeatures | Excluded]:
    """Each track compiled, or why it cannot be used; one in memory at a time, or all where a device teaches.

    Raises:
        ScoresepError: the teacher's device fails; or in the end, if a file came, went or changed meanwhile: what was
            read cannot be trusted.
    """
    together = 1 if job.teacher_device == "cpu" else len(job.tracks)
    for first in range(0, len(job.tracks), together):
        items = [features_or_reason(track, job) for track in job.tracks[first : first + together]]
        yield from (item for item in items if isinstance(item, Excluded))
        features = [item for item in items if isinstance(item, TrackFeatures)]
        yield from add_teacher(features, job.settings, job.teacher_device)
    if shard_key(job.about, job.tracks) != job.key:
        names = f"{job.tracks[0].id} to {job.tracks[-1].id}"
        raise Failed(
            f"a file of the tracks {names} changed while it was read",
            file=job.root,
            remedy="run the same command again",
        )


def features_or_reason(track: Track, job: Job) -> TrackFeatures | Excluded:
    """A track but for the teacher's factors, or why it cannot be used."""
    try:
        return extract_features(track, job.settings)
    except ScoresepError as fault:
        reason = str(fault).replace(f"{job.root}{os.sep}", "")
        return Excluded(track.id, track.split, reason, bool(track.omitted))


def shard_key(about: dict[str, Any], tracks: Sequence[Track]) -> str:
    """Identity of a shard's input: the settings, the tracks, and size and time of every file."""
    texts = [json.dumps(about, sort_keys=True)]
    for track in tracks:
        texts.append(f"{track.id}|{track.split}|{track.uuid}|{track.problem}|{track.omitted}|")
        texts += [f"{stem.name}|{stem.program}|{stem.is_drum}|{stem.transpose}|" for stem in track.stems]
        texts += [f"{path.name}|{stamp(path)}|" for path in track.files]
    return hashlib.sha256("".join(texts).encode(errors="surrogateescape")).hexdigest()


def stamp(path: Path) -> str:
    """Size and time of a file, or that it is not there or cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}|{status.st_mtime_ns}|{os.access(path, os.R_OK)}"


def finished_shard(job: Job) -> Summary:
    """What a shard that must be there holds."""
    summary = read_shard_summary(job.path, job.key)
    if summary is None:
        raise NotFound("the shard vanished while preparing", file=job.path, remedy="run the same command again")
    return summary


def remove_temporaries(out: Path, jobs: Sequence[Job]) -> None:
    """Delete what processes that were killed left half-written."""
    for path in (out, table_of(out), settings_file(out), *(job.path for job in jobs)):
        remove_stale(path)


# What came of it


def make_report(out: Path, summaries: Sequence[Summary], corpus: Corpus, reused: int) -> Report:
    """What the shards hold, for people."""
    splits = [row["split"] for summary in summaries for row in summary.rows]
    return Report(
        out,
        {split: splits.count(split) for split in sorted(set(splits))},
        tuple(item for summary in summaries for item in summary.excluded),
        tuple(item for summary in summaries for item in summary.findings),
        tuple(find_split_leakage(used_tracks(corpus, summaries))),
        reused,
        len(summaries),
        tuple(item for summary in summaries for item in summary.unused),
    )


def used_tracks(corpus: Corpus, summaries: Sequence[Summary]) -> tuple[Track, ...]:
    """The tracks of the dataset that came into the cache."""
    usable = {row["id"] for summary in summaries for row in summary.rows}
    return tuple(track for track in corpus.tracks if track.id in usable)


def description(corpus: Corpus, settings: CacheSettings) -> dict[str, Any]:
    """What identifies a cache's making, as plain values."""
    return {
        "version": settings.version,
        "corpus": corpus.name,
        "root": corpus.root.resolve().name,
        "split_set": corpus.split_set,
        "rules": list(corpus.rules),
        "settings": settings.to_dict(),
    }


def settings_file(out: Path) -> Path:
    """Where it is noted what the shards of the cache `out` are made with."""
    return shard_folder(out) / "settings.json"


# Checks: each raises the error that its name suggests


def check_possible(corpus: Corpus, out: Path, settings: CacheSettings, about: dict[str, Any]) -> None:
    """Refuse what cannot succeed, before the work."""
    check_present(corpus, settings.instruments)
    for instrument in settings.instruments:
        mask_name(instrument)
    check_replaceable(out)
    check_same_settings(out, about)


def check_strict(report: Report, strict: bool) -> None:
    """Refuse tracks that cannot be used, if that is wished."""
    bad = [item for item in report.excluded if not item.deliberate]
    if strict and bad:
        raise Failed(
            f"{len(bad)} tracks cannot be used (--strict), the first is {bad[0].track}: {bad[0].reason}",
            file=report.path,
            remedy=f"all of them are in {report.table}",
        )


def check_present(corpus: Corpus, instruments: Sequence[Instrument]) -> None:
    """Refuse instruments that no stem of the dataset plays: their outputs could never be learnt."""
    stems = [stem for track in corpus.tracks for stem in track.stems]
    if stems:  # of a dataset without stems only the scores know, and they are read later
        refuse_absent({group_of(stem.program, stem.is_drum, instruments) for stem in stems}, corpus, instruments)


def check_usable(corpus: Corpus, summaries: Sequence[Summary], instruments: Sequence[Instrument]) -> None:
    """Refuse a dataset of which nothing can be used, or in which an instrument never plays."""
    rows = [row for summary in summaries for row in summary.rows]
    excluded = [item for summary in summaries for item in summary.excluded]
    if not rows:
        bad = [item for item in excluded if not item.deliberate] or excluded
        first = f"; {bad[0].track}: {bad[0].reason}" if bad else ""
        raise NothingToDo(f"no usable track ({len(excluded)} left out{first})", file=corpus.root)
    if corpus.has_stems:
        check_present(replace(corpus, tracks=used_tracks(corpus, summaries)), instruments)
    else:
        scored = [row["active"] for row in rows if row["notes"]]  # weak labels alone teach no notes
        refuse_absent({n for active in scored for n, plays in enumerate(active) if plays}, corpus, instruments)


def refuse_absent(present: set[int | None], corpus: Corpus, instruments: Sequence[Instrument]) -> None:
    """Refuse instruments whose index is not among those present."""
    absent = [instrument.name for n, instrument in enumerate(instruments) if n not in present]
    if absent:
        what = "stem" if corpus.has_stems else "part"
        raise NothingToDo(
            f"no usable {what} of {', '.join(absent)}", file=corpus.root, remedy="choose others with --instruments"
        )


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
        raise AlreadyExists("it exists and is not a scoresep cache", file=out, remedy="give another --out or delete it")


def _completed(about: dict[str, Any]) -> dict[str, Any]:
    """What identifies a cache's making, with settings that are only written where they are true."""
    settings = {"weak": False, **about.get("settings", {})}
    return {**about, "settings": {**settings, "factorise": {"unwritten": False, **settings.get("factorise", {})}}}


def check_same_settings(out: Path, about: dict[str, Any]) -> None:
    """Refuse to mix shards of different settings, or of another format version, under one name."""
    try:
        made = _completed(json.loads(read_text(settings_file(out))))
    except (OSError, ValueError, TypeError, AttributeError):
        return
    remedy = f"give another --out, or delete it and the folder {shard_folder(out).name}"
    if (version := made.get("version", 1)) != about["version"]:
        raise WrongVersion(
            f"begun in format version {version}, to be written is version {about['version']}", file=out, remedy=remedy
        )
    if changed := difference(made, _completed(about)):
        raise Mismatch(f"begun with other settings: {changed}", file=out, remedy=remedy)
