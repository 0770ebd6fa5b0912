"""Stored magnitudes against the spectrum."""

from __future__ import annotations

import numpy as np
import pytest

from scoresep.audio.magnitude import half_magnitude
from scoresep.audio.spectrogram import BLOCK, stft


@pytest.mark.parametrize("samples", [1, 5000, 256 * BLOCK, 256 * 2 * BLOCK + 77])
def test_equal_to_the_absolute_spectrum_as_half_floats(samples):
    rng = np.random.default_rng(samples)
    signal = (rng.normal(0, 0.2, samples) * np.geomspace(1, 1e-9, samples)).astype(np.float32)  # down to subnormals
    found = half_magnitude(signal, 1024, 256)
    expected = np.abs(stft(signal, 1024, 256)).astype(np.float16)
    assert found.dtype == np.float16 and found.shape == expected.shape == (samples // 256 + 1, 513)
    assert np.array_equal(found.view(np.uint16), expected.view(np.uint16))


def test_a_sine_has_its_amplitude():
    signal = (0.25 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.float32)
    assert half_magnitude(signal, 2048, 512)[10].max() == pytest.approx(0.25, rel=1e-3)
