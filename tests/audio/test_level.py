"""The level of a recording."""

from __future__ import annotations

import numpy as np
import pytest

from scoresep.audio.level import QUIETEST, combine_levels, level_of


def test_level_of_a_sine_is_its_amplitude_over_root_two():
    samples = 0.5 * np.sin(2 * np.pi * 10 * np.arange(16000) / 16000)
    assert level_of(samples.astype(np.float32)) == pytest.approx(0.5 / np.sqrt(2), rel=1e-6)


def test_level_in_pieces_is_the_level_of_the_whole():
    samples = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    pieces = [float(np.square(piece.astype(np.float64)).sum()) for piece in np.split(samples, [100, 700])]
    assert combine_levels(pieces, 1000) == pytest.approx(level_of(samples), rel=1e-9)


def test_silence_has_a_level_to_divide_by():
    assert level_of(np.zeros(10, np.float32)) == level_of(np.zeros(0, np.float32)) == QUIETEST > 0
