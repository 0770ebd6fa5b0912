"""Tone controls: what an amplifier or a mixing desk does to a stem.
One SoundFont has a handful of patches a group, and a network that hears only those learns them by heart. Each stem of
a rendered corpus goes through two shelves and a bell of random strength, as recordings of one instrument differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyloudnorm import IIRfilter

SHELF_Q = 0.7


@dataclass(frozen=True)
class Tone:
    """Gains in dB and corner frequencies in Hz of a low shelf, a bell and a high shelf; `q` is the bell's quality."""

    low: tuple[float, float]
    bell: tuple[float, float]
    high: tuple[float, float]
    q: float


def draw_tone(rng: np.random.Generator) -> Tone:
    """A random tone: up to 6 dB below 100-300 Hz, up to 9 dB around 300-4000 Hz, up to 9 dB above 1.5-5 kHz."""

    def band(gain: float, lowest: float, highest: float) -> tuple[float, float]:
        return float(rng.uniform(-gain, gain)), float(lowest * (highest / lowest) ** rng.uniform())

    return Tone(band(6, 100, 300), band(9, 300, 4000), band(9, 1500, 5000), float(rng.uniform(0.5, 2.0)))


def apply_tone(samples: np.ndarray, tone: Tone, sample_rate: int) -> np.ndarray:
    """Filter mono samples (L,) at `sample_rate` Hz; float32 (L,)."""
    bands = ((tone.low, SHELF_Q, "low_shelf"), (tone.bell, tone.q, "peaking"), (tone.high, SHELF_Q, "high_shelf"))
    highest = 0.45 * sample_rate
    for (gain, frequency), quality, kind in bands:
        samples = IIRfilter(gain, quality, min(frequency, highest), sample_rate, kind).apply_filter(samples)
    return samples.astype(np.float32)
