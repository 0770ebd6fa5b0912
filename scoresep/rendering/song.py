"""A piece of music before it has a sound."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scoresep.instruments import INSTRUMENTS, group_of
from scoresep.rendering.left_out import LeftOut
from scoresep.score.parts import SHORTEST_NOTE, Part, first_strikes


@dataclass(frozen=True)
class Song:
    """Parts of one piece.

    Attributes:
        parts: what each instrument plays; offsets lie within `seconds`.
        seconds: length of the piece.
        tempo: beats a minute of the MIDI files' grid.
        uuid: md5 of the composition (32 hex digits), equal for equal music whatever it is played on.
        source: where it comes from, like a path (Slakh's `lmd_midi_dir`).
        style: what the composer drew (key, mode, metre, patterns), for statistics.
        left_out: what the source has and `parts` have not.
    """

    parts: tuple[Part, ...]
    seconds: float
    tempo: float = 120.0
    uuid: str = ""
    source: str = ""
    style: dict[str, object] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


def fingerprint(parts: Sequence[Part]) -> str:
    """md5 of all notes of all parts (onset and offset in whole ms, pitch, drum or not); programs do not count."""
    rows = sorted(
        (round(1000 * onset), round(1000 * offset), int(pitch), part.is_drum)
        for part in parts
        for onset, offset, pitch in zip(part.onset, part.offset, part.pitch, strict=True)
    )
    return digest(repr(rows).encode())


def digest(data: bytes | memoryview) -> str:
    """md5 as 32 hex digits."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def tidied(part: Part, seconds: float) -> Part:
    """Make a part that MIDI can hold: notes inside [0, seconds], none overlapping another of its own pitch.

    A MIDI note-off names only a pitch, so of two overlapping notes of one pitch the first ends where the second starts.
    Every note lasts `SHORTEST_NOTE` or more. What cannot is left out: notes of which less lies inside, and those whose
    pitch is struck again sooner.
    """
    onset, offset = np.maximum(part.onset, 0.0), np.minimum(part.offset, seconds)
    begun = (part.onset >= 0) | (offset >= SHORTEST_NOTE)
    inside = np.flatnonzero(begun & (seconds - onset >= SHORTEST_NOTE) & (offset > 0))
    order = inside[np.lexsort((offset[inside], onset[inside], part.pitch[inside]))]
    onset, offset, pitch, velocity = onset[order], offset[order], part.pitch[order], part.velocity[order]
    same = pitch[1:] == pitch[:-1]
    offset[:-1][same] = np.minimum(offset[:-1], onset[1:])[same]
    last = _last_strikes(onset, pitch)
    onset, offset, pitch, velocity = onset[last], offset[last], pitch[last], velocity[last]
    offset = np.where(offset - onset < SHORTEST_NOTE, onset + SHORTEST_NOTE, offset)
    order = np.lexsort((pitch, onset))
    return replace(
        part,
        onset=onset[order],
        offset=offset[order],
        pitch=np.clip(pitch[order], 0, 127),
        velocity=np.clip(velocity[order], 1, 127),
    )


def _last_strikes(onset: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Of strikes ordered by pitch and onset, the last ones of those that follow each other too fast: indices."""
    heads = first_strikes(-onset[::-1], pitch[::-1], np.nextafter(SHORTEST_NOTE, 0))
    return len(onset) - 1 - heads[::-1]


def group_name(part: Part) -> str | None:
    """Name of the group a part belongs to; None for programs outside all groups (effects, ethnic instruments)."""
    table = tuple(INSTRUMENTS.values())
    index = group_of(part.program, part.is_drum, table)
    return None if index is None else table[index].name
