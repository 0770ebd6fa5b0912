"""The instruments of the composer: a row of `ROLES` each, with the patterns it plays and how often.

A style of playing is a function (`patterns.Pattern`) and a row of its instrument's table; an instrument is a row of
`ROLES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scoresep.rendering.composer import patterns as p
from scoresep.rendering.composer import rhythm_section as r

Patterns = tuple[tuple[str, p.Pattern, float], ...]
"""Rows of name, pattern, weight in the draw."""

PIANO: Patterns = (
    ("block", p.block, 3),
    ("stabs", p.stabs, 2),
    ("sustained", p.sustained, 1.5),
    ("arpeggio", p.arpeggio, 2.5),
    ("alberti", p.alberti, 1.5),
    ("broken", p.broken, 1.5),
    ("melody", p.melody, 2.5),
    ("wander", p.wander, 2),
)
LEFT_HAND: Patterns = (
    ("roots", p.roots, 3),
    ("alberti", p.alberti, 1),
    ("block", p.block, 1),
    ("arpeggio", p.arpeggio, 1),
)
GUITAR: Patterns = (
    ("strum", r.strum, 3.5),
    ("fingerpick", r.fingerpick, 2.5),
    ("power", r.power, 1),
    ("skank", r.skank, 0.8),
    ("lead", r.lead, 3),
    ("riff", r.riff, 1.5),
    ("picked", p.arpeggio, 2),
    ("wander", p.wander, 1),
)
BASS: Patterns = (
    ("long_roots", r.long_roots, 1.5),
    ("pulse", r.pulse, 2),
    ("root_fifth", r.root_fifth, 2),
    ("octaves", r.octaves, 1),
    ("walking", r.walking, 2.5),
    ("syncopated", r.syncopated, 2.5),
    ("bass_line", p.melody, 1.5),
)
DRUMS: Patterns = (
    ("groove", r.groove, 4),
    ("four_floor", r.four_floor, 1),
    ("light", r.light, 1.5),
)
PADS: Patterns = (
    ("sustained", p.sustained, 3),
    ("melody", p.melody, 1),
    ("block", p.block, 1),
)
_FULL_CHORDS = ("strum", "fingerpick", "picked")

Drawn = tuple[str, p.Pattern, p.Hand]
"""Name of what a section's musician plays, its pattern, and the hand that plays it."""


@dataclass(frozen=True)
class Role:
    """An instrument that the composer writes for.

    Attributes:
        programs: General MIDI program of its first part and, where songs have two, of its second.
        register: lowest and highest pitch.
        draw: what it plays in a section, from a generator, the steps of a bar and the steps of a beat.
        is_drum: whether its parts are drums.
    """

    programs: tuple[int, ...]
    register: tuple[int, int]
    draw: Callable[[np.random.Generator, int, int], Drawn]
    is_drum: bool = False


def _choose(rng: np.random.Generator, table: Patterns) -> tuple[str, p.Pattern]:
    name, pattern, _ = p.draw_weighted(rng, table)
    return name, pattern


def _piano(rng: np.random.Generator, steps: int, beat: int) -> Drawn:
    """One hand over the whole register, or two."""
    name, upper = _choose(rng, PIANO)
    if rng.random() < 0.45:
        return name, upper, p.draw_hand(rng, steps, beat, *ROLES["piano"].register, (50, 76), (2, 3, 3, 4, 5))
    other, lower = _choose(rng, LEFT_HAND)
    left = p.draw_hand(rng, steps, beat, 36, 60, (42, 54), (3,))
    right = p.draw_hand(rng, steps, beat, 57, 88, (62, 80), (2, 3, 3, 4))
    return f"{name}+{other}", p.right_and_left(upper, lower, left), right


def _guitar(rng: np.random.Generator, steps: int, beat: int) -> Drawn:
    name, pattern = _choose(rng, GUITAR)
    sizes = (4, 5, 6) if name in _FULL_CHORDS else (2, 3, 3, 4)
    return name, pattern, p.draw_hand(rng, steps, beat, *ROLES["guitar"].register, (48, 68), sizes)


def _single(
    table: Patterns, register: tuple[int, int], centre: tuple[int, int], sizes: tuple[int, ...]
) -> Callable[[np.random.Generator, int, int], Drawn]:
    """A musician with one hand, whatever the pattern."""

    def draw(rng: np.random.Generator, steps: int, beat: int) -> Drawn:
        name, pattern = _choose(rng, table)
        return name, pattern, p.draw_hand(rng, steps, beat, *register, centre, sizes)

    return draw


_BASS, _PAD, _KIT = (28, 55), (43, 84), (0, 0)
ROLES: dict[str, Role] = {
    "piano": Role((0, 4), (36, 88), _piano),
    "guitar": Role((25, 27), (40, 76), _guitar),
    "bass": Role((33,), _BASS, _single(BASS, _BASS, (33, 46), (3,))),
    "strings": Role((48,), _PAD, _single(PADS, _PAD, (55, 72), (2, 3, 4))),
    "organ": Role((16,), _PAD, _single(PADS, _PAD, (55, 72), (2, 3, 4))),
    "drums": Role((0,), _KIT, _single(DRUMS, _KIT, (0, 1), (3,)), is_drum=True),
}
GROUPS = tuple(ROLES)
"""Every instrument group that a song may have parts of."""
