"""Tone controls: drawn from the seed, and doing to a spectrum what they say."""

from __future__ import annotations

import numpy as np
import pytest

from scoresep.rendering.tone import Tone, apply_tone, draw_tone

RATE = 44100


def gain_db(tone: Tone, frequency: float) -> float:
    time = np.arange(RATE) / RATE
    sine = np.sin(2 * np.pi * frequency * time).astype(np.float32)
    filtered = apply_tone(sine, tone, RATE)[RATE // 2 :]
    return 20 * np.log10(np.sqrt(np.mean(np.square(filtered, dtype=np.float64))) / np.sqrt(0.5))


def test_flat_tone_changes_nothing():
    tone = Tone((0.0, 200.0), (0.0, 1000.0), (0.0, 3000.0), 1.0)
    for frequency in (60.0, 1000.0, 9000.0):
        assert gain_db(tone, frequency) == pytest.approx(0.0, abs=0.05)


def test_bell_lifts_its_centre_by_its_gain_and_leaves_the_ends():
    tone = Tone((0.0, 200.0), (9.0, 1000.0), (0.0, 3000.0), 2.0)
    assert gain_db(tone, 1000.0) == pytest.approx(9.0, abs=0.3)
    assert gain_db(tone, 50.0) == pytest.approx(0.0, abs=0.3)
    assert gain_db(tone, 15000.0) == pytest.approx(0.0, abs=0.3)


def test_shelves_reach_their_gains_at_the_ends():
    tone = Tone((-6.0, 200.0), (0.0, 1000.0), (6.0, 3000.0), 1.0)
    assert gain_db(tone, 25.0) == pytest.approx(-6.0, abs=0.5)
    assert gain_db(tone, 15000.0) == pytest.approx(6.0, abs=0.5)


def test_low_rates_do_not_break_the_high_shelf():
    tone = Tone((0.0, 200.0), (0.0, 3999.0), (9.0, 5000.0), 1.0)
    assert np.isfinite(apply_tone(np.ones(800, dtype=np.float32), tone, 8000)).all()


def test_the_seed_decides_the_tone():
    def draw(seed: int) -> Tone:
        return draw_tone(np.random.default_rng(seed))

    assert draw(1) == draw(1) != draw(2)
    assert all(abs(draw(seed).bell[0]) <= 9 and 300 <= draw(seed).bell[1] <= 4000 for seed in range(50))
