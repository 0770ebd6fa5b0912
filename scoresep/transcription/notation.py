"""Notes by instrument as parts of a score, and as MusicXML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from scoresep.files import write_bytes
from scoresep.instruments import Instrument
from scoresep.score.musicxml_writing import Beat, beat_of, musicxml
from scoresep.score.parts import SHORTEST_NOTE, Part, part_from_notes


def parts_of(notes: Mapping[str, np.ndarray], instruments: Sequence[Instrument]) -> list[Part]:
    """Notes (K, 4) of instruments as parts of a score that each of them takes for its own."""
    return [
        part_from_notes(
            [(a, max(b, a + SHORTEST_NOTE), int(pitch), int(velocity)) for a, b, pitch, velocity in notes[each.name]],
            program=each.midi_program,
            is_drum=not each.pitched,
            name=each.name,
        )
        for each in instruments
        if len(notes.get(each.name, ()))
    ]


def write_musicxml(
    path: str | Path, notes: Mapping[str, np.ndarray], instruments: Sequence[Instrument], beat: Beat | None = None
) -> None:
    """Write notes (K, 4) as MusicXML, quantised to a beat; without one, to the steady beat that fits them best.

    Raises:
        Unwritable: `path` cannot be written.
    """
    parts = parts_of(notes, instruments)
    onsets = np.concatenate([np.zeros(0), *(part.onset for part in parts)])
    write_bytes(path, musicxml(parts, beat or beat_of(onsets)))
