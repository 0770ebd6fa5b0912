"""Compiled kernels against NumPy; and that warming up leaves nothing to compile."""

from __future__ import annotations

import numpy as np
import pytest

from scoresep.audio.magnitude import half_magnitude
from scoresep.grid import Grid
from scoresep.masks import kernels
from scoresep.masks.harmonic import HarmonicSettings, harmonic_mask
from scoresep.masks.kernels import mark_range, merge_rows, packed_width, to_half, warm_up
from scoresep.masks.percussive import OnsetSettings, PercussiveSettings, onset_mask, percussive_mask
from scoresep.score.parts import part_from_notes
from scoresep.score.piano_roll import rasterise

COMPILED = ("mark_range", "mark_partials", "merge_rows", "to_half")


@pytest.mark.parametrize(("bits", "width"), [(0, 0), (1, 1), (8, 1), (9, 2), (88, 11), (1025, 129)])
def test_packed_width(bits, width):
    assert packed_width(bits) == width


def halves(values: np.ndarray) -> np.ndarray:
    out = np.zeros(values.shape, dtype=np.uint16)
    to_half(values, out)
    return out.view(np.float16)


def test_half_floats_are_numpys_over_the_whole_range():
    """Every 4099th of the 2^32 float32 values: normal, subnormal, too small, too large, infinite, of both signs."""
    values = np.arange(0, 1 << 32, 4099, dtype=np.uint64).astype(np.uint32).view(np.float32).reshape(1, -1)
    with np.errstate(all="ignore"):
        expected = values.astype(np.float16)
    found = halves(values)
    numbers = ~np.isnan(values)
    assert np.array_equal(found[numbers].view(np.uint16), expected[numbers].view(np.uint16))
    assert np.isnan(found[~numbers]).all()


def test_half_floats_round_ties_to_even():
    steps = np.arange(2048, dtype=np.float64)
    at_one, tiny = 1 + (steps + 0.5) / 1024, (steps + 0.5) * 2.0**-24  # half-way between two neighbours
    edges = [65504, 65519.99, 65520, 65536, 2.0**-14, 2.0**-14 * (1 - 2.0**-12), 2.0**-25, 2.0**-24, 0.0, -0.0]
    edges += [np.inf, -np.inf, 3.4e38, -1e5]
    values = np.concatenate([at_one, tiny, edges]).astype(np.float32).reshape(2, -1)
    with np.errstate(all="ignore"):
        assert np.array_equal(halves(values).view(np.uint16), values.astype(np.float16).view(np.uint16))


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
    half_magnitude(np.zeros(5000, dtype=np.float32), grid.n_fft, grid.hop)
    assert {name: len(getattr(kernels, name).signatures) for name in COMPILED} == dict.fromkeys(COMPILED, 1)
