"""Make a corpus in Slakh2100's layout, from the built-in composer or from users' MIDI files.
    OUT/render.json                                settings, so that a second run continues or refuses
    OUT/left_out.csv                               what of the songs is not in it, if anything
    OUT/{train,validation,test}/TrackNNNNN/        metadata.yaml, mix.flac, all_src.mid, MIDI/SNN.mid, stems/SNN.flac

Everything follows from the settings: same settings, same bytes, whatever the number of jobs and however often it was
interrupted. Song k and its split do not depend on how many songs are made, so a corpus can grow.
Test songs are other compositions than training's and, where a group has three patches or more, other patches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np

from scoresep.errors import ScoresepError
from scoresep.machine import available_cores
from scoresep.rendering.casting import heard
from scoresep.rendering.compose import GROUPS, compose
from scoresep.rendering.excerpt import read_folder
from scoresep.rendering.left_out import (
    BEYOND,
    NO_KEY,
    NO_PATCH,
    SILENT,
    TABLE,
    UNWANTED,
    Row,
    lost,
    part_name,
    silent_stems,
    write_table,
)
from scoresep.rendering.parallel import Progress, in_parallel
from scoresep.rendering.patch import Patch
from scoresep.rendering.patches import PatchPool, check_soundfonts, own_patch
from scoresep.rendering.settings import (
    DEFAULT_SONGS,
    SPLITS,
    RenderSettings,
    claim,
    digest,
    split_sequence,
)
from scoresep.rendering.song import Song, group_name
from scoresep.rendering.sounds import Sounds, attribute, gather_sounds, keep_probes
from scoresep.rendering.tone import Tone, draw_tone
from scoresep.rendering.track import SilentSong, Stem, write_track
from scoresep.score.parts import Part

__all__ = ["DEFAULT_SONGS", "SPLITS", "RenderReport", "RenderSettings", "draw_stems", "render_corpus", "split_sequence"]

_REVERB = (0, 64)


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
    left_out: tuple[Row, ...] = ()
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
        raise ScoresepError(f"cannot render with {jobs} jobs; use at least 1")
    check_soundfonts(settings.soundfonts)
    songs, beyond, skipped = _songs(settings, jobs, progress)
    sounds, probes = gather_sounds(out, settings, _groups(songs), jobs, progress)
    claim(out, settings, songs, sounds.described())
    keep_probes(out, probes)
    tasks = [
        _Task(number, split, out / split / f"Track{number + 1:05d}", song)
        for number, (split, song) in enumerate(zip(split_sequence(len(songs), settings.splits), songs, strict=True))
    ]
    missing = [task for task in tasks if not task.folder.is_dir()]
    silent = _render_all(missing, settings, sounds, jobs, progress, len(tasks))
    attribute(out, settings, sounds)
    skipped += [
        (song.source, reason) for task in missing if (reason := silent.get(task.number)) and (song := task.song)
    ]
    there = [task for task in tasks if task.number not in silent]
    left_out = [row for task in there for row in _left_out(task, settings, sounds)]
    left_out += [Row(song, "", "", reason) for song, reason in (*skipped, *((song, BEYOND) for song in beyond))]
    write_table(out, left_out)
    return RenderReport(
        out=out,
        tracks={split: Counter(task.split for task in there)[split] for split in SPLITS},
        seconds=sum(task.song.seconds if task.song else settings.seconds for task in there),
        made=len(missing) - len(silent),
        reused=len(tasks) - len(missing),
        skipped=tuple(skipped),
        held_out={g: held for g, held in sounds.held_out.items() if not settings.groups or g in settings.groups},
        rejected=sounds.presets.rejected,
        unused=sounds.unused,
        left_out=tuple(left_out),
    )


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


def _groups(songs: Iterable[Song | None]) -> set[str]:
    """Groups that need patches."""
    groups: set[str] = set()
    for song in songs:
        groups |= set(GROUPS) if song is None else {name for part in song.parts if (name := group_name(part))}
    return groups


# Rendering


def _render_all(
    tasks: Sequence[_Task], settings: RenderSettings, sounds: Sounds, jobs: int, progress: Progress, total: int
) -> dict[int, str]:
    """Make the tracks of `tasks`; number to reason of those that gave no sound."""
    done = total - len(tasks)
    progress(done, total, "rendering")
    silent = {}
    for number, fault in in_parallel([joblib.delayed(_render_one)(task, settings, sounds) for task in tasks], jobs):
        done += 1
        if fault:
            silent[number] = fault
        progress(done, total, "rendering")
    return silent


def _render_one(task: _Task, settings: RenderSettings, sounds: Sounds) -> tuple[int, str | None]:
    """Make one track: (its number, None or why it has no sound)."""
    song = task.song or _composed(settings, task.number)
    try:
        write_track(task.folder, song, draw_stems(song, task.split, settings, sounds), settings.sample_rate)
    except SilentSong as fault:
        if task.song is None:
            raise
        return task.number, str(fault)
    return task.number, None


def _composed(settings: RenderSettings, number: int) -> Song:
    song = compose(np.random.default_rng([settings.seed, number]), settings.seconds)
    return replace(song, source=f"composed/{settings.seed}/{song.uuid}.mid")


def draw_stems(song: Song, split: str, settings: RenderSettings, sounds: Sounds) -> list[Stem]:
    """Give every part a patch of its group, drawn from those of the split, a reverberation and a tone, or a chain.

    Parts of one song with one program share a patch. A user's own program is not kept: its group is what is learnt,
    and variety of sounds is worth more. Programs outside all groups (effects, ethnic instruments) keep theirs; such a
    part is left out where no SoundFont has it. Parts of groups that are not wanted are left out after the draw, so the
    others sound the same without them.
    """
    drawn = _draw_presets(song, split, settings, sounds.presets)
    patches = sounds.cast(song, split, settings, [patch for patch, _, _ in drawn])
    chains = sounds.chains(song, settings, patches)
    return [
        Stem(heard(part, patch), patch, reverb, tone, chain)
        for part, patch, (_, reverb, tone), chain in zip(song.parts, patches, drawn, chains, strict=True)
        if patch is not None and not _against(part, patch, settings)
    ]


def _draw_presets(
    song: Song, split: str, settings: RenderSettings, pool: PatchPool
) -> list[tuple[Patch | None, int, Tone]]:
    """A preset, a reverberation and a tone for every part."""
    rng = np.random.default_rng([settings.seed, int(song.uuid[:12], 16)])
    shared: dict[tuple[str, int], Patch] = {}
    drawn = []
    for part in song.parts:
        group = group_name(part)
        reverb, tone = int(rng.integers(*_REVERB)), draw_tone(rng)
        if group is None:
            patch = own_patch(settings.soundfonts, part.program)
        else:
            key = (group, part.program)
            choices = pool.of(split)[group]
            fresh = [patch for patch in choices if patch not in shared.values()] or list(choices)
            shared.setdefault(key, fresh[int(rng.integers(len(fresh)))])
            patch = shared[key]
        drawn.append((patch, reverb, tone))
    return drawn


# What is left out


def _against(part: Part, patch: Patch | None, settings: RenderSettings) -> str:
    """Why a part is not rendered, or ''."""
    if settings.groups and group_name(part) not in settings.groups:
        return UNWANTED
    if patch is None:
        return NO_PATCH
    return "" if len(heard(part, patch)) else NO_KEY


def _left_out(task: _Task, settings: RenderSettings, sounds: Sounds) -> list[Row]:
    """What a finished track has not of its song. Of composed songs only silent parts count: nobody wrote the others."""
    silent = silent_stems(task.folder)
    if task.song is None and not silent:
        return []
    song = task.song or _composed(settings, task.number)
    presets = [patch for patch, _, _ in _draw_presets(song, task.split, settings, sounds.presets)]
    patches = sounds.cast(song, task.split, settings, presets)
    reasons = [_against(part, patch, settings) for part, patch in zip(song.parts, patches, strict=True)]
    drawn = [
        (part, heard(part, patch))
        for part, patch, reason in zip(song.parts, patches, reasons, strict=True)
        if not reason
    ]
    found = [(part, reason) for part, reason in zip(song.parts, reasons, strict=True) if reason and task.song]
    found += [(drawn[number][1], SILENT) for number in silent]
    rows = [Row(song.source, part_name(part), len(part), reason) for part, reason in found]
    return [*song.left_out, *rows, *(lost(song.source, *zip(*drawn, strict=True), NO_KEY) if drawn else ())]
