"""Scores of either kind: MIDI files, and MusicXML, whose repeats may or may not be played."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scoresep.score.parts import SCORE_SUFFIXES, Part, messages_and_parts

MUSICXML_SUFFIXES = (".musicxml", ".mxl", ".xml")
"""Of files that are read as MusicXML."""
WRITTEN_SUFFIXES = SCORE_SUFFIXES + MUSICXML_SUFFIXES
"""Of files that `read_score` reads."""


@dataclass(frozen=True)
class Score:
    """What is written.

    Attributes:
        parts: notes in seconds, at the written tempo.
        bar_lines: float64 (J + 1,), seconds at which J bars begin, and the end of the last; may be empty.
    """

    parts: list[Part]
    bar_lines: np.ndarray


def read_score(path: str | Path) -> list[Score]:
    """The ways in which a score may be played: one of a MIDI file; with and without its repeats of MusicXML.

    Raises:
        ScoresepError: as `parts.read_midi` and `musicxml.read_musicxml`.
    """
    if Path(path).suffix.lower() in MUSICXML_SUFFIXES:
        from scoresep.score.musicxml import read_musicxml  # here: the library takes a second to load

        return read_musicxml(path)
    file, parts = messages_and_parts(path)
    return [Score(parts, file.bar_lines())]
