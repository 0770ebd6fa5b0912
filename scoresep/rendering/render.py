"""Make a corpus in Slakh2100's layout, from the built-in composer or from users' MIDI files.
    OUT/render.json                                settings, so that a second run continues or refuses
    OUT/left_out.csv                               what of the songs is not in it, if anything
    OUT/{train,validation,test}/TrackNNNNN/        metadata.yaml, mix.flac, all_src.mid, MIDI/SNN.mid, stems/SNN.flac

Everything follows from the settings: same settings, same bytes, whatever the number of jobs and however often it was
interrupted. Song k and its split do not depend on how many songs are made, so a corpus can grow.
Test songs are other compositions than training's and, where a group has three patches or more, other patches.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from scoresep.datasets.slakh import read_metadata
from scoresep.datasets.splits import SPLITS
from scoresep.errors import Damaged, InvalidValue, NothingToDo, ScoresepError
from scoresep.executor import Engine
from scoresep.files import write_rows
from scoresep.machine import available_cores
from scoresep.rendering.casting import cast_song, draw_patches, playable, wanted
from scoresep.rendering.composer import BAND_GROUPS, GROUPS, band_material, compose, compose_band
from scoresep.rendering.midi_songs import read_folder
from scoresep.rendering.pools import check_soundfonts, write_probes
from scoresep.rendering.settings import (
    DEFAULT_SONGS,
    Progress,
    RenderSettings,
    claim,
    split_sequence,
)
from scoresep.rendering.song import (
    BEYOND,
    NO_KEY,
    NO_PATCH,
    SILENT,
    UNWANTED,
    LeftOut,
    Song,
    digest,
    group_name,
    lost,
    part_name,
)
from scoresep.rendering.sounds import Sounds, gather_sounds, write_attributions
from scoresep.rendering.sources.base import Patch
from scoresep.rendering.track import SilentSong, write_track
from scoresep.score.parts import Part

TABLE = "left_out.csv"
MOST_ATTEMPTS = 50
"""Songs that are composed in search of one that has the groups wanted."""


@dataclass(frozen=True)
class RenderReport:
    """What `render_corpus` made.

    Attributes:
        out: the corpus.
        tracks: split to number of tracks now there.
        seconds: audio of all tracks together (mixtures).
        made, reused: tracks rendered now and found whole.
        skipped: (file, reason) of MIDI files that gave no track.
        held_out: group to the labels of the patches that only test songs use.
        rejected: label to the reason why a preset was not used.
        left_out: what of the songs is not in the corpus, skipped files included; also in `table`.
        unused: (label, reason) of sounds and impulse responses of the folders that were not used.
    """

    out: Path
    tracks: dict[str, int]
    seconds: float
    made: int
    reused: int
    skipped: tuple[tuple[str, str], ...]
    held_out: dict[str, tuple[str, ...]]
    rejected: dict[str, str]
    left_out: tuple[LeftOut, ...] = ()
    unused: tuple[tuple[str, str], ...] = ()

    @property
    def table(self) -> Path:
        """The file that says what was left out; it exists if anything was."""
        return self.out / TABLE


@dataclass(frozen=True)
class _Task:
    """One track to make. `song` is None where the worker composes song `number` itself."""

    number: int
    split: str
    folder: Path
    song: Song | None


def render_corpus(
    out: str | Path,
    settings: RenderSettings | None = None,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> RenderReport:
    """Render the corpus that `settings` describe into `out`, or what is still missing of it.

    Args:
        out: a new or empty folder, or one that an earlier call with the same settings made (`songs` may have grown).
        settings: see `RenderSettings`.
        jobs: processes; None: the cores this process may use.
        progress: called in this process after every file read and every track.

    Raises:
        ScoresepError: impossible settings, missing or broken SoundFonts, no readable MIDI file, or `out` holds anything
            else than this corpus.
    """
    out, settings, progress = Path(out), settings or RenderSettings(), progress or (lambda done, total, what: None)
    jobs = available_cores() if jobs is None else jobs
    if jobs < 1:
        raise InvalidValue(f"cannot render with {jobs} jobs", remedy="use at least 1")
    check_soundfonts(settings.soundfonts)
    if settings.bands:  # what is wrong with their folders is told before any work, and before they are written down
        band_material(settings.charts, settings.grooves, test=False)
    songs, beyond, skipped = _songs(settings, jobs, progress)
    sounds, probes = gather_sounds(out, settings, _groups(songs, settings), jobs, progress)
    claim(out, settings, songs, sounds.described())
    if probes:
        write_probes(out, probes)
    tasks = _tasks(out, settings, songs)
    missing = [task for task in tasks if not task.folder.is_dir()]
    try:
        silent = _render_all(missing, settings, sounds, jobs, progress, len(tasks))
    except BaseException:  # what is made owes its credits also if the rest is not
        with suppress(ScoresepError):
            write_attributions(out, settings, sounds)
        raise
    write_attributions(out, settings, sounds)
    skipped += [
        (song.source, reason) for task in missing if (reason := silent.get(task.number)) and (song := task.song)
    ]
    whole = [task for task in tasks if task.number not in silent]
    left_out = [row for task in whole for row in _left_out(task, settings, sounds)]
    left_out += [LeftOut(song, "", "", reason) for song, reason in (*skipped, *((song, BEYOND) for song in beyond))]
    _write_table(out, left_out)
    return RenderReport(
        out=out,
        tracks={split: Counter(task.split for task in whole)[split] for split in SPLITS},
        seconds=sum(task.song.seconds if task.song else settings.seconds for task in whole),
        made=len(missing) - len(silent),
        reused=len(tasks) - len(missing),
        skipped=tuple(skipped),
        held_out={g: held for g, held in sounds.held_out.items() if not settings.groups or g in settings.groups},
        rejected=sounds.presets.rejected,
        unused=sounds.unused,
        left_out=tuple(left_out),
    )


def _tasks(out: Path, settings: RenderSettings, songs: Sequence[Song | None]) -> list[_Task]:
    splits = split_sequence(len(songs), settings.splits)
    return [
        _Task(number, split, out / split / f"Track{number + 1:05d}", song)
        for number, (split, song) in enumerate(zip(splits, songs, strict=True))
    ]


# Songs


def _songs(
    settings: RenderSettings, jobs: int, progress: Progress
) -> tuple[list[Song | None], list[str], list[tuple[str, str]]]:
    """The songs in their order (None: to be composed), MIDI files that are not needed, and those that gave no song."""
    if settings.midi_dir is None:
        return [None] * (settings.songs or DEFAULT_SONGS), [], []
    read, skipped = read_folder(settings.midi_dir, settings.seconds, jobs, progress)
    unique: dict[str, Song] = {}
    for song in read:
        if song.uuid in unique:
            skipped.append((song.source, f"the same music as {unique[song.uuid].source}"))
        else:
            unique[song.uuid] = song
    # An order that says nothing about names and folders: splits follow it.
    order = sorted(unique.values(), key=lambda song: digest(f"{settings.seed} {song.uuid}".encode()))
    count = len(order) if settings.songs is None else settings.songs
    return list(order[:count]), sorted(song.source for song in order[count:]), sorted(skipped)


def _groups(songs: Iterable[Song | None], settings: RenderSettings) -> set[str]:
    """Groups that need patches."""
    composed = set(BAND_GROUPS) if settings.bands else set(GROUPS)
    groups: set[str] = set()
    for song in songs:
        groups |= composed if song is None else {name for part in song.parts if (name := group_name(part))}
    return groups


# Rendering


def _render_all(
    tasks: Sequence[_Task], settings: RenderSettings, sounds: Sounds, jobs: int, progress: Progress, total: int
) -> dict[int, str]:
    """Make the tracks of `tasks`; number to reason of those that gave no sound."""
    done = total - len(tasks)
    progress(done, total, "rendering")
    silent = {}
    render_one = partial(_render_one, settings=settings, sounds=sounds)
    for number, reason in Engine(jobs).map(render_one, tasks):
        done += 1
        if reason:
            silent[number] = reason
        progress(done, total, "rendering")
    return silent


def _render_one(task: _Task, settings: RenderSettings, sounds: Sounds) -> tuple[int, str | None]:
    """Make one track: (its number, None or why it has no sound)."""
    song = task.song or _composed(settings, task.number, task.split)
    try:
        write_track(task.folder, song, cast_song(song, task.split, settings, sounds), settings.sample_rate)
    except SilentSong as fault:
        if task.song is None:
            raise
        return task.number, fault.problem
    return task.number, None


def _composed(settings: RenderSettings, number: int, split: str) -> Song:
    """Song `number`: of several drawn one after the other the first that has a part of the groups wanted.

    Raises:
        NothingToDo: none has.
    """
    for attempt in range(MOST_ATTEMPTS):
        rng = np.random.default_rng([settings.seed, number, *[attempt] * (attempt > 0)])
        if settings.bands:
            charts, grooves = band_material(settings.charts, settings.grooves, split == "test")
            song = compose_band(rng, settings.seconds, charts, grooves)
        else:
            song = compose(rng, settings.seconds)
        if any(wanted(part, settings) for part in song.parts):
            return replace(song, source=f"composed/{settings.seed}/{song.uuid}.mid")
    problem = f"no song with a part of {', '.join(settings.groups)} in {MOST_ATTEMPTS} tries"
    raise NothingToDo(problem, remedy="add other --groups, or ask for --bands")


# What is left out


def _reason(part: Part, patch: Patch | None, settings: RenderSettings) -> str:
    """Why a part is not rendered, or ''."""
    if not wanted(part, settings):
        return UNWANTED
    if patch is None:
        return NO_PATCH
    return "" if len(playable(part, patch)) else NO_KEY


def _left_out(task: _Task, settings: RenderSettings, sounds: Sounds) -> list[LeftOut]:
    """What a finished track has not of its song. Of composed songs only silent parts count: nobody wrote the others."""
    silent = _silent_stems(task.folder)
    if task.song is None and not silent:
        return []
    song = task.song or _composed(settings, task.number, task.split)
    patches = [draw.patch for draw in draw_patches(song, task.split, settings, sounds)]
    reasons = [_reason(part, patch, settings) for part, patch in zip(song.parts, patches, strict=True)]
    cast = [
        (part, playable(part, patch))
        for part, patch, reason in zip(song.parts, patches, reasons, strict=True)
        if patch is not None and not reason
    ]
    whole = [(part, reason) for part, reason in zip(song.parts, reasons, strict=True) if reason and task.song]
    whole += [(cast[number][1], SILENT) for number in silent]
    rows = [LeftOut(song.source, part_name(part), len(part), reason) for part, reason in whole]
    written, kept = zip(*cast, strict=True) if cast else ((), ())
    return [*song.left_out, *rows, *lost(song.source, written, kept, NO_KEY)]


def _silent_stems(folder: Path) -> list[int]:
    """Numbers of the stems of a finished track that have no audio, as its metadata say.

    Raises:
        Damaged: they are missing or unreadable.
    """
    try:
        stems = read_metadata(folder / "metadata.yaml").stems
        return [int(name[1:]) for name, stem in stems.items() if not stem["audio_rendered"]]
    except (OSError, ValueError, LookupError, TypeError) as fault:
        raise Damaged(f"not a whole track ({fault})", file=folder, remedy="remove it and render again") from fault


def summary(rows: Sequence[LeftOut]) -> list[str]:
    """A line a reason, the most notes first; of songs as wholes only those that were not asked for."""
    notes, songs = Counter[str](), defaultdict[str, set[str]](set)
    for row in rows:
        songs[row.reason].add(row.song)
        notes[row.reason] += int(row.notes or 0)
    order = sorted((reason for reason in songs if notes[reason]), key=lambda reason: (-notes[reason], reason))
    lines = [f"left out {notes[reason]:,} notes of {len(songs[reason]):,} songs: {reason}" for reason in order]
    beyond = len(songs.get(BEYOND, ()))
    return lines + [f"left out {beyond:,} songs: {BEYOND}"] * (beyond > 0)


def _write_table(out: Path, rows: Sequence[LeftOut]) -> None:
    """Write the table, or remove one of before if nothing is left out."""
    if rows:
        write_rows(out / TABLE, LeftOut._fields, rows)
    else:
        (out / TABLE).unlink(missing_ok=True)
