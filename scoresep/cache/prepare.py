"""Compile a corpus into a cache: a map over shards, run by an engine.
The tracks of each shard are fixed by the corpus alone, so an interrupted preparation goes on at the first missing
shard and ends with the same cache as an uninterrupted one, wherever its shards were made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py

from scoresep import score_check as agreement
from scoresep.cache.jobs import Job, Part, compile_shard, in_part, plan
from scoresep.cache.outcome import Outcome, table_of, write_csv
from scoresep.cache.schema import INDEX_FORMAT, VERSION, CacheSettings, difference, shard_folder
from scoresep.cache.writer import Summary, read_shard_summary, write_index
from scoresep.datasets.base import Corpus, Track
from scoresep.datasets.splits import leaks
from scoresep.errors import ScoresepError
from scoresep.executor import Engine
from scoresep.files import read_text, remove_stale, write_json
from scoresep.instruments import Instrument, group_of
from scoresep.masks import harmonic
from scoresep.masks.table import mask_name
from scoresep.nmf import kernels as factorisation_kernels

Progress = Callable[[int, int], None]
"""Called with tracks done and tracks in all."""


def prepare(
    corpus: Corpus,
    out: Path,
    settings: CacheSettings,
    engine: Engine | None = None,
    progress: Progress | None = None,
    part: Part | None = None,
    strict: bool = False,
    teacher_device: str = "cpu",
) -> Outcome:
    """Compile `corpus` into the cache `out`; shards that are there already are kept.

    Args:
        engine: runs the work; all cores of this machine by default.
        part: make only this part of the shards, and no index: for machines that share the work.
        strict: refuse to make an index if a track cannot be used.
        teacher_device: where workers search the teacher's factors, see `machine.choose_device`.

    Raises:
        ScoresepError: an instrument is absent from the corpus, no track is usable, `out` holds a cache made with
            other settings, an instrument names an unknown mask, a worker died, or a file changed while it was read.
            Finished shards stay.
    """
    settings = replace(settings, stems=settings.stems and corpus.has_stems)
    check_present(corpus, settings.instruments)
    for instrument in settings.instruments:
        mask_name(instrument)  # refused here rather than once a track
    check_replaceable(out)
    about = describe(corpus, settings)
    check_same_settings(out, about)
    jobs = [
        job
        for job in plan(corpus, out.absolute(), settings, about, teacher_device)
        if part is None or in_part(job, part)
    ]
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


def run(jobs: Sequence[Job], missing: Sequence[Job], engine: Engine, progress: Progress | None) -> None:
    """Make the missing shards.

    Raises:
        ScoresepError: a shard could not be trusted and was not written; the others were.
    """
    total = sum(len(job.tracks) for job in jobs)
    done = total - sum(len(job.tracks) for job in missing)
    harmonic.warm_up()
    agreement.warm_up()
    factorisation_kernels.warm_up()
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
        tuple(item for summary in summaries for item in summary.unused),
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
        made = dict(json.loads(read_text(settings_file(out))))
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
