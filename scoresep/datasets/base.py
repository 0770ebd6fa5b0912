"""What a corpus on disk looks like to the rest: tracks of stems, each stem with audio and score.

Corpus readers (`slakh`, `pairs`) build these without opening audio or MIDI; `cache.prepare` opens what they name. A
track has either stems, each with audio and score, or one recording of everything and one score.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stem:
    """One part of a track.

    Attributes:
        name: its name in the corpus, such as S01.
        program: MIDI program of the metadata, 0-127, or 128 for drums.
        is_drum: whether the metadata calls it drums.
        audio: its audio file, which exists.
        score: its MIDI file, or None if there is none.
        transpose: semitones from the written to the sounding pitch (a label rule of the corpus).
    """

    name: str
    program: int
    is_drum: bool
    audio: Path
    score: Path | None
    transpose: int = 0


@dataclass(frozen=True)
class Track:
    """One piece of music.

    Attributes:
        id: unique within the corpus.
        split: `train`, `validation` or `test`.
        uuid: identity of the composition; tracks that share it are the same music.
        stems: parts whose audio exists.
        problem: why the track cannot be used, or ''.
        omitted: why it is left out although it could be used (the split set says so, a duplicate), or ''.
        remark: something odd about a track that can be used all the same, or ''.
        unheard: names of parts that have no audio: stems that were never rendered.
        mixture, score: for a track without stems, its recording and the MIDI file of all that plays in it.
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

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that compiling it reads."""
        pairs = [(stem.audio, stem.score) for stem in self.stems] + [(self.mixture, self.score)]
        return tuple(path for pair in pairs for path in pair if path is not None)


@dataclass(frozen=True)
class Corpus:
    """Tracks in a fixed order, with what a result must name.

    Attributes:
        name: kind of corpus: slakh, rendered or pairs.
        root: folder it was read from.
        split_set: which split of the data set the tracks follow.
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
