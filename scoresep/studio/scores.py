"""Scores that are loaded in place of what was heard: put in time with the recording, and given to the instruments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scoresep.alignment.align import align, in_time, summary
from scoresep.alignment.features import RATE
from scoresep.audio.loading import read_audio
from scoresep.audio.source import Progress
from scoresep.errors import Mismatch, NothingToDo, ScoresepError, Unwritable, WrongFormat
from scoresep.instruments import Instrument, group_of
from scoresep.score.parts import Part
from scoresep.score.reading import WRITTEN_SUFFIXES, read_score


@dataclass(frozen=True)
class LoadedScore:
    """A score for the page.

    Attributes:
        notes: instrument -> rows of onset s, offset s, pitch, velocity.
        found: what was done, for a person to read.
    """

    notes: dict[str, list[list[float]]]
    found: str


@contextmanager
def called(name: str, path: Path) -> Iterator[None]:
    """Have errors on the copy of a file that was sent, at `path`, name it as its owner does."""
    try:
        yield
    except ScoresepError as fault:
        if fault.file != str(path) or isinstance(fault, Unwritable):
            raise
        raise type(fault)(fault.problem, file=name, remedy=fault.remedy) from fault


def check_name(name: str) -> str:
    """The suffix of a score's name; raises WrongFormat for one that is read by nothing here."""
    if (suffix := Path(name).suffix.lower()) not in WRITTEN_SUFFIXES:
        remedy = f"give MIDI or MusicXML ({', '.join(WRITTEN_SUFFIXES)})"
        raise WrongFormat(f"'{suffix}' is no score that is read here", file=name, remedy=remedy)
    return suffix


def load_score(
    score: Path, recording: Path, instruments: Sequence[Instrument], aligned: bool, progress: Progress | None = None
) -> LoadedScore:
    """The notes of a score by instrument, aligned with a recording unless they are in time with it as they are written.

    Args:
        aligned: whether to align them; else they are taken as they are written, with all repeats.

    Raises:
        Damaged: it cannot be read.
        Mismatch: none of its parts is an instrument's, or it is not one of the recording.
        NothingToDo: it has no pitched notes, or the recording is too short, so that nothing can be aligned.
    """
    scores, found = read_score(score), "taken as it is written"
    notes = by_instrument(scores[0].parts, instruments)
    if aligned:
        try:
            alignment = align(read_audio(recording, RATE)[0], RATE, scores, progress)
        except (Mismatch, NothingToDo) as fault:
            remedy = "to take it as it is written, untick “Align”"
            raise type(fault)(f"not aligned: {fault.problem}", file=score, remedy=remedy) from fault
        if in_time(alignment):
            found = "in time with the recording, taken as it is written"
        else:
            notes, found = by_instrument(alignment.parts, instruments), f"aligned: {summary(alignment)}"
            spans = ", ".join(f"{begin:.0f}–{end:.0f}" for begin, end in alignment.doubtful)
            found += f"; not trusted: {spans} s" * bool(spans)
    if not any(notes.values()):
        raise Mismatch(f"no part of {', '.join(notes)}", file=score, remedy="name its tracks so")
    missing = ", ".join(name for name, rows in notes.items() if not rows)
    return LoadedScore(notes, f"{found}; no part of {missing}" if missing else found)


def by_instrument(parts: Sequence[Part], instruments: Sequence[Instrument]) -> dict[str, list[list[float]]]:
    """Notes of parts by scored instrument, by names first; those of parts that are no instrument's are left out."""
    instruments = [replace(each, names=(*each.names, each.name)) for each in instruments]
    notes: dict[str, list[list[float]]] = {each.name: [] for each in instruments if each.scored}
    for part in parts:
        group = group_of(part.program, part.is_drum, instruments, part.name)
        if group is not None and instruments[group].name in notes:
            notes[instruments[group].name] += np.round(part.table, 4).tolist()
    return {name: sorted(rows) for name, rows in notes.items()}
