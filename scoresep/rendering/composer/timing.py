"""When and how notes are played: steps to seconds, and bends as curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tempo:
    """Steps to seconds: swung eighths, and a tempo that breathes.

    Attributes:
        step: seconds of a step.
        swing: length of the first of two eighths, 1 straight.
        waves: amplitude (share of the tempo), period in steps and phase of what the tempo does; their sum is small.
    """

    step: float
    swing: float
    waves: tuple[tuple[float, float, float], ...] = ()

    def at(self, position: float, swung: bool = True) -> float:
        """Seconds of a position in steps from the song's start."""
        beat, inside = divmod(position, 4.0)
        if swung:
            inside = inside * self.swing if inside <= 2 else 4.0 - (4.0 - inside) * (2.0 - self.swing)
        straight = 4.0 * beat + inside
        drift = sum(a * t / (2 * np.pi) * (np.sin(2 * np.pi * straight / t + f) - np.sin(f)) for a, t, f in self.waves)
        return float((straight + drift) * self.step)


def bend_curve(
    bends: Sequence[tuple[float, float, float]], longest: float, part: int, count: int, below: Callable[[float], float]
) -> tuple[np.ndarray, np.ndarray]:
    """Bend of notes that begin below their pitch: times in seconds and semitones, (K,) each.

    Args:
        bends: onset, offset and semitones of each.
        longest, part: the pitch is reached after so many seconds, or a `part`-th of the note if that is less.
        count: points of a bend.
        below: share of the semitones that are left when a share of the time is over, 1 at 0 and 0 at 1.
    """
    rows: list[tuple[float, float]] = []
    for onset, offset, semitones in bends:
        rise = min(longest, (offset - onset) / part)
        rows += [(onset + rise * x, -semitones * below(x)) for x in np.linspace(0.0, 1.0, count).tolist()]
    return np.array([time for time, _ in rows]), np.array([bend for _, bend in rows])
