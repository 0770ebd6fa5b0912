"""What a user wants separated or transcribed: files and folders to songs with names. Called by the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scoresep.decoding.formats import AUDIO_SUFFIXES, FORMATS, UNREAD_SUFFIXES, remedy
from scoresep.errors import ScoresepError
from scoresep.features.score import SCORE_SUFFIXES


@dataclass(frozen=True)
class Song:
    """An audio file and the name of its results.

    Attributes:
        path: the file.
        name: its name without suffix; for one found in a folder, with the folders below that one: `album/song`.
        alone: whether the user named it, and nothing else.
    """

    path: Path
    name: str
    alone: bool = False


def find_songs(given: Sequence[str | Path], out: str | Path) -> list[Song]:
    """The songs meant by files and folders, in the order given, those of a folder by name.

    Of a folder, whatever ends like audio counts, also in folders below it; hidden ones and what lies in `out`, where
    the results go, do not. A file that is not there or no audio is found out when it is read.

    Raises:
        ScoresepError: a folder without audio or that cannot be read; two songs with the same name.
    """
    songs: list[Song] = []
    for path in map(Path, given):
        if not path.is_dir():
            songs.append(Song(path, path.stem, alone=len(given) == 1))
            continue
        found = [
            Song(file, file.relative_to(path).with_suffix("").as_posix()) for file in _audio_below(path, Path(out))
        ]
        if not found:
            raise ScoresepError(
                f"{path} holds no audio; {unread_note([path]) or f'give a folder with {FORMATS} files'}"
            )
        songs += found
    first: dict[str, Song] = {}
    for song in songs:
        known = first.setdefault(song.name.casefold(), song)  # file systems that ignore case exist
        if known is not song:
            raise ScoresepError(
                f"{known.path} and {song.path} would both be written as '{song.name}'; rename one or run them apart"
            )
    return songs


def unread_note(given: Sequence[str | Path]) -> str:
    """A line on the audio in the folders given that is not read, and what to do; '' if there is none."""
    paths = [
        Path(place, name)
        for folder in given
        for place, _, names in os.walk(folder)
        for name in sorted(names)
        if not name.startswith(".") and Path(name).suffix.lower() in UNREAD_SUFFIXES
    ]
    if not paths:
        return ""
    named = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
    count = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    return f"{count} of a format that is not read passed over ({named}); {remedy(paths[0].name)}"


def _audio_below(folder: Path, out: Path) -> Iterator[Path]:
    left_out = out.resolve()
    for place, inner, names in os.walk(folder, onerror=_refuse):
        inner[:] = sorted(
            name for name in inner if not name.startswith(".") and Path(place, name).resolve() != left_out
        )
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield Path(place, name)


def _refuse(fault: OSError) -> None:
    raise ScoresepError(f"folder {fault.filename} cannot be read ({fault.strerror}); check its permissions")


def find_score(given: str | Path, song: Song) -> Path:
    """The score of a song: the file given, or in the folder given the one with the song's name.

    Raises:
        ScoresepError: the folder has none.
    """
    given = Path(given)
    if not given.is_dir():
        return given
    for suffix in SCORE_SUFFIXES:
        if (score := given / f"{song.name}{suffix}").exists():
            return score
    raise ScoresepError(f"{given} has no {song.name}{SCORE_SUFFIXES[0]}, the score of {song.path}; add it")
