"""Which mask an instrument has, and masks of other packages."""

from __future__ import annotations

import os
import subprocess
import sys

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


PACKAGE = """
from dataclasses import dataclass
import numpy as np
from scoresep.masks.table import Mask

@dataclass(frozen=True)
class Settings:
    row: int = 7

LOW = Mask(lambda parts, grid, frames, settings: np.full((frames, 129), settings.row, np.uint8), Settings)
"""
USE = """
from scoresep.instruments import Instrument
from scoresep.masks.table import MASKS, mask_name
from scoresep.grid import Grid

name = mask_name(Instrument("bells", (14,), mask="low"))
print(name, MASKS[name].make([], Grid(), 2, MASKS[name].settings()).sum(), list(MASKS))
"""


def test_a_mask_of_another_package(tmp_path):
    info = tmp_path / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[scoresep.masks]\nlow = outside:LOW\n")
    (tmp_path / "outside.py").write_text(PACKAGE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    ended = subprocess.run([sys.executable, "-c", USE], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.split()[:2] == ["low", str(2 * 129 * 7)] and ended.stdout.count("'low'") == 1
