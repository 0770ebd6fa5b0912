"""What a user wants separated or transcribed: files and folders to recordings with names, done one by one."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scoresep.audio.decoding.formats import AUDIO_SUFFIXES, FORMATS, UNREAD_SUFFIXES, conversion
from scoresep.cli.options import DEFAULT_CHECKPOINT
from scoresep.console import console, errors, meter, one_line
from scoresep.errors import AlreadyExists, Mismatch, NotFound, NothingToDo, ScoresepError, Unwritable
from scoresep.files import files_below, is_folder, same_file
from scoresep.machine import use_threads
from scoresep.score.parts import SCORE_SUFFIXES

if TYPE_CHECKING:
    from scoresep.audio.source import Progress
    from scoresep.models.model import Model

LONGEST_RESULT_NAME = 250
"""Bytes of a result's name, to which `.mid` is added; file systems take 255."""


@dataclass(frozen=True)
class Recording:
    """An audio file and the name of its results.

    Attributes:
        path: the file.
        name: its name without suffix; for one found in a folder, with the folders below that one: `album/song`.
            Two that would be called alike are told apart (`distinct_names`).
        alone: whether the user named it, and nothing else.
        root: the folder given that it was found in; None for a file that was named.
    """

    path: Path
    name: str
    alone: bool = False
    root: Path | None = None


def find_recordings(paths: Sequence[str | Path], out: str | Path) -> list[Recording]:
    """The recordings meant by files and folders, in the order given, those of a folder by name.

    Of a folder, whatever ends like audio counts, also in folders below it and those that are linked; hidden ones do
    not, nor do those in folders of `out`, where the results go, if that is below. A file that was given twice counts
    once. A file that is missing or no audio is found out when it is read.

    Raises:
        NothingToDo: a folder without audio.
        ScoresepError: a folder that cannot be read.
    """
    recordings: list[Recording] = []
    for path in map(Path, paths):
        if not is_folder(path):
            recordings.append(Recording(path, result_name(path), alone=len(paths) == 1))
            continue
        inside = [
            Recording(file, (file.parent.relative_to(path) / result_name(file)).as_posix(), root=path)
            for file in _audio_below(path, Path(out))
        ]
        if not inside:
            remedy = unread_note([path]) or f"give a folder with {FORMATS} files"
            raise NothingToDo("no audio", file=path, remedy=remedy)
        recordings += inside
    return distinct_names(without_duplicates(recordings))


def listed(paths: Sequence[Path], out: Path) -> list[Recording]:
    """`find_recordings`, with lines on standard error on the audio that is passed over."""
    recordings = find_recordings(paths, out)
    for note in notes(paths, out):
        errors.print(one_line(note), markup=False)
    return recordings


def notes(paths: Sequence[Path], out: Path) -> list[str]:
    """Lines on the audio in folders that is passed over: taken for results, or of a format that is not read."""
    folders = [path for path in paths if is_folder(path)]
    audio = [path for folder in folders for path in files_below(folder) if path.suffix.lower() in AUDIO_SUFFIXES]
    inside = len(audio) - sum(1 for folder in folders for _ in _audio_below(folder, out))
    results = f"{inside} audio file{'s' * (inside > 1)} in folders of {out} taken for results" if inside else ""
    return [note for note in (results, unread_note(paths)) if note]


def unread_note(paths: Sequence[str | Path]) -> str:
    """A line on the audio in the folders given that is not read, and what to do; '' if there is none."""
    inside = (path for folder in paths if is_folder(folder) for path in files_below(folder))
    unread = [path for path in inside if path.suffix.lower() in UNREAD_SUFFIXES]
    if not unread:
        return ""
    named = ", ".join(map(str, unread[:3])) + (", ..." if len(unread) > 3 else "")
    count = "1 file" if len(unread) == 1 else f"{len(unread)} files"
    return f"{count} of a format that is not read passed over ({named}); {conversion(unread[0])}"


