"""A score as prior knowledge at separation time: its piano rolls, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scoresep.errors import InvalidValue, Mismatch, described
from scoresep.files import as_path
from scoresep.grid import Grid
from scoresep.instruments import Instrument, group_of
from scoresep.score.parts import Part, read_midi
from scoresep.score.piano_roll import rasterise
from scoresep.score.reading import MUSICXML_SUFFIXES

MARGIN = 1.0
"""Seconds beyond a piece within which notes are kept before they are put on the grid; more than any rounding."""

SCORE_WEIGHT = 0.85
"""How much notes count beside the separator's masks, which are overconfident on new music; chosen on validation tracks
(docs/research/teacher.md)."""


def as_weight(value: object) -> float:
    """A weight of the notes, from 0, the separator's masks alone, to 1, the factorisation by notes alone.

    Raises:
        InvalidValue: no such number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise InvalidValue(f"the weight of the score is {described(value)}", remedy="give a number from 0 to 1")
    return float(value)


class ScorePrior:
    """The notes of a score that is aligned with a recording.

    Attributes:
        has_part: whether the score has a part of each instrument, N of them; it says nothing about the others.
        missing: names of scored instruments without a part.
    """

    def __init__(self, parts: Sequence[Part], instruments: Sequence[Instrument], grid: Grid) -> None:
        self._grid = grid
        self._parts: list[list[Part]] = [[] for _ in instruments]
        for part in parts:
            group = group_of(part.program, part.is_drum, instruments, part.name)
            if group is not None and instruments[group].scored:
                self._parts[group].append(part)
        self.has_part = tuple(map(bool, self._parts))
        pairs = zip(instruments, self.has_part, strict=True)
        self.missing = tuple(instrument.name for instrument, has in pairs if instrument.scored and not has)

    def rolls(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Sounding keys and first frames of notes in frames start to stop: bool (N, P, stop - start) each."""
        begin, end = self._grid.seconds(start), self._grid.seconds(stop)
        rolls = [
            rasterise([_cut(part, begin, end) for part in parts], self._grid, stop - start) for parts in self._parts
        ]
        roll, onset = (np.stack(each).transpose(0, 2, 1) for each in zip(*rolls, strict=True))
        return roll, onset


def read_score_prior(path: str | Path, instruments: Sequence[Instrument], grid: Grid) -> ScorePrior:
    """The prior of a MIDI file; its parts belong to instruments by track name or program, as in `prepare pairs`.

    Raises:
        ScoresepError: as `read_midi`.
        Mismatch: the file has no part of any of the instruments, or is in no time.
    """
    path = as_path(path, "score")
    if path.suffix.lower() in MUSICXML_SUFFIXES:
        raise Mismatch("MusicXML is not in time with a recording", file=path, remedy="align it first (--align)")
    return prior_of(read_midi(path), path, instruments, grid)


def prior_of(parts: Sequence[Part], path: Path, instruments: Sequence[Instrument], grid: Grid) -> ScorePrior:
    """The prior of parts that were read from a file; raises Mismatch as `read_score_prior` does."""
    prior = ScorePrior(parts, instruments, grid)
    if not any(prior.has_part):
        names = ", ".join(instrument.name for instrument in instruments if instrument.scored)
        remedy = "give a score whose programs or track names say which instruments play"
        raise Mismatch(f"no part of {names}", file=path, remedy=remedy)
    return prior


def _cut(part: Part, start: float, stop: float) -> Part:
    """The notes of a part that sound between `start` and `stop` (seconds), moved so that `start` is 0."""
    kept = (part.onset < stop + MARGIN) & (part.offset > start - MARGIN)
    return part.chosen(kept).shifted(-start)
