"""What a user wants separated or transcribed: files and folders to songs with names."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scoresep.audio.decoding.formats import AUDIO_SUFFIXES, FORMATS, UNREAD_SUFFIXES, conversion
from scoresep.errors import ScoresepError
from scoresep.files import files_below, is_folder, same_file
from scoresep.score.parts import SCORE_SUFFIXES

LONGEST_NAME = 250
"""Bytes of a result's name, to which `.mid` is added; file systems take 255."""


@dataclass(frozen=True)
class Song:
    """An audio file and the name of its results.

    Attributes:
        path: the file.
        name: its name without suffix; for one found in a folder, with the folders below that one: `album/song`.
            Two that would be called alike are told apart (`told_apart`).
        alone: whether the user named it, and nothing else.
        root: the folder given that it was found in; None for a file that was named.
    """

    path: Path
    name: str
    alone: bool = False
    root: Path | None = None


def find_songs(given: Sequence[str | Path], out: str | Path) -> list[Song]:
    """The songs meant by files and folders, in the order given, those of a folder by name.

    Of a folder, whatever ends like audio counts, also in folders below it and those that are linked; hidden ones do
    not, nor do those within `out`, where the results go, if that is below. A file that was given twice counts once.
    A file that is not there or no audio is found out when it is read.

    Raises:
        ScoresepError: a folder without audio or that cannot be read.
    """
    songs: list[Song] = []
    for path in map(Path, given):
        if not is_folder(path):
            songs.append(Song(path, result_name(path), alone=len(given) == 1))
            continue
        found = [
            Song(file, (file.parent.relative_to(path) / result_name(file)).as_posix(), root=path)
            for file in _audio_below(path, Path(out))
        ]
        if not found:
            raise ScoresepError(
                f"{path} holds no audio; {unread_note([path]) or f'give a folder with {FORMATS} files'}"
            )
        songs += found
    return told_apart(without_repeats(songs))


def unread_note(given: Sequence[str | Path]) -> str:
    """A line on the audio in the folders given that is not read, and what to do; '' if there is none."""
    inside = (path for folder in given if is_folder(folder) for path in files_below(folder))
    paths = [path for path in inside if path.suffix.lower() in UNREAD_SUFFIXES]
    if not paths:
        return ""
    named = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
    count = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    return f"{count} of a format that is not read passed over ({named}); {conversion(paths[0])}"


def _audio_below(folder: Path, out: Path) -> Iterator[Path]:
    for path in files_below(folder, enter=lambda inner: inner.parent == folder or not same_file(inner.parent, out)):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            yield path


def result_name(path: Path) -> str:
    """What results of a file are called: its name without suffix, as far as that can be the name of a file.

    Without dots and blanks at its ends, which hide a file, lead out of the folder (`..`) or are lost on some systems.
    """
    name = path.stem.lstrip(".").rstrip(". ") or path.suffix.strip(".") or "audio"
    return _shortened(name)


def _shortened(name: str) -> str:
    """The name, or its beginning and a digest where it is too long to become one of a file."""
    if len(os.fsencode(name)) <= LONGEST_NAME:
        return name
    digest = _digest(name)
    while len(os.fsencode(f"{name}~{digest}")) > LONGEST_NAME:
        name = name[:-1]
    return f"{name}~{digest}"


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def without_repeats(songs: Sequence[Song]) -> list[Song]:
    """The songs without those of the same file, by a link perhaps, that would be called alike."""
    kept: dict[str, list[Song]] = {}
    for song in songs:
        known = kept.setdefault(song.name, [])
        if not any(other.path == song.path or same_file(other.path, song.path) for other in known):
            known.append(song)
    there = {id(song) for known in kept.values() for song in known}
    return [song for song in songs if id(song) in there]


def told_apart(songs: Sequence[Song]) -> list[Song]:
    """The songs with names that no file system takes for the same: letters' case and composition make no difference.

    All that share a name get the first of these that tells them apart, whatever their order: `song-wav`, by the
    suffix; `album/song`, by the folder; `album/song~1a2b3c4d`, by a digest of the file's whole name.
    """
    names = [song.name for song in songs]
    for way in (_by_suffix, _by_folder, _by_digest):
        shared = Counter(map(_key, names))
        names = [way(song) if shared[_key(name)] > 1 else name for song, name in zip(songs, names, strict=True)]
    return [replace(song, name=name) for song, name in zip(songs, names, strict=True)]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _by_suffix(song: Song) -> str:
    folder, _, name = song.name.rpartition("/")
    return (Path(folder) / _shortened("-".join(filter(None, (name, song.path.suffix.strip(".")))))).as_posix()


def _by_folder(song: Song) -> str:
    folder = song.path.parent if song.root is None else song.root
    return (Path(folder.resolve().name) / song.name).as_posix()


def _by_digest(song: Song) -> str:
    folder, _, name = _by_folder(song).rpartition("/")
    return (Path(folder) / _shortened(f"{name}~{_digest(str(song.path.parent.resolve() / song.path.name))}")).as_posix()


def without_results(songs: Sequence[Song], folder_of: Callable[[Song], Path], names: Collection[str]) -> list[Song]:
    """The songs without what an earlier run has written among them, where `--out` is the folder that they lie in.

    Args:
        folder_of: where the results of a song go.
        names: what they are called there, without suffix.
    """
    results = {identity for song in songs if (identity := _identity(folder_of(song)))}
    return [
        song
        for song in songs
        if song.root is None or song.path.stem not in names or _identity(song.path.parent) not in results
    ]


def check_no_loss(songs: Sequence[Song], results_of: Callable[[Song], Collection[Path]]) -> None:
    """Refuse songs whose results would take the place of one of the recordings.

    Args:
        results_of: the files that the results of a song may replace.

    Raises:
        ScoresepError: names the recording, and the song whose results would.
    """
    recordings = {_identity(song.path): song.path for song in songs}
    for song in songs:
        for path in results_of(song):
            if (identity := _identity(path)) and identity in recordings:
                raise ScoresepError(
                    f"a stem of {song.path} would take the place of the recording {recordings[identity]} itself; "
                    "give another --out"
                )


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def find_score(given: str | Path, song: Song) -> Path:
    """The score of a song: the file given, or in the folder given the one with the song's name.

    Raises:
        ScoresepError: the folder has none.
    """
    given = Path(given)
    if not is_folder(given):
        return given
    beside = (Path(song.name).parent / song.path.stem).as_posix()  # of `song-wav` and `song-mp3`, say
    for name in (unicodedata.normalize(form, name) for name in (song.name, beside) for form in ("NFC", "NFD")):
        for suffix in SCORE_SUFFIXES:
            if (score := given / f"{name}{suffix}").exists():
                return score
    raise ScoresepError(f"{given} has no {song.name}{SCORE_SUFFIXES[0]}, the score of {song.path}; add it")
