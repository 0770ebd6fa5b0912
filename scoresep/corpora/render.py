"""Make a corpus in Slakh2100's layout, from the built-in composer or from the user's MIDI files. Called by the command line.

    OUT/render.json                                settings, so that a second run continues or refuses
    OUT/{train,validation,test}/TrackNNNNN/        metadata.yaml, mix.flac, all_src.mid, MIDI/SNN.mid, stems/SNN.flac

Everything follows from the settings: same settings, same bytes, whatever the number of jobs and however often it was
interrupted. Song k and its split do not depend on how many songs are made, so a corpus can grow.
Test songs are other compositions than training's and, where a group has three patches or more, other patches.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import joblib
import numpy as np

from scoresep.corpora.compose import COMPOSER_VERSION, GROUPS, compose
from scoresep.corpora.excerpt import group_name, read_song
from scoresep.corpora.patches import Patch, PatchPool, check_soundfonts, own_patch, patch_pool
from scoresep.corpora.render_song import SilentSong, Stem, temporary_name, write_track
from scoresep.corpora.song import Song
from scoresep.corpora.synth import default_soundfont, soundfont_bytes
from scoresep.errors import ScoresepError
from scoresep.files import write_json

SPLITS = ("train", "validation", "test")
SETTINGS_FILE = "render.json"
RENDER_VERSION = 1
"""Goes into a corpus's settings: raise it when the same music gives other audio."""
DEFAULT_SONGS = 60
_REVERB = (0, 64)
_MIDI_SUFFIXES = (".mid", ".midi")

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is being done)."""


@dataclass(frozen=True)
class RenderSettings:
    """What decides the content of a corpus.

    Attributes:
        songs: number of songs; None: 60 from the composer, or all of `midi_dir`.
        midi_dir: folder searched recursively for *.mid and *.midi; None: compose.
        soundfonts: banks the patches come from.
        seed: of music, patches, splits and hold-out.
        seconds: length of a composed song, longest excerpt of a MIDI file.
        sample_rate: of the audio files (Hz).
        splits: shares of train, validation and test; with three songs or more each has at least one.
    """

    songs: int | None = None
    midi_dir: Path | None = None
    soundfonts: tuple[Path, ...] = field(default_factory=lambda: (default_soundfont(),))
    seed: int = 0
    seconds: float = 30.0
    sample_rate: int = 44100
    splits: tuple[float, float, float] = (0.7, 0.15, 0.15)

    def __post_init__(self) -> None:
        faults = []
        if self.songs is not None and self.songs < 1:
            faults.append(f"songs must be at least 1, not {self.songs}")
        if self.seed < 0:
            faults.append(f"seed must not be negative, not {self.seed}")
        if not 2.0 <= self.seconds <= 3600.0:
            faults.append(f"seconds must be from 2 to 3600, not {self.seconds}")
        if not 8000 <= self.sample_rate <= 192000:
            faults.append(f"sample rate must be from 8000 to 192000 Hz, not {self.sample_rate}")
        if len(self.splits) != len(SPLITS) or min(self.splits) <= 0 or not math.isclose(sum(self.splits), 1, abs_tol=1e-6):
            faults.append(f"splits must be three positive shares that add up to 1, not {self.splits}")
        if faults:
            raise ScoresepError("cannot render: " + "; ".join(faults))


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
    """

    out: Path
    tracks: dict[str, int]
    seconds: float
    made: int
    reused: int
    skipped: tuple[tuple[str, str], ...]
    held_out: dict[str, tuple[str, ...]]
    rejected: dict[str, str]


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
    songs, skipped = _songs(settings, jobs, progress)
    _claim(out, settings, songs)
    pool = patch_pool(settings.soundfonts, _groups(songs), settings.seed)
    tasks = [
        _Task(number, split, out / split / f"Track{number + 1:05d}", song)
        for number, (split, song) in enumerate(zip(split_sequence(len(songs), settings.splits), songs, strict=True))
    ]
    missing = [task for task in tasks if not task.folder.is_dir()]
    silent = _render_all(missing, settings, pool, jobs, progress, len(tasks))
    skipped += [(song.source, reason) for task in missing if (reason := silent.get(task.number)) and (song := task.song)]
    there = [task for task in tasks if task.number not in silent]
    return RenderReport(
        out=out,
        tracks={split: Counter(task.split for task in there)[split] for split in SPLITS},
        seconds=sum(task.song.seconds if task.song else settings.seconds for task in there),
        made=len(missing) - len(silent),
        reused=len(tasks) - len(missing),
        skipped=tuple(skipped),
        held_out=pool.held_out,
        rejected=pool.rejected,
    )


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split_sequence(count: int, shares: Sequence[float]) -> list[str]:
    """Split of song 0, 1, ... `count` - 1: each song goes where most is missing, so a longer sequence starts the same.

    Songs 0, 1, 2 are train, validation, test, so that three songs make a whole corpus.
    """
    counts = [0] * len(SPLITS)
    sequence = []
    for number in range(count):
        due = [share * (number + 1) - there for share, there in zip(shares, counts, strict=True)]
        chosen = number if number < len(SPLITS) else due.index(max(due))
        counts[chosen] += 1
        sequence.append(SPLITS[chosen])
    return sequence


