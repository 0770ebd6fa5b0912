"""Parts that are written in another octave than they sound, as guitar and bass are."""

from __future__ import annotations

import numpy as np

from scoresep.alignment.features import COMPRESSION, AudioFeatures, NoteTable, directions, score_energy
from scoresep.alignment.placing import shifted

OCTAVES = (0, -12, 12)
LEAST_GAIN = 0.03
"""By how much the mean cosine of a part's frames must rise for it to be moved."""


def octaves_of(audio: AudioFeatures, notes: NoteTable, parts: int) -> tuple[int, ...]:
    """By how many semitones, -12, 0 or 12, each of so many parts sounds above its notes, which are in time: what makes
    the frames in which it plays, the other parts sounding, too, most like the recording's."""
    heard, frames = directions(audio.pitch), len(audio.pitch)
    energies = [score_energy(notes.chosen(notes.part == part), frames) for part in range(parts)]
    whole = np.sum(energies, axis=0, dtype=np.float32)
    found = []
    for energy in energies:
        plays = energy.any(axis=1)
        if not plays.any():
            found.append(0)
            continue
        alike = []
        for octave in OCTAVES:
            rows = directions(np.log1p(np.float32(COMPRESSION) * (whole - energy + shifted(energy, octave))))
            alike.append(float((rows[plays] * heard[plays]).sum(axis=1).mean()))
        best = int(np.argmax(alike))
        found.append(OCTAVES[best] if alike[best] > alike[0] + LEAST_GAIN else 0)
    return tuple(found)
