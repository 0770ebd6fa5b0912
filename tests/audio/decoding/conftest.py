"""Sound to put into files, and the way it comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scoresep.audio.decoding.recording import open_recording


def sound(length: int, channels: int = 2) -> np.ndarray:
    """Tones in noise with pauses, so that frames of an MP3 share their bits: float32 (length, channels)."""
    rng, time = np.random.default_rng(length), np.arange(length) / 44100
    tones = sum(np.sin(2 * np.pi * 110 * k * 1.003**k * time) / k for k in range(1, 8))
    loud = np.where(time % 0.8 < 0.5, 1.0, 0.001)
    return (0.15 * loud * (tones + 0.2 * rng.standard_normal(length)))[:, None].repeat(channels, 1).astype(np.float32)


@pytest.fixture(name="sound")
def sound_fixture() -> Callable[..., np.ndarray]:
    return sound


@pytest.fixture
def read() -> Callable[..., np.ndarray]:
    """A function from a path to all samples of a file, which are read in blocks, and as many as were announced."""

    def whole(path: Path, size: int = 4096) -> np.ndarray:
        recording = open_recording(path)
        samples = np.concatenate(list(recording.chunks(size=size)))
        assert samples.shape == (recording.samples, recording.channels)
        return samples

    return whole