# Songs


def _songs(settings: RenderSettings, jobs: int, progress: Progress) -> tuple[list[Song | None], list[tuple[str, str]]]:
    """The songs in their order (None: to be composed) and the MIDI files that gave none."""
    if settings.midi_dir is None:
        return [None] * (settings.songs or DEFAULT_SONGS), []
    read, skipped = _read_folder(settings.midi_dir, settings.seconds, jobs, progress)
    unique: dict[str, Song] = {}
    for song in read:
        if song.uuid in unique:
            skipped.append((song.source, f"the same music as {unique[song.uuid].source}"))
        else:
            unique[song.uuid] = song
    # An order that says nothing about names and folders: splits follow it.
    order = sorted(unique.values(), key=lambda song: _digest(f"{settings.seed} {song.uuid}".encode()))
    return list(order[: settings.songs]), sorted(skipped)


def _read_folder(folder: Path, seconds: float, jobs: int, progress: Progress) -> tuple[list[Song], list[tuple[str, str]]]:
    """Every MIDI file below `folder` as a song, ordered by path, and (file, reason) of those that cannot be read."""
    if not folder.is_dir():
        raise ScoresepError(f"MIDI folder {folder} does not exist; name a folder with .mid files")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _MIDI_SUFFIXES and path.is_file())
    if not files:
        raise ScoresepError(f"MIDI folder {folder} has no .mid or .midi files; name another folder")
    found: dict[int, Song | str] = {}
    calls = [joblib.delayed(_read_one)(number, path, folder, seconds) for number, path in enumerate(files)]
    for done, (number, song) in enumerate(_in_parallel(calls, jobs), start=1):
        found[number] = song
        progress(done, len(files), "reading MIDI")
    songs = [song for _, song in sorted(found.items()) if isinstance(song, Song)]
    skipped = [(_source(files[number], folder), song) for number, song in sorted(found.items()) if isinstance(song, str)]
    if not songs:
        raise ScoresepError(f"none of the {len(files)} MIDI files in {folder} can be used; the first: {skipped[0][1]}")
    return songs, skipped


def _read_one(number: int, path: Path, folder: Path, seconds: float) -> tuple[int, Song | str]:
    try:
        return number, read_song(path, _source(path, folder), seconds)
    except ScoresepError as fault:
        return number, str(fault)


