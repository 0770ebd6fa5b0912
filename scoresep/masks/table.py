"""The table of score masks: where an instrument can sound, by what its score says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoresep.errors import InvalidValue
from scoresep.grid import Grid
from scoresep.instruments import Instrument, suggestion
from scoresep.masks.harmonic import HarmonicSettings, harmonic_mask
from scoresep.masks.percussive import PercussiveSettings, percussive_mask
from scoresep.plugins import Registry
from scoresep.score.parts import Part


@dataclass(frozen=True)
class Everywhere:
    """The mask of what has no score has no settings."""


@dataclass(frozen=True)
class Mask:
    """A kind of score mask. Its name in the table is also that of its settings in a cache.

    Attributes:
        make: function of parts, grid, frames T and settings; returns packed bits, uint8 (T, ceil(F / 8)), bit k of byte
            b is bin 8 b + k.
        settings: a dataclass with defaults.
        kind: the kind of instruments (`instruments.INSTRUMENT_KINDS`) that have this mask unless they name another; ''
            for a mask that is only used by name.
    """

    make: Callable[[Sequence[Part], Grid, int, Any], np.ndarray]
    settings: type
    kind: str = ""


def everywhere(parts: Sequence[Part], grid: Grid, frames: int, settings: Everywhere | None = None) -> np.ndarray:
    """All bins of all frames: packed bits, uint8 (T, ceil(F / 8))."""
    return np.tile(np.packbits(np.ones(grid.bins, dtype=bool), bitorder="little"), (frames, 1))


MASKS = Registry(
    "scoresep.masks",
    Mask,
    {
        "harmonic": Mask(harmonic_mask, HarmonicSettings, "harmonic"),
        "percussive": Mask(percussive_mask, PercussiveSettings, "percussive"),
        "everywhere": Mask(everywhere, Everywhere, "other"),
    },
)
"""The score masks by name; those of other packages are chosen by an instrument's `mask`."""


def mask_name(instrument: Instrument) -> str:
    """The name of an instrument's mask in `MASKS`.

    Raises:
        InvalidValue: there is no mask of the name that the instrument gives.
    """
    if instrument.mask and instrument.mask not in MASKS:
        raise InvalidValue(
            f"instrument '{instrument.name}' has an unknown mask '{instrument.mask}'",
            remedy=suggestion(instrument.mask, MASKS),
        )
    return instrument.mask or next(name for name, row in MASKS.items() if row.kind == instrument.kind)
