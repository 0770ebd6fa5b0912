"""Which mask an instrument has; tests/plugins has one of another package."""

from __future__ import annotations

import numpy as np
import pytest

from scoresep.errors import InvalidValue
from scoresep.grid import Grid
from scoresep.instruments import INSTRUMENTS, OTHER, Instrument
from scoresep.masks.table import MASKS, mask_name
from scoresep.score.parts import part_from_notes

GRID = Grid()


@pytest.mark.parametrize(
    ("instrument", "name"),
    [
        (INSTRUMENTS["piano"], "harmonic"),
        (INSTRUMENTS["drums"], "percussive"),
        (OTHER, "everywhere"),
        (Instrument("bells", (14,), mask="percussive"), "percussive"),
    ],
)
def test_an_instrument_has_the_mask_of_its_kind_unless_it_names_one(instrument, name):
    assert mask_name(instrument) == name


def test_an_unknown_mask_is_refused(refused):
    with refused(InvalidValue) as fault:
        mask_name(Instrument("bells", (14,), mask="harmonics"))
    assert "bells" in str(fault.value) and "'harmonic'" in fault.value.remedy


@pytest.mark.parametrize("name", list(MASKS))
def test_every_mask_is_made_with_its_own_settings(name):
    mask = MASKS[name].make([part_from_notes([(0.0, 1.0, 60, 90)])], GRID, 40, MASKS[name].settings())
    assert mask.dtype == np.uint8 and mask.shape == (40, -(-GRID.bins // 8))
    assert mask[0].any() and not np.unpackbits(mask, axis=1, bitorder="little")[:, GRID.bins :].any()
