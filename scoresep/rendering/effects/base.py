"""What an effect must offer: how its settings are drawn, and what it does to a mono signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoresep.rendering.effects.impulses import Impulse

Settings = dict[str, Any]
"""Plain values, impulse responses and tones by name."""


@dataclass(frozen=True)
class Scene:
    """What settings depend on.

    Attributes:
        group: instrument group of the part; "" for programs outside all groups.
        program: as the score says.
        impulses: impulse responses by kind.
    """

    group: str
    program: int
    impulses: dict[str, tuple[Impulse, ...]]


@dataclass(frozen=True)
class Effect:
    """A kind of effect.

    Attributes:
        draw: settings from a generator, for a scene.
        apply: float32 (L,) at a rate to float32 (L,), of which no sample is later by more than a millisecond or two.
            There is sound in what it is given.
    """

    draw: Callable[[np.random.Generator, Scene], Settings]
    apply: Callable[[np.ndarray, int, Settings], np.ndarray]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(low * (high / low) ** rng.uniform())
