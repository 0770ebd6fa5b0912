"""Recordings with their scores, without stems: a folder of `song.wav` and `song.mid`.

docs/reference/data.md tells how a folder is laid out. Track names and programs say which instrument a part of a score
is for (`instruments.group_of`). Some recordings may have `song.csv` instead, weak labels (`score.weak_labels`).
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path
from typing import Annotated

from scoresep.audio.decoding.formats import AUDIO_SUFFIXES, FORMATS, UNREAD_SUFFIXES, conversion
from scoresep.datasets.base import Corpus, Dataset, Track, dataset_folder
from scoresep.datasets.splits import apply_split_file, assign_splits, read_split_csv
from scoresep.errors import NotFound
from scoresep.files import files_below
from scoresep.instruments import DEFAULT_INSTRUMENTS, OTHER
from scoresep.score.reading import MUSICXML_SUFFIXES, WRITTEN_SUFFIXES
from scoresep.score.weak_labels import LABELS_SUFFIX


def open_pairs(
    root: str | Path,
    splits: Annotated[Path | None, "CSV file with the columns name and split; default: by chance."] = None,
    seed: Annotated[int, "Of the splits by chance."] = 0,
    align: Annotated[bool, "Align the scores with the recordings first; they may be MusicXML, too."] = False,
) -> Corpus:
    """List the pairs below `root`, without opening audio or parsing MIDI.

    A recording without a score, or a score without a recording, is a track with a `problem`. The identity of a
    composition is the hash of its MIDI file.

    Args:
        root: the folder; recordings and scores may lie in folders below it.
        splits: a CSV file with the columns name and split; None: 80 % training, 10 % validation and 10 % test by the
            hash of `seed` and composition.
        seed: for splits by chance.
        align: whether scores are aligned when the tracks are compiled; what is not trusted then is left out.

    Raises:
        ScoresepError: there is no such folder, no pair in it, or the CSV file does not fit.
    """
    root = dataset_folder(root).absolute()
    tracks = tuple(read_pair(name, files, align) for name, files in sorted(named_files(root).items()))
    if not any(track.mixture and track.score for track in tracks):
        first = f" ({tracks[0].problem})" if tracks else ""
        raise NotFound(
            f"no recording with its score in it{first}",
            file=root,
            remedy=f"put song.wav (or {FORMATS}) and song.mid side by side",
        )
    if splits is None:
        tracks, split_set = assign_splits(tracks, salt=f"{seed}:"), f"seed-{seed}"
    else:
        file = read_split_csv(splits, {track.id for track in tracks})
        tracks, split_set = apply_split_file(tracks, file), file.name
    return Corpus("pairs", root, split_set, ("aligned",) * align, tracks, has_stems=False)


def named_files(root: Path) -> dict[str, list[Path]]:
    """Recordings and scores below `root` by their path from there without suffix, hidden ones left out; audio that is
    not read is among them, so that it can be named.

    Links to folders are followed, but no folder is visited twice. A CSV file counts only beside a recording.
    """
    files: dict[str, list[Path]] = {}
    for path in files_below(root):
        if path.suffix.lower() in (*AUDIO_SUFFIXES, *UNREAD_SUFFIXES, *WRITTEN_SUFFIXES, LABELS_SUFFIX):
            name = path.relative_to(root).with_suffix("").as_posix()
            text = os.fsencode(name).decode("utf-8", errors="replace")
            files.setdefault(unicodedata.normalize("NFC", text), []).append(path)  # a Mac takes letters apart
    return {name: paths for name, paths in files.items() if not all(map(is_labels, paths))}


def is_labels(path: Path) -> bool:
    return path.suffix.lower() == LABELS_SUFFIX


def read_pair(name: str, files: list[Path], align: bool = False) -> Track:
    """The track of the files that share a name; what cannot be used comes back with its `problem` set."""
    audio = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    scores = [path for path in files if path.suffix.lower() in WRITTEN_SUFFIXES]
    labels = [path for path in files if is_labels(path) and not scores]
    files = [path for path in files if path in labels or not is_labels(path)]
    if problem := problem_of(name, files, audio, scores or labels):
        return Track(name, "", problem=problem)
    if labels:
        return Track(name, "", mixture=audio[0], labels=labels[0])
    if not align and scores[0].suffix.lower() in MUSICXML_SUFFIXES:
        return Track(name, "", problem=f"{scores[0].name} is not in time with a recording; --align aligns it")
    try:
        identity = hashlib.sha256(scores[0].read_bytes()).hexdigest()[:32]
    except OSError as fault:
        return Track(name, "", problem=f"{scores[0].name} cannot be read ({fault.strerror})")
    return Track(name, "", uuid=identity, mixture=audio[0], score=scores[0], align=align)


def problem_of(name: str, files: list[Path], audio: list[Path], scores: list[Path]) -> str:
    """Why the files of one name, recordings and scores among them, are no pair, or ''."""
    if "\N{REPLACEMENT CHARACTER}" in name:
        return "its file name is not UTF-8; rename it"
    for kind, paths in (("recordings", audio), ("scores", scores)):
        if len(paths) > 1:
            return f"{len(paths)} {kind} of one name ({', '.join(path.name for path in paths)}); keep one"
    if not audio and len(files) > len(scores):
        unread = next(path for path in files if path not in scores)
        return f"{unread.name} is in a format that is not read; {conversion(unread)}"
    if not scores:
        return f"{audio[0].name} has no score; put {audio[0].stem}.mid beside it"
    if not audio:
        return f"{scores[0].name} has no recording; put {scores[0].stem}.wav beside it"
    return ""


PAIRS = Dataset(
    open_pairs,
    about="""Compile recordings with their scores: song.mp3 beside song.mid. No stems are needed.

    The scores must be in time with the recordings, or --align puts them so: then another tempo, key or form will do,
    and MusicXML; what is not trusted is left out. Parts are grouped by track name or program.

    Example: scoresep prepare pairs ~/songs --out cache.h5 --instruments piano,bass,drums,other""",
    folder=f"Folder with recordings ({FORMATS}) and scores of the same name.",
    instruments=(*DEFAULT_INSTRUMENTS, OTHER.name),  # a recording holds all that plays in it
    has_stems=False,
)
