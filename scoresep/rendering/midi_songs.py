"""Users' MIDI files as songs: parts as they sound, cut to the stretch where most happens.
Kept: notes, velocities, bends, programs. The sustain pedal is turned into longer notes, so that the score says what
sounds. Volume, expression and panning are dropped: a part faded to nothing would have labels without sound.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from scoresep.errors import NothingToDo, ScoresepError
from scoresep.executor import Engine
from scoresep.files import existing_folder, files_below
from scoresep.instruments import DEFAULT_INSTRUMENTS, choose, group_of
from scoresep.rendering.settings import SETTINGS_FILE, Progress
from scoresep.rendering.song import AGAIN, CUT, Song, fingerprint, lost, tidied
from scoresep.score.parts import SCORE_SUFFIXES, Part, read_midi

TAIL_SECONDS = 1.0
"""Sound left after the last note of a song that is not cut."""
LONGEST_PEDAL = 8.0
"""Seconds that a pedal may lengthen a note: files exist whose pedal is never released."""
_RESOLUTION = 0.1


def read_folder(
    folder: Path, seconds: float, jobs: int, progress: Progress
) -> tuple[list[Song], list[tuple[str, str]]]:
    """Every MIDI file below `folder` as a song, ordered by path, and (file, reason) of those that cannot be read.

    Hidden files and what lies in a corpus that was rendered do not count.

    Raises:
        NotFound: there is no such folder.
        NothingToDo: it has no MIDI file that can be used.
    """
    existing_folder(folder, "MIDI folder", "name a folder with .mid files")
    inside = files_below(folder, enter=lambda inner: not (inner / SETTINGS_FILE).is_file())  # not into rendered corpora
    files = sorted(path for path in inside if path.suffix.lower() in SCORE_SUFFIXES)
    if not files:
        raise NothingToDo(f"no {', '.join(SCORE_SUFFIXES)} files", file=folder, remedy="name another MIDI folder")
    read: dict[Path, Song | str] = {}
    read_one = partial(_read_one, folder, seconds)
    for done, (path, song) in enumerate(Engine(jobs).map(read_one, files), start=1):
        read[path] = song
        progress(done, len(files), "reading MIDI")
    songs = [song for path in files if isinstance(song := read[path], Song)]
    skipped = [(_source(path, folder), reason) for path in files if isinstance(reason := read[path], str)]
    if not songs:
        problem = f"none of the {len(files)} MIDI files can be used; the first: {skipped[0][1]}"
        raise NothingToDo(problem, file=folder, remedy="name another MIDI folder")
    return songs, skipped


def _read_one(folder: Path, seconds: float, path: Path) -> tuple[Path, Song | str]:
    try:
        return path, read_song(path, _source(path, folder), seconds)
    except ScoresepError as fault:
        return path, str(fault).replace(f"{folder}{os.sep}", "")


def _source(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def read_song(path: Path, source: str, seconds: float) -> Song:
    """Read a MIDI file and keep `seconds` of it: where piano, guitar and bass sound together most, if they do.

    Raises:
        NothingToDo: the file has no notes.
        ScoresepError: it is not MIDI.
    """
    written = read_midi(path, LONGEST_PEDAL)
    if not written:
        raise NothingToDo("no notes", file=path, remedy="remove it")
    parts = [tidied(part, math.inf) for part in written]
    length = max(float(part.offset.max()) for part in parts)
    start = best_start(parts, seconds, length)
    kept = min(seconds, length - start + TAIL_SECONDS)
    cut = [_cut(part, start, kept) for part in parts]
    if not any(map(len, cut)):
        raise NothingToDo("no notes longer than a click", file=path, remedy="remove it")
    left_out = (*lost(source, written, parts, AGAIN), *lost(source, parts, cut, CUT))
    return Song(tuple(filter(len, cut)), kept, 120.0, fingerprint(parts), source, left_out=left_out)


def best_start(parts: Sequence[Part], seconds: float, length: float) -> float:
    """Start of the `seconds` in which piano, guitar and bass sound together most (then: most of the three).

    Where none of them plays, all parts count.
    """
    if length <= seconds:
        return 0.0
    instruments = choose(DEFAULT_INSTRUMENTS)
    groups = [group_of(part.program, part.is_drum, instruments) for part in parts]
    if not any(group is not None for group in groups):
        groups = [0] * len(groups)
    active = np.zeros((len(instruments), int(length / _RESOLUTION) + 1), dtype=bool)
    for part, group in zip(parts, groups, strict=True):
        if group is not None:
            for onset, offset in zip(part.onset, part.offset, strict=True):
                active[group, int(onset / _RESOLUTION) : int(offset / _RESOLUTION) + 1] = True
    worth = active.all(axis=0) + 0.1 * active.mean(axis=0)
    total = np.concatenate([[0.0], np.cumsum(worth)])
    window = int(seconds / _RESOLUTION)
    sums = total[window:] - total[:-window]
    return float(np.argmax(np.round(sums, 6)) * _RESOLUTION)


def _cut(part: Part, start: float, seconds: float) -> Part:
    """The part from `start` on; notes already sounding then start at 0, and the bend of that moment holds."""
    inside = (part.offset > start) & (part.onset < start + seconds)
    before = part.bend_time <= start
    bend_time = np.concatenate([[0.0] if before.any() else [], part.bend_time[~before] - start])
    bend = np.concatenate([part.bend[before][-1:], part.bend[~before]])
    late = bend_time < seconds
    moved = part.chosen(inside).shifted(-start)
    return tidied(replace(moved, bend_time=bend_time[late], bend=bend[late]), seconds)
