"""Compiled kernels against NumPy; and that warming up leaves nothing to compile."""

from __future__ import annotations

import numpy as np
import pytest

from scoresep.grid import Grid
from scoresep.masks import kernels
from scoresep.masks.harmonic import HarmonicSettings, harmonic_mask
from scoresep.masks.kernels import mark_range, merge_rows, packed_width, warm_up
from scoresep.masks.percussive import OnsetSettings, PercussiveSettings, onset_mask, percussive_mask
from scoresep.score.parts import part_from_notes
from scoresep.score.piano_roll import rasterise

COMPILED = ("mark_range", "mark_partials", "merge_rows")


@pytest.mark.parametrize(("bits", "width"), [(0, 0), (1, 1), (8, 1), (9, 2), (88, 11), (1025, 129)])
def test_packed_width(bits, width):
    assert packed_width(bits) == width


@pytest.mark.parametrize("bins", [1, 8, 9, 63, 64, 65, 130])
def test_every_range_of_bits(bins):
    low, high = (table.ravel() for table in np.mgrid[-2 : bins + 2, -2 : bins + 2])
    patterns = np.zeros((len(low), packed_width(bins)), dtype=np.uint8)
    mark_range(patterns, low, high, bins)
    bit = np.arange(8 * packed_width(bins))
    expected = (bit >= low[:, None]) & (bit <= high[:, None]) & (bit < bins)
    assert np.array_equal(patterns, np.packbits(expected, axis=1, bitorder="little"))


def test_ranges_are_added_to_what_is_there():
    patterns = np.full((1, 2), 0b10000001, dtype=np.uint8)
    mark_range(patterns, np.array([2]), np.array([9]), 16)
    assert patterns.tolist() == [[0b11111101, 0b10000011]]


@pytest.mark.parametrize("width", [1, 11, 129])
def test_merging_rows_is_a_union(width):
    rng = np.random.default_rng(width)
    mask, patterns = (rng.integers(0, 256, (count, width)).astype(np.uint8) for count in (50, 7))
    first = rng.integers(0, 50, 40)
    count = rng.integers(0, 51 - first)
    which = rng.integers(0, 7, 40)
    expected = mask.copy()
    for start, length, u in zip(first, count, which, strict=True):
        expected[start : start + length] |= patterns[u]
    merge_rows(mask, first, count, which, patterns)
    assert np.array_equal(mask, expected)


def test_after_warming_up_nothing_is_left_to_compile():
    """Workers would otherwise compile at the same time, for types that the warm-up did not name."""
    warm_up()
    grid = Grid()
    straight = part_from_notes([(0.0, 1.0, 60, 90)])
    bent = part_from_notes([(0.0, 1.0, 60, 90)], bend_time=np.array([0.5]), bend=np.array([1.0]))
    for parts in ([], [straight], [straight, bent]):
        rasterise(parts, grid, 40)
        harmonic_mask(parts, grid, 40, HarmonicSettings(half_width=2, inharmonicity=0, detune=1))
        onset_mask(parts, grid, 40, OnsetSettings(low=0, high=1000))
        percussive_mask(parts, grid, 40, PercussiveSettings(last=500))
    assert {name: len(getattr(kernels, name).signatures) for name in COMPILED} == dict.fromkeys(COMPILED, 1)