def _source(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _groups(songs: Iterable[Song | None]) -> set[str]:
    """Groups that need patches."""
    groups: set[str] = set()
    for song in songs:
        groups |= set(GROUPS) if song is None else {name for part in song.parts if (name := group_name(part))}
    return groups


# The corpus folder


def _claim(out: Path, settings: RenderSettings, songs: Sequence[Song | None]) -> None:
    """See that `out` is free or holds the beginning of this corpus, and write its settings.

    Raises:
        ScoresepError: `out` is a file, holds something else, was made with another setting, or has more songs.
    """
    described = _described(settings, songs)
    path = out / SETTINGS_FILE
    remedy = "choose another folder or remove this one"
    if out.exists() and not out.is_dir():
        raise ScoresepError(f"{out} is not a folder; {remedy}")
    if path.is_file():
        _compare(out, _read_settings(path, remedy), described, remedy)
    elif out.is_dir() and any(out.iterdir()):
        raise ScoresepError(f"{out} is not empty and holds no rendered corpus; {remedy}")
    try:
        write_json(path, described)
        for split in SPLITS:
            for stale in (out / split).glob(temporary_name(Path("Track*")).name):
                shutil.rmtree(stale)
    except OSError as fault:
        raise ScoresepError(f"{out} cannot be written ({fault}); choose another folder") from fault


def _read_settings(path: Path, remedy: str) -> dict[str, object]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise ScoresepError(f"{path} is not readable ({fault}); {remedy}") from fault
    if not isinstance(settings, dict) or not isinstance(settings.get("songs"), int):
        raise ScoresepError(f"{path} does not describe a rendered corpus; {remedy}")
    return settings


def _compare(out: Path, there: dict[str, object], wanted: dict[str, object], remedy: str) -> None:
    for name, value in wanted.items():
        if name not in ("songs", "music") and there.get(name) != value:
            raise ScoresepError(f"{out} was rendered with {name} = {there.get(name)}, not {value}; {remedy}")
    if int(str(there["songs"])) > int(str(wanted["songs"])):
        raise ScoresepError(f"{out} was rendered with songs = {there['songs']}, more than {wanted['songs']}; {remedy}")
    music, new = there.get("music"), wanted["music"]
    if not isinstance(music, list) or not isinstance(new, list) or new[: len(music)] != music:
        raise ScoresepError(f"{out} was rendered from other MIDI files; {remedy}")


def _described(settings: RenderSettings, songs: Sequence[Song | None]) -> dict[str, object]:
    """Settings as JSON: SoundFonts by name and md5, MIDI songs by their fingerprints, no paths (a corpus may move)."""
    return {
        "render_version": RENDER_VERSION,
        "composer_version": COMPOSER_VERSION,
        "source": "composer" if settings.midi_dir is None else "midi",
        "seed": settings.seed,
        "seconds": settings.seconds,
        "sample_rate": settings.sample_rate,
        "splits": list(settings.splits),
        "soundfonts": {path.name: _digest(soundfont_bytes(path)) for path in settings.soundfonts},
        "songs": len(songs),
        "music": [song.uuid for song in songs if song],
    }


def _digest(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


# Rendering


def _render_all(
    tasks: Sequence[_Task], settings: RenderSettings, pool: PatchPool, jobs: int, progress: Progress, total: int
) -> dict[int, str]:
    """Make the tracks of `tasks`; number to reason of those that gave no sound."""
    done = total - len(tasks)
    progress(done, total, "rendering")
    silent = {}
    for number, fault in _in_parallel([joblib.delayed(_render_one)(task, settings, pool) for task in tasks], jobs):
        done += 1
        if fault:
            silent[number] = fault
        progress(done, total, "rendering")
    return silent


def _in_parallel(calls: list[tuple], jobs: int) -> Iterator[tuple]:
    """Results of delayed calls in the order they come; in this process where there is one job or one call."""
    if min(jobs, len(calls)) <= 1:
        return (function(*args, **kwargs) for function, args, kwargs in calls)
    return joblib.Parallel(n_jobs=min(jobs, len(calls)), return_as="generator_unordered", batch_size=1)(calls)


def _render_one(task: _Task, settings: RenderSettings, pool: PatchPool) -> tuple[int, str | None]:
    """Make one track: (its number, None or why it has no sound)."""
    song = task.song or _composed(settings, task.number)
    try:
        write_track(task.folder, song, draw_stems(song, task.split, settings, pool), settings.sample_rate)
    except SilentSong as fault:
        if task.song is None:
            raise
        return task.number, str(fault)
    return task.number, None


def _composed(settings: RenderSettings, number: int) -> Song:
    song = compose(np.random.default_rng([settings.seed, number]), settings.seconds)
    return replace(song, source=f"composed/{settings.seed}/{song.uuid}.mid")


def draw_stems(song: Song, split: str, settings: RenderSettings, pool: PatchPool) -> list[Stem]:
    """Give every part a patch of its group, drawn from those of the split, and a reverberation.

    Parts of one song with one program share a patch. A user's own program is not kept: its group is what is learnt, and
    variety of sounds is worth more. Programs outside all groups (effects, ethnic instruments) keep theirs; such a part is
    left out where no SoundFont has it.
    """
    rng = np.random.default_rng([settings.seed, int(song.uuid[:12], 16)])
    drawn: dict[tuple[str, int], Patch] = {}
    stems = []
    for part in song.parts:
        group = group_name(part)
        reverb = int(rng.integers(*_REVERB))
        if group is None:
            patch = own_patch(settings.soundfonts, part.program)
        else:
            key = (group, part.program)
            choices = pool.of(split)[group]
            fresh = [patch for patch in choices if patch not in drawn.values()] or list(choices)
            drawn.setdefault(key, fresh[int(rng.integers(len(fresh)))])
            patch = drawn[key]
        if patch is not None:
            stems.append(Stem(part, patch, reverb))
    return stems
