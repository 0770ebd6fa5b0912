"""How loud the stems of a song are against each other: a way of mixing is a row of `LEVELS`.

Each stem as a whole gets one gain, so what is played softly stays soft.
"""

from __future__ import annotations

import numpy as np

Spread = tuple[float, float]
"""Mean and standard deviation, LU against the common loudness of stems."""
EQUAL: dict[str, Spread] = {}
RECORD: dict[str, Spread] = {
    "vocals": (3.0, 2.0),
    "drums": (2.0, 2.5),
    "bass": (0.0, 2.5),
    "guitar": (-2.0, 3.5),
    "piano": (-2.0, 3.5),
    "": (-4.0, 4.0),
}
"""A singer in front, drums and bass strong, the others about each other or far behind."""
LEVELS = {"equal": EQUAL, "record": RECORD}
FURTHEST = 2.5
"""Standard deviations beyond which none is drawn."""


def draw_level(levels: str, group: str, rng: np.random.Generator) -> float:
    """LU by which a stem of `group` is louder than the others."""
    rows = LEVELS[levels]
    mean, deviation = rows.get(group, rows.get("", (0.0, 0.0)))
    return mean + deviation * float(np.clip(rng.standard_normal(), -FURTHEST, FURTHEST))
