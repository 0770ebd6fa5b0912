"""Which part is played by which pack: drawn from the song's seed, among the packs that have its notes.

A part that no pack suits stays with its SoundFont.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scoresep.instruments import DRUM_PROGRAM, INSTRUMENTS
from scoresep.rendering.patch import Patch
from scoresep.rendering.song import Song, group_name
from scoresep.score.parts import Part

OWN_PROGRAM = 0.5
"""Probability that only packs made for a part's own program are asked, where there are any."""
DRIVEN_PROGRAMS = (29, 30)
"""Overdriven and distorted guitar: an amplifier makes them, of a direct signal."""
_LONG_NOTE = 1.0
"""A pack must sustain the longer notes of a part, up to so many seconds."""
SUBSTITUTES: dict[int, tuple[int, ...]] = {
    35: (36,),
    36: (35,),
    37: (40, 38),
    38: (40,),
    39: (38, 40),
    40: (38,),
    41: (43, 45),
    43: (41, 45),
    45: (47, 43, 41),
    47: (45, 48),
    48: (47, 50, 45),
    50: (48, 47),
    42: (44, 46),
    44: (42, 46),
    46: (42, 44),
    49: (57, 55),
    52: (49, 57),
    55: (49, 57),
    57: (49, 55),
    51: (59, 53),
    53: (51, 59),
    59: (51, 53),
}
"""Drum keys (General MIDI) to the nearest instruments of a kit that lacks them."""


def draw_packs(song: Song, packs: Sequence[Patch], share: float, rng: np.random.Generator) -> list[Patch | None]:
    """For every part the pack that plays it; None where a SoundFont does.

    Parts with one program share a pack, and those with others get others while there are any.

    Args:
        packs: those of the song's split.
        share: of the parts that packs play, where they can.
    """
    drawn: dict[tuple[str | None, int], Patch | None] = {}
    for part in song.parts:
        key = (group_name(part), part.program)
        if key not in drawn:
            alike = [other for other in song.parts if (group_name(other), other.program) == key]
            drawn[key] = _draw(alike, packs, share, [p for p in drawn.values() if p], rng)
    return [drawn[group_name(part), part.program] for part in song.parts]


def _draw(
    parts: Sequence[Part], packs: Sequence[Patch], share: float, taken: Sequence[Patch], rng: np.random.Generator
) -> Patch | None:
    wanted, own = rng.uniform() < share, rng.uniform() < OWN_PROGRAM
    place = rng.uniform()
    choices = [pack for pack in packs if suits(pack, parts)]
    program = _program(parts[0])
    made_for_it = [pack for pack in choices if program in pack.programs]
    if own and made_for_it:
        choices = made_for_it
    choices = [pack for pack in choices if pack not in taken] or choices
    return choices[int(place * len(choices))] if wanted and choices else None


def suits(pack: Patch, parts: Sequence[Part]) -> bool:
    """Whether `pack` is of the parts' group, has their notes and sustains them."""
    program = _program(parts[0])
    group = next((i.programs for i in INSTRUMENTS.values() if program in i.programs), (program,))
    if not set(group) & set(pack.programs) or (program in DRIVEN_PROGRAMS and not pack.direct):
        return False
    keys = {int(key) for part in parts for key in part.pitch}
    if pack.is_drum:
        return all(sounding_key(pack, key) is not None for key in keys)
    lengths = np.concatenate([part.offset - part.onset for part in parts])
    return keys <= pack.keys and pack.sustain >= min(float(np.percentile(lengths, 75)), _LONG_NOTE)


def sounding_key(kit: Patch, key: int) -> int | None:
    """The key of a kit that plays a drum: its own, or that of the nearest instrument it has; None if it has none."""
    return next((k for k in (key, *SUBSTITUTES.get(key, ())) if k in kit.keys), None)


def heard(part: Part, patch: Patch) -> Part:
    """The notes of a part that `patch` can play: on a key that it has, or of a kit the nearest instrument's."""
    plays = {key: sounding_key(patch, key) is not None if patch.is_drum else key in patch.keys for key in part.pitch}
    kept = np.array([plays[key] for key in part.pitch], dtype=bool)
    fields = {name: getattr(part, name)[kept] for name in ("onset", "offset", "pitch", "velocity")}
    return part if kept.all() else replace(part, **fields)


def as_played(part: Part, patch: Patch) -> Part:
    """The part with the keys that `patch` plays it by. The score keeps the written ones."""
    if not patch.is_drum:
        return part
    keys = {key: sounding_key(patch, key) for key in set(part.pitch.tolist())}
    return replace(part, pitch=np.array([keys[k] if keys[k] is not None else k for k in part.pitch.tolist()]))


def written_program(part: Part, patch: Patch) -> int:
    """The program that metadata name: the part's own where the patch stands for it, else the first that it does."""
    return part.program if part.program in patch.programs else patch.programs[0]


def _program(part: Part) -> int:
    return DRUM_PROGRAM if part.is_drum else part.program