def _audio_below(folder: Path, out: Path) -> Iterator[Path]:
    for path in files_below(folder, enter=lambda inner: inner.parent == folder or not same_file(inner.parent, out)):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            yield path


def result_name(path: Path) -> str:
    """What results of a file are called: its name without suffix, as far as that can be the name of a file.

    Without dots and blanks at its ends, which hide a file, lead out of the folder (`..`) or are lost on some systems.
    """
    return _shortened(path.stem.lstrip(".").rstrip(". ") or path.suffix.strip(".") or "audio")


def _shortened(name: str) -> str:
    """The name, or its beginning and a digest where it is too long to become one of a file."""
    if len(os.fsencode(name)) <= LONGEST_RESULT_NAME:
        return name
    digest = _digest(name)
    while len(os.fsencode(f"{name}~{digest}")) > LONGEST_RESULT_NAME:
        name = name[:-1]
    return f"{name}~{digest}"


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def without_duplicates(recordings: Sequence[Recording]) -> list[Recording]:
    """The recordings without those of the same file, by a link perhaps, that would be called alike."""
    kept: list[Recording] = []
    by_name: dict[str, list[Path]] = {}
    for recording in recordings:
        known = by_name.setdefault(recording.name, [])
        if not any(path == recording.path or same_file(path, recording.path) for path in known):
            known.append(recording.path)
            kept.append(recording)
    return kept


def distinct_names(recordings: Sequence[Recording]) -> list[Recording]:
    """The recordings with names that differ on every file system, whatever letters' case and composition.

    All that share a name get the first of these that tells them apart, whatever their order: `song-wav`, by the
    suffix; `album/song`, by the folder; `album/song~1a2b3c4d`, by a digest of the file's whole name.
    """
    names = [recording.name for recording in recordings]
    for way in (_by_suffix, _by_folder, _by_digest):
        shared = Counter(map(_key, names))
        names = [
            way(recording) if shared[_key(name)] > 1 else name
            for recording, name in zip(recordings, names, strict=True)
        ]
    return [replace(recording, name=name) for recording, name in zip(recordings, names, strict=True)]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _by_suffix(recording: Recording) -> str:
    folder, _, name = recording.name.rpartition("/")
    parts = filter(None, (name, recording.path.suffix.strip(".")))
    return (Path(folder) / _shortened("-".join(parts))).as_posix()


def _by_folder(recording: Recording) -> str:
    folder = recording.root or recording.path.parent
    return (Path(folder.resolve().name) / recording.name).as_posix()


def _by_digest(recording: Recording) -> str:
    folder, _, name = _by_folder(recording).rpartition("/")
    digest = _digest(str(recording.path.parent.resolve() / recording.path.name))
    return (Path(folder) / _shortened(f"{name}~{digest}")).as_posix()


def without_results(
    recordings: Sequence[Recording], folder_of: Callable[[Recording], Path], names: Collection[str]
) -> list[Recording]:
    """The recordings without what an earlier run has written among them, where `--out` is the folder that they lie in.

    Args:
        folder_of: where the results of a recording go.
        names: what they are called there, without suffix.
    """
    results = {identity for recording in recordings if (identity := _identity(folder_of(recording)))}
    return [
        recording
        for recording in recordings
        if recording.root is None or recording.path.stem not in names or _identity(recording.path.parent) not in results
    ]


def check_no_loss(recordings: Sequence[Recording], results_of: Callable[[Recording], Collection[Path]]) -> None:
    """Refuse recordings whose results would take the place of one of the recordings.

    Args:
        results_of: the files that the results of a recording may replace.

    Raises:
        AlreadyExists: it names the recording, and the one whose results would.
    """
    originals = {_identity(recording.path): recording.path for recording in recordings}
    for recording in recordings:
        for path in results_of(recording):
            if (identity := _identity(path)) and identity in originals:
                problem = f"a stem of {recording.path} would take the place of this recording"
                raise AlreadyExists(problem, file=originals[identity], remedy="give another --out")


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def check_scores(score: Path, recordings: Sequence[Recording]) -> None:
    """Refuse one score for several recordings.

    Raises:
        Mismatch: it is no folder.
    """
    if len(recordings) > 1 and not score.is_dir():
        problem = f"the score of one of {len(recordings)} files"
        raise Mismatch(problem, file=score, remedy="give a folder of scores named alike")


