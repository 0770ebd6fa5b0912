"""What a mixing desk does to a stem: equaliser and compressor.

One SoundFont has a handful of patches a group, and a network that hears only those learns them by heart. So each stem
of a rendered corpus goes through two shelves and a bell of random strength, as recordings of one instrument differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pyloudnorm import IIRfilter

from scoresep.rendering.effects.base import Effect, Scene, Settings, log_uniform

BLOCK_SECONDS = 0.001
"""Levels are measured, and gains set, so often; between them gains are interpolated."""
_SILENCE_DB = -120.0
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
        return float(rng.uniform(-gain, gain)), log_uniform(rng, lowest, highest)

    return Tone(band(6, 100, 300), band(9, 300, 4000), band(9, 1500, 5000), float(rng.uniform(0.5, 2.0)))


def apply_tone(samples: np.ndarray, tone: Tone, sample_rate: int) -> np.ndarray:
    """Filter mono samples (L,) at `sample_rate` Hz; float32 (L,)."""
    bands = ((tone.low, SHELF_Q, "low_shelf"), (tone.bell, tone.q, "peaking"), (tone.high, SHELF_Q, "high_shelf"))
    highest = 0.45 * sample_rate
    for (gain, frequency), quality, kind in bands:
        samples = IIRfilter(gain, quality, min(frequency, highest), sample_rate, kind).apply_filter(samples)
    return samples.astype(np.float32)


def levels_db(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean square of each millisecond in dB (a full sine is -3)."""
    block = max(1, round(BLOCK_SECONDS * sample_rate))
    padded = np.pad(samples, (0, -len(samples) % block)).astype(np.float64)
    power = np.square(padded).reshape(-1, block).mean(axis=1)
    levels: np.ndarray = 10 * np.log10(np.maximum(power, 10 ** (_SILENCE_DB / 10)))
    return levels


def compress(
    samples: np.ndarray, sample_rate: int, threshold_db: float, ratio: float, attack: float, release: float
) -> np.ndarray:
    """Reduce what levels exceed `threshold_db` by, in dB, to a `ratio`-th, after `attack` and `release` seconds.

    A feed-forward compressor with a smooth branching detector; source: Giannoulis, Massberg and Reiss, "Digital dynamic
    range compressor design", JAES 60(6), 2012.
    """
    excess = np.maximum(levels_db(samples, sample_rate) - threshold_db, 0.0) * (1 - 1 / ratio)
    faster, slower = (math.exp(-BLOCK_SECONDS / seconds) for seconds in (attack, release))
    reduction, smooth = np.empty_like(excess), 0.0
    for n, wanted in enumerate(excess.tolist()):
        keep = faster if wanted > smooth else slower
        smooth = keep * smooth + (1 - keep) * wanted
        reduction[n] = smooth
    block = max(1, round(BLOCK_SECONDS * sample_rate))
    places = (np.arange(len(reduction)) + 0.5) * block
    gain = np.interp(np.arange(len(samples)), places, 10 ** (-reduction / 20))
    return (samples * gain).astype(np.float32)


def loud_level_db(samples: np.ndarray, sample_rate: int) -> float:
    """The level that one millisecond in ten of what sounds exceeds."""
    levels = levels_db(samples, sample_rate)
    sounding = levels[levels > max(levels.max(initial=_SILENCE_DB) - 50, _SILENCE_DB + 1)]
    return float(np.percentile(sounding, 90)) if len(sounding) else _SILENCE_DB


def _draw_compressor(rng: np.random.Generator, scene: Scene) -> Settings:
    return {
        "depth": float(rng.uniform(4, 16)),
        "ratio": log_uniform(rng, 1.5, 8),
        "attack": log_uniform(rng, 0.002, 0.03),
        "release": log_uniform(rng, 0.05, 0.4),
    }


def _compress(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """The threshold lies `depth` dB below the loud level."""
    threshold = loud_level_db(samples, sample_rate) - settings["depth"]
    return compress(samples, sample_rate, threshold, settings["ratio"], settings["attack"], settings["release"])


def _draw_equaliser(rng: np.random.Generator, scene: Scene) -> Settings:
    return {"tone": draw_tone(rng)}


def _equalise(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    return apply_tone(samples, settings["tone"], sample_rate)


EQUALISER = Effect(_draw_equaliser, _equalise)
COMPRESSOR = Effect(_draw_compressor, _compress)
