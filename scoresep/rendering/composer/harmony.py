"""Keys, chords, progressions and voice leading of the built-in composer.
Pitches are MIDI numbers, pitch classes are 0-11 with C = 0. Nothing here knows about time except `Change.bars`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

MODES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
}
MODE_WEIGHTS = (0.36, 0.28, 0.14, 0.12, 0.05, 0.05)

# Degrees count from 0 (the tonic); each row is a cycle of chords.
_CYCLES: dict[str, tuple[tuple[int, ...], ...]] = {
    "bright": ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 3), (5, 3, 0, 4), (0, 2, 3, 4), (0, 3, 0, 4), (3, 4, 2, 5)),
    "dark": ((0, 5, 2, 6), (0, 6, 5, 4), (0, 3, 4, 0), (0, 5, 3, 4), (0, 2, 6, 3), (0, 6, 5, 6), (0, 3, 6, 2)),
    "turning": ((1, 4, 0, 5), (0, 5, 1, 4), (2, 5, 1, 4), (0, 3, 6, 2, 5, 1, 4, 0), (1, 4, 0, 0), (3, 1, 4, 0)),
    "blues": ((0, 0, 0, 0, 3, 3, 0, 0, 4, 3, 0, 4), (0, 3, 0, 0, 3, 3, 0, 0, 1, 4, 0, 4), (0, 3, 0, 4)),
    "vamp": ((0, 3), (0, 6), (0, 1), (0,), (0, 0, 3, 3), (0, 4)),
}
_FOLLOWERS: dict[int, tuple[int, ...]] = {  # functional harmony: where a degree may go (repeats weigh)
    0: (1, 2, 3, 3, 4, 5, 5),
    1: (4, 4, 4, 6, 3),
    2: (5, 5, 3, 1),
    3: (4, 4, 0, 1, 6),
    4: (0, 0, 0, 5, 3),
    5: (1, 1, 3, 3, 4, 2),
    6: (0, 0, 2, 5),
}


@dataclass(frozen=True)
class Key:
    """Tonic pitch class and mode."""

    tonic: int
    mode: str

    @property
    def scale(self) -> tuple[int, ...]:
        """Pitch classes of the scale, from the tonic on."""
        return tuple((self.tonic + step) % 12 for step in MODES[self.mode])


@dataclass(frozen=True)
class Chord:
    """A chord.

    Attributes:
        root: pitch class.
        intervals: semitones above the root, ascending, 0 first.
        bass: pitch class of the lowest note (the root unless inverted).
    """

    root: int
    intervals: tuple[int, ...]
    bass: int

    @property
    def classes(self) -> tuple[int, ...]:
        return tuple((self.root + interval) % 12 for interval in self.intervals)

    @property
    def fifth(self) -> int:
        """Pitch class of the fifth, whatever its quality."""
        return next(((self.root + i) % 12 for i in self.intervals if i in (6, 7, 8)), (self.root + 7) % 12)


@dataclass(frozen=True)
class Change:
    """A chord and how many bars it lasts (0.5, 1 or 2)."""

    chord: Chord
    bars: float


def draw_key(rng: np.random.Generator) -> Key:
    return Key(int(rng.integers(12)), str(rng.choice(list(MODES), p=MODE_WEIGHTS)))


def draw_progression(rng: np.random.Generator, key: Key, colour: float) -> tuple[str, list[Change]]:
    """A cycle of chord changes and the name of its style; `colour` (0-1) is the share of sevenths and other colours."""
    style = str(
        rng.choice(["bright", "dark", "turning", "blues", "vamp", "functional"], p=[0.2, 0.2, 0.18, 0.1, 0.1, 0.22])
    )
    degrees = _functional(rng) if style == "functional" else list(_CYCLES[style][rng.integers(len(_CYCLES[style]))])
    lengths = {"vamp": (1, 2), "blues": (1,), "turning": (0.5, 1, 1)}.get(style, (0.5, 1, 1, 1, 2))
    bars = float(rng.choice(lengths))
    changes = []
    for position, degree in enumerate(degrees):
        leads_home = position + 1 == len(degrees)
        changes.append(Change(_chord(rng, key, degree, colour, style, leads_home), bars))
    return style, changes


def _functional(rng: np.random.Generator) -> list[int]:
    degrees = [0]
    for _ in range(int(rng.choice([3, 3, 5, 7]))):
        followers = _FOLLOWERS[degrees[-1]]
        degrees.append(followers[rng.integers(len(followers))])
    return degrees


def _chord(rng: np.random.Generator, key: Key, degree: int, colour: float, style: str, leads_home: bool) -> Chord:
    """The chord on a degree: diatonic, at times altered (dominant on V, secondary dominant, suspension, inversion)."""
    scale = key.scale
    root = scale[degree]
    stack = [(scale[(degree + third) % 7] - root) % 12 for third in (0, 2, 4, 6)]
    dominant = (0, 4, 7, 10)
    intervals: tuple[int, ...]
    if style == "blues":
        intervals = dominant
    elif (degree == 4 and key.mode == "minor" and rng.random() < 0.7) or (leads_home and rng.random() < 0.12):
        intervals = dominant if rng.random() < 0.6 else dominant[:3]
    elif rng.random() < colour:
        intervals = tuple(stack) if rng.random() < 0.7 else tuple(sorted({*stack[:3], 2}))
    elif rng.random() < 0.08:
        intervals = (0, 5, 7) if rng.random() < 0.6 else (0, 2, 7)
    else:
        intervals = tuple(stack[:3])
    bass = (root + intervals[int(rng.integers(1, 3))]) % 12 if rng.random() < 0.12 else root
    return Chord(root, intervals, bass)


def near(pitch_class: int, target: float, low: int, high: int) -> int:
    """The pitch of a class nearest to `target` within [low, high] (a range of at least an octave)."""
    pitch = pitch_class + 12 * round((target - pitch_class) / 12)
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return int(pitch)


def voice(chord: Chord, previous: Sequence[int], centre: float, low: int, high: int, size: int) -> list[int]:
    """A voicing of `size` pitches in [low, high]: of all close and dropped positions the one that moves least.

    Movement is measured from `previous`, with a pull to `centre` so that voices do not creep.
    """
    classes = [chord.classes[n % len(chord.classes)] for n in range(size)]
    best: tuple[float, list[int]] | None = None
    for turn, drop in product(range(len(classes)), (False, True)):
        ring = classes[turn:] + classes[:turn]
        for start in range(low, high - 6):
            if start % 12 != ring[0]:
                continue
            pitches = _stacked(ring, start)
            if drop and size > 2:
                pitches = sorted([*pitches[:-2], pitches[-2] - 12, pitches[-1]])
            if pitches[0] < low or pitches[-1] > high:
                continue
            cost = 0.6 * abs(np.mean(pitches) - centre) + (1.5 if drop else 0.0)
            if previous:
                cost += sum(min(abs(p - q) for q in previous) for p in pitches)
            if best is None or cost < best[0]:
                best = (float(cost), pitches)
    return best[1] if best else sorted({near(pc, centre, low, high) for pc in classes})


def _stacked(ring: Sequence[int], start: int) -> list[int]:
    """Each class in turn as the next pitch above the one before."""
    pitches = [start]
    for pitch_class in ring[1:]:
        pitches.append(pitches[-1] + ((pitch_class - pitches[-1]) % 12 or 12))
    return pitches


def scale_step(pitch: int, steps: int, scale: Sequence[int]) -> int:
    """Move `steps` scale degrees from `pitch` (its nearest scale tone first)."""
    direction = 1 if steps > 0 else -1
    while pitch % 12 not in scale:
        pitch += direction
    for _ in range(abs(steps)):
        pitch += direction
        while pitch % 12 not in scale:
            pitch += direction
    return pitch
