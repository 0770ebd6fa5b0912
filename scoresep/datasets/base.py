"""A dataset as a list of tracks, each with the paths of its audio and its labels.

Listing opens no audio and no label file: what is wrong with one is found when its track is compiled. A track has either
stems, each with audio and a score, or one recording of everything and one score.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from scoresep.errors import Damaged, NotFound, ScoresepError, first_line
from scoresep.files import is_folder
from scoresep.instruments import DEFAULT_INSTRUMENTS
from scoresep.score.parts import Part, read_midi

ScoreReader = Callable[[Path], list[Part]]
"""Reads the labels of one file: `read_midi`, or a function at the top level of a module, which workers import."""


def parts_of(path: Path, read: ScoreReader) -> list[Part]:
    """The parts that a reader, which may be another package's, finds in a file of labels.

    Raises:
        ScoresepError: as the reader does.
        Damaged: it fails in another way.
    """
    try:
        return read(path)
    except ScoresepError:
        raise
    except Exception as fault:  # whatever comes of a file that the reader does not expect
        problem = f"its labels cannot be read ({type(fault).__name__}: {first_line(fault)})"
        raise Damaged(problem, file=path, remedy="correct the file, or its reader") from fault


@dataclass(frozen=True)
class Stem:
    """One part of a track.

    Attributes:
        name: its name in the corpus, such as S01.
        program: MIDI program of the metadata, 0-127, or 128 for drums.
        is_drum: whether the metadata calls it drums.
        audio: its audio file, which exists.
        score: the file with its labels, or None if there is none.
        transpose: semitones from the written to the sounding pitch (a label rule of the dataset).
        read_score: reads `score`.
    """

    name: str
    program: int
    is_drum: bool
    audio: Path
    score: Path | None
    transpose: int = 0
    read_score: ScoreReader = read_midi

    def load_parts(self) -> list[Part]:
        """The parts of the score at their sounding pitch.

        Raises:
            NotFound: there is no score.
            ScoresepError: it cannot be read.
        """
        if self.score is None:
            raise NotFound(f"stem {self.name} has audio but no MIDI file")
        return [part.transposed(self.transpose) for part in parts_of(self.score, self.read_score)]


@dataclass(frozen=True)
class Track:
    """One piece of music.

    Attributes:
        id: unique within the corpus.
        split: `train`, `validation` or `test`; '' if the track is not to be used.
        uuid: identity of the composition; tracks that share it are the same music.
        stems: parts whose audio exists.
        problem: why the track cannot be used, or ''.
        omitted: why it is left out although it could be used (the split set says so, a duplicate), or ''.
        remark: something odd about a track that can be used all the same, or ''.
        unheard: names of parts that have no audio: stems that were never rendered.
        mixture, score: for a track without stems, its recording and the file with the labels of all that plays in it.
        labels: instead of a score, a file of weak labels (`score.weak_labels`); the track is for training only.
        read_score: reads `score`.
        align: whether `score` has to be aligned with `mixture` first.
    """

    id: str
    split: str
    uuid: str = ""
    stems: tuple[Stem, ...] = ()
    problem: str = ""
    omitted: str = ""
    remark: str = ""
    mixture: Path | None = None
    score: Path | None = None
    unheard: tuple[str, ...] = ()
    read_score: ScoreReader = read_midi
    align: bool = False
    labels: Path | None = None

    def load_parts(self) -> list[Part]:
        """The parts of the recording's score; name and program of a part tell its instrument.

        Raises:
            ScoresepError: there is no score, or it cannot be read.
        """
        if self.score is None:
            raise NotFound(f"track {self.id} has no score")
        return parts_of(self.score, self.read_score)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that compiling it reads."""
        pairs = [(stem.audio, stem.score) for stem in self.stems] + [(self.mixture, self.score or self.labels)]
        return tuple(path for pair in pairs for path in pair if path is not None)


@dataclass(frozen=True)
class Corpus:
    """The tracks of a dataset on disk in a fixed order, with what results must name.

    Attributes:
        name: of the dataset: slakh, rendered, pairs, ...
        root: folder it was read from.
        split_set: which split of the dataset the tracks follow.
        rules: names of the label rules that were applied.
        tracks: ordered by id.
        has_stems: whether isolated stems exist.
        notes: remarks that people should see.
    """

    name: str
    root: Path
    split_set: str
    rules: tuple[str, ...]
    tracks: tuple[Track, ...]
    has_stems: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A kind of dataset: a row of `scoresep.datasets.table.DATASETS`, and a command `scoresep prepare NAME`.

    Attributes:
        open: lists the tracks below a folder: `open(root, **options) -> Corpus`. Its other parameters are the command's
            options: each has a default and the annotation `Annotated[TYPE, "help"]`, with a type that Typer knows
            (str, int, float, bool, Path, an optional one, a Literal).
        about: help of the command; the last paragraph is an example.
        folder: help of the command's argument: what the folder holds.
        environment: variable that names the folder where no argument does; '' for none.
        usual_folders: names of the folder where neither does, looked for in the working folder, in `data/` below it and
            in the home folder.
        instruments: names of the groups that are separated by default (`scoresep.instruments`).
        has_stems: whether tracks have isolated stems, which `--score-check` compares with their scores; else each track
            is a recording.
        hint: what a user without the dataset can do.
    """

    open: Callable[..., Corpus]
    about: str
    folder: str
    environment: str = ""
    usual_folders: tuple[str, ...] = ()
    instruments: tuple[str, ...] = DEFAULT_INSTRUMENTS
    has_stems: bool = True
    hint: str = ""

    def find_root(self, root: str | Path | None = None) -> Path:
        """The dataset's folder: the one given, else the environment's, else one of the usual names.

        Raises:
            NotFound: none of them is a folder.
        """
        if root is not None:
            return dataset_folder(root)
        if named := os.environ.get(self.environment):
            return dataset_folder(named, f"set {self.environment} to the folder of the dataset")
        for place, name in product(_usual_places(), self.usual_folders):
            if is_folder(place / name):
                return place / name
        ways = ("give its folder", f"set {self.environment}" if self.environment else "", self.hint)
        raise NotFound("no dataset found", remedy=", or ".join(filter(None, ways)))


def dataset_folder(root: str | Path, remedy: str = "give the folder that holds the dataset") -> Path:
    """`root`.

    Raises:
        NotFound: it is not a folder.
    """
    if not is_folder(root):
        raise NotFound("this is not a folder", file=root, remedy=remedy)
    return Path(root)


def _usual_places() -> Iterator[Path]:
    yield Path()
    yield Path("data")
    with suppress(RuntimeError):  # a user without a home
        yield Path.home()