def find_score(score: str | Path, recording: Recording, suffixes: Sequence[str] = SCORE_SUFFIXES) -> Path:
    """The score of a recording: the file given, or in the folder given the one with the recording's name.

    Raises:
        NotFound: the folder has none.
    """
    place = Path(score)
    if not is_folder(place):
        return place
    beside = (Path(recording.name).parent / recording.path.stem).as_posix()  # of `song-wav` and `song-mp3`, say
    for name in (unicodedata.normalize(form, name) for name in (recording.name, beside) for form in ("NFC", "NFD")):
        for suffix in suffixes:
            if (file := place / f"{name}{suffix}").exists():
                return file
    problem = f"no {recording.name}{suffixes[0]}, the score of {recording.path}"
    raise NotFound(problem, file=place, remedy="add it")


def each_recording(
    recordings: Sequence[Recording],
    work: Callable[[Recording, Progress], Iterable[str]],
    results_of: Callable[[Recording], Iterable[Path]],
    force: bool,
) -> None:
    """Do `work` for every recording and print the lines that it returns; one that fails gets a line and is passed over.

    Of several recordings those whose results are all there are passed over, so that the same command goes on after a
    stop. One that was named alone goes to `work`, which refuses it.

    Args:
        results_of: the files that are made of a recording.
        force: whether all are done anew.

    Raises:
        ScoresepError: the only recording failed, or the disk is full.
        typer.Exit: some of several recordings failed (status 2).
    """
    left = [r for r in recordings if force or r.alone or not all(path.exists() for path in results_of(r))]
    if done := len(recordings) - len(left):
        console.print(
            f"{done} of {len(recordings)} files have results of their names already and are passed over; "
            "--force makes them anew, another --out keeps both"
        )
    failed = 0
    for recording in left:
        try:
            lines = with_meter(recording, work)
        except ScoresepError as fault:
            if len(recordings) == 1 or (isinstance(fault, Unwritable) and fault.no_room):
                raise
            failed += 1
            errors.print(f"error: {one_line(str(fault))}", markup=False)
            continue
        for line in lines:
            console.print(one_line(line), markup=False)
    if failed:
        console.print(f"{len(recordings) - failed} of {len(recordings)} files are done")
        raise typer.Exit(2)


def with_meter(recording: Recording, work: Callable[[Recording, Progress], Iterable[str]]) -> Iterable[str]:
    """What `work` returns; the terminal shows how far it is."""
    with meter("s of audio") as shown:
        return work(recording, lambda what, done, total: shown(f"{what} {recording.name}", done, total))


def load_model(ckpt: Path | None, device: str, *, separates: bool = True) -> Model:
    """The networks of a checkpoint on a device, with all cores at work; None: this folder's, or the pretrained one.

    Args:
        separates: whether the separator is needed, which stage 1 does not train.

    Raises:
        Mismatch: it is needed, and untrained.
        ScoresepError: as `load_checkpoint` and `choose_device`.
    """
    from scoresep.machine import choose_device
    from scoresep.models.checkpoint import load_checkpoint, untrained_separator
    from scoresep.pretrained import SHIPPED_MODEL

    use_threads()
    if ckpt is None and DEFAULT_CHECKPOINT.exists():
        ckpt = DEFAULT_CHECKPOINT
        console.print(f"with {ckpt} of this folder", markup=False)
    elif ckpt is None:
        console.print("with the model that comes with scoresep: see `scoresep info`", markup=False)
    checkpoint = load_checkpoint(SHIPPED_MODEL if ckpt is None else ckpt)
    if separates and not checkpoint.separates:
        raise untrained_separator(ckpt)
    return checkpoint.model.eval().to(choose_device(device))
