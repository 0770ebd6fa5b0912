"""A piece of music before it has a sound, and what of it is left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from scoresep.instruments import INSTRUMENTS, group_of
from scoresep.score.parts import SHORTEST_NOTE, Part, first_strikes

CUT = "outside the excerpt"
AGAIN = f"struck again within {SHORTEST_NOTE} s"
UNWANTED = "instruments not asked for (--groups)"
NO_PATCH = "no SoundFont or pack has the program"
SILENT = "silent when played"
NO_KEY = "keys that the sound lacks"
BEYOND = "more songs than asked for (--songs)"
"""Why something is left out."""


class LeftOut(NamedTuple):
    """What of one part, or of a whole song, was left out.

    Attributes:
        song: the MIDI file, or where a composed song comes from.
        part: its track's name and program; '' for all parts.
        notes: how many; '' where nobody counted them, as in a file that cannot be read.
        reason: one of the above, or why a file gives no song.
    """

    song: str
    part: str
    notes: int | str
    reason: str


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


def part_name(part: Part) -> str:
    """How a part is called in the table."""
    kind = "drums" if part.is_drum else f"program {part.program}"
    return f"{part.name} ({kind})" if part.name else kind


def lost(song: str, before: Iterable[Part], after: Iterable[Part], reason: str) -> list[LeftOut]:
    """The rows of parts that have fewer notes after something than before."""
    pairs = zip(before, after, strict=True)
    return [LeftOut(song, part_name(a), len(a) - len(b), reason) for a, b in pairs if len(b) < len(a)]
