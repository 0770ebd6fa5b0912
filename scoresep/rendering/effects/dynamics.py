"""Compression: what is above a threshold is made less so."""

from __future__ import annotations

import math

import numpy as np

from scoresep.rendering.effects.effect import Effect, Scene, Settings, log_uniform

BLOCK_SECONDS = 0.001
"""Levels are measured, and gains set, so often; between them gains are interpolated."""
_SILENCE_DB = -120.0


def levels_db(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean square of each millisecond in dB (a full sine is -3)."""
    block = max(1, round(BLOCK_SECONDS * sample_rate))
    padded = np.pad(samples, (0, -len(samples) % block)).astype(np.float64)
    power = np.square(padded).reshape(-1, block).mean(axis=1)
    return 10 * np.log10(np.maximum(power, 10 ** (_SILENCE_DB / 10)))


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


def _draw(rng: np.random.Generator, scene: Scene) -> Settings:
    return {
        "depth": float(rng.uniform(4, 16)),
        "ratio": log_uniform(rng, 1.5, 8),
        "attack": log_uniform(rng, 0.002, 0.03),
        "release": log_uniform(rng, 0.05, 0.4),
    }


def _apply(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """The threshold lies `depth` dB below the loud level."""
    threshold = loud_level_db(samples, sample_rate) - float(settings["depth"])
    ratio, attack, release = (float(settings[name]) for name in ("ratio", "attack", "release"))
    return compress(samples, sample_rate, threshold, ratio, attack, release)


COMPRESSOR = Effect(_draw, _apply)
