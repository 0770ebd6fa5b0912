"""Scores with known errors: what is done to the notes of a training song, by kind and size. Called by `run`.

All of a song's parts suffer alike, as when one MIDI file is off against one recording: an offset or a drift is the
song's, not the part's. Everything follows from the song's name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi

from scoresep.errors import ScoresepError

DAMAGED_SPLITS = ("train", "validation")
SHORTEST = 0.03
"""Seconds; no note becomes shorter."""
Notes = list[pretty_midi.Note]
Damage = Callable[[Notes, float, np.random.Generator, np.random.Generator], Notes]
"""From a part's notes, the size of the error, and the generators of the part and of the song (the latter fresh for
every part): the notes as the score has them."""


def offset(notes: Notes, seconds: float, own: np.random.Generator, song: np.random.Generator) -> Notes:
    """The whole song late or early by `seconds`, at random."""
    shift = seconds * song.choice([-1.0, 1.0])
    return [_moved(note, note.start + shift, note.end + shift) for note in notes]


def jitter(notes: Notes, seconds: float, own: np.random.Generator, song: np.random.Generator) -> Notes:
    """Each onset off by a normal deviate of this standard deviation; offsets keep their place."""
    return [_moved(note, note.start + float(own.normal(0.0, seconds)), note.end) for note in notes]


def drift(notes: Notes, share: float, own: np.random.Generator, song: np.random.Generator) -> Notes:
    """A tempo too fast or too slow by this share."""
    factor = 1.0 + share * song.choice([-1.0, 1.0])
    return [_moved(note, note.start * factor, note.end * factor) for note in notes]


def missing(notes: Notes, share: float, own: np.random.Generator, song: np.random.Generator) -> Notes:
    """Notes left out."""
    return [note for note in notes if own.uniform() >= share]


def extra(notes: Notes, share: float, own: np.random.Generator, song: np.random.Generator) -> Notes:
    """Notes that nobody plays, like those of the part at another time and up to a fifth away."""
    last = max((note.end for note in notes), default=0.0)
    added = []
    for note in notes:
        if own.uniform() < share:
            start = float(own.uniform(0.0, last))
            pitch = int(np.clip(note.pitch + own.integers(-7, 8), 0, 127))
            added.append(pretty_midi.Note(note.velocity, pitch, start, start + note.end - note.start))
    return notes + added


def octave(notes: Notes, share: float, own: np.random.Generator, song: np.random.Generator) -> Notes:
    """Notes written an octave too high or too low."""
    wrong = [note for note in notes if own.uniform() < share]
    for note in wrong:
        note.pitch = int(np.clip(note.pitch + 12 * own.choice([-1, 1]), 0, 127))
    return notes


def _moved(note: pretty_midi.Note, start: float, end: float) -> pretty_midi.Note:
    start = max(0.0, start)
    return pretty_midi.Note(note.velocity, note.pitch, start, max(end, start + SHORTEST))


@dataclass(frozen=True)
class Condition:
    """One kind of error in one size.

    Attributes:
        kind: of `DAMAGES`; "none" for the scores as they are.
        size: seconds, or a share.
    """

    kind: str
    size: float

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.size:g}"


DAMAGES: dict[str, Damage] = {
    "offset": offset,
    "jitter": jitter,
    "drift": drift,
    "missing": missing,
    "extra": extra,
    "octave": octave,
}
CONDITIONS = (
    Condition("none", 0.0),
    *(Condition("offset", size) for size in (0.05, 0.1, 0.2)),
    *(Condition("jitter", size) for size in (0.05, 0.1, 0.2)),
    *(Condition("drift", size) for size in (0.01,)),
    *(Condition(kind, size) for kind in ("missing", "extra", "octave") for size in (0.2, 0.5)),
)


def damaged_corpus(corpus: Path, out: Path, condition: Condition) -> None:
    """A corpus in Slakh's layout with damaged scores in training and validation; sound and test songs are linked.

    Raises:
        ScoresepError: `corpus` has no songs to damage.
    """
    songs = sorted(folder for split in DAMAGED_SPLITS for folder in (corpus / split).glob("Track*"))
    if not songs:
        raise ScoresepError(f"{corpus} has no {' or '.join(DAMAGED_SPLITS)} songs; make one with `scoresep render`")
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(corpus, temporary, copy_function=os.link)
    for song in songs if condition.kind != "none" else ():
        for path in sorted((temporary / song.relative_to(corpus) / "MIDI").glob("*.mid")):
            score = damaged(path, condition)
            path.unlink()  # a link: the corpus's own file stays as it is
            score.write(str(path))
    temporary.rename(out)


def damaged(path: Path, condition: Condition) -> pretty_midi.PrettyMIDI:
    """The score at `path` (<song>/MIDI/<part>.mid) with errors."""
    score = pretty_midi.PrettyMIDI(str(path))
    song, part = path.parent.parent.name, path.stem
    for instrument in score.instruments:
        seeds = [_seed(condition.kind, song, part), _seed(condition.kind, song)]
        own, shared = (np.random.default_rng(seed) for seed in seeds)
        instrument.notes = DAMAGES[condition.kind](instrument.notes, condition.size, own, shared)
    return score


def _seed(*words: str) -> int:
    return int(hashlib.sha256("/".join(words).encode()).hexdigest()[:8], 16)
