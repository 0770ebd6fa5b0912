"""Recordings with their scores, without stems: a folder of `song.wav` and `song.mid`.
Which parts of a MIDI file belong to which instrument is decided where it is read (`cache.track`), by
`instruments.group_of`. docs/reference/data.md tells how a folder is laid out.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

from scoresep.audio.decoding.formats import AUDIO_SUFFIXES, FORMATS, UNREAD_SUFFIXES, remedy
from scoresep.datasets.base import Corpus, Track
from scoresep.datasets.splits import apply_split_file, assign_splits, deduplicated, read_split_csv
from scoresep.errors import ScoresepError
from scoresep.files import files_below
from scoresep.score.parts import SCORE_SUFFIXES


def open_pairs(root: str | Path, splits: str | Path | None = None, seed: int = 0, dedupe: bool = False) -> Corpus:
    """List the pairs below `root`, without opening audio or parsing MIDI.

    A recording without a score, or a score without a recording, is a track with a `problem`. The identity of a
    composition is the hash of its MIDI file.

    Args:
        splits: a CSV file with the columns name and split; None: 80 % training, 10 % validation and 10 % test by the
            hash of `seed` and composition.
        dedupe: omit training and validation tracks whose score lies in a split that is worth more, too.

    Raises:
        ScoresepError: there is no such folder, no pair in it, or the CSV file does not fit.
    """
    root = Path(root).absolute()
    if not root.is_dir():
        raise ScoresepError(
            f"corpus {root} is not a folder; give the folder that holds recordings and their MIDI files"
        )
    tracks = tuple(read_pair(name, files) for name, files in sorted(named_files(root).items()))
    if not any(track.mixture and track.score for track in tracks):
        first = f" ({tracks[0].problem})" if tracks else ""
        raise ScoresepError(
            f"{root} holds no recording with its score{first}; put song.wav (or {FORMATS}) and song.mid side by side"
        )
    if splits is None:
        tracks, split_set = assign_splits(tracks, salt=f"{seed}:"), f"seed-{seed}"
    else:
        file = read_split_csv(splits, {track.id for track in tracks})
        tracks, split_set = apply_split_file(tracks, file), file.name
    corpus = Corpus("pairs", root, split_set, (), tracks, has_stems=False)
    return deduplicated(corpus) if dedupe else corpus


def named_files(root: Path) -> dict[str, list[Path]]:
    """Audio and MIDI files below `root` by their path from there without suffix, hidden ones left out; audio that is
    not read is among them, so that it can be named.

    Links to folders are followed, but no folder is visited twice.
    """
    found: dict[str, list[Path]] = {}
    for path in files_below(root):
        if path.suffix.lower() in AUDIO_SUFFIXES + UNREAD_SUFFIXES + SCORE_SUFFIXES:
            name = path.relative_to(root).with_suffix("").as_posix()
            text = os.fsencode(name).decode("utf-8", errors="replace")
            found.setdefault(unicodedata.normalize("NFC", text), []).append(path)  # a Mac takes letters apart
    return found


def read_pair(name: str, files: list[Path]) -> Track:
    """The track of the files that share a name; what cannot be used comes back with its `problem` set."""
    audio = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    scores = [path for path in files if path.suffix.lower() in SCORE_SUFFIXES]
    if problem := problem_of(name, files, audio, scores):
        return Track(name, "", problem=problem)
    try:
        identity = hashlib.sha256(scores[0].read_bytes()).hexdigest()[:32]
    except OSError as fault:
        return Track(name, "", problem=f"{scores[0].name} cannot be read ({fault.strerror})")
    return Track(name, "", uuid=identity, mixture=audio[0], score=scores[0])


def problem_of(name: str, files: list[Path], audio: list[Path], scores: list[Path]) -> str:
    """Why the files of one name, recordings and scores among them, are no pair, or ''."""
    if "\N{REPLACEMENT CHARACTER}" in name:
        return "its file name is not UTF-8; rename it"
    for kind, paths in (("recordings", audio), ("scores", scores)):
        if len(paths) > 1:
            return f"{len(paths)} {kind} of one name ({', '.join(path.name for path in paths)}); keep one"
    if not audio and len(files) > len(scores):
        unread = next(path for path in files if path not in scores)
        return f"{unread.name} is in a format that is not read; {remedy(unread.name)}"
    if not scores:
        return f"{audio[0].name} has no score; put {audio[0].stem}.mid beside it"
    if not audio:
        return f"{scores[0].name} has no recording; put {scores[0].stem}.wav beside it"
    return ""
