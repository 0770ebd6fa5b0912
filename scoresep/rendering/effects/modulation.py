"""Chorus, phaser, tremolo, wah and rotary loudspeaker: slow oscillators that move level, delay, phase or a filter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import iirpeak, lfilter

from scoresep.rendering.effects.base import Effect, Scene, Settings, log_uniform

_POSITIONS = 6
"""Fixed filters that a moving one is made of."""


def oscillation(length: int, sample_rate: int, rate: float, phase: float) -> np.ndarray:
    """A sine from 0 to 1, float32 (L,), of `rate` Hz, from `phase` turns on."""
    return (0.5 + 0.5 * np.sin(2 * np.pi * (rate * np.arange(length) / sample_rate + phase))).astype(np.float32)


def delayed(samples: np.ndarray, delay: np.ndarray) -> np.ndarray:
    """The signal `delay` (L,) samples ago, between samples by a straight line; silence before it."""
    places = np.arange(len(samples))
    moved: np.ndarray = np.interp(places - delay, places, samples, left=0.0)
    return moved.astype(np.float32)


def swept(samples: np.ndarray, position: np.ndarray, filters: list[Callable[[np.ndarray], np.ndarray]]) -> np.ndarray:
    """A filter that moves: between fixed ones, faded into each other, where `position` (L,) is 0 to 1."""
    place = position * (len(filters) - 1)
    return sum(
        (filtered(samples) * np.maximum(1 - np.abs(place - n), 0) for n, filtered in enumerate(filters)),
        start=np.zeros_like(samples),
    ).astype(np.float32)


def _draw_tremolo(rng: np.random.Generator, scene: Scene) -> Settings:
    return {
        "rate": log_uniform(rng, 2.5, 8),
        "depth": float(rng.uniform(0.15, 0.7)),
        "phase": float(rng.uniform()),
    }


def _tremolo(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """The level falls by `depth` and comes back, `rate` times a second."""
    rate, depth, phase = (settings[name] for name in ("rate", "depth", "phase"))
    return samples * (1 - np.float32(depth) * oscillation(len(samples), sample_rate, rate, phase))


def _draw_chorus(rng: np.random.Generator, scene: Scene) -> Settings:
    return {
        "rate": log_uniform(rng, 0.2, 2.5),
        "depth": log_uniform(rng, 0.0004, 0.003),
        "mix": float(rng.uniform(0.3, 0.8)),
        "phase": float(rng.uniform()),
    }


def _chorus(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """The signal and a copy of it whose delay of 5 ms and more goes up and down by `depth` seconds."""
    rate, depth, mix, phase = (settings[name] for name in ("rate", "depth", "mix", "phase"))
    delay = sample_rate * (0.005 + depth * oscillation(len(samples), sample_rate, rate, phase))
    return samples + np.float32(mix) * delayed(samples, delay)


def _draw_rotary(rng: np.random.Generator, scene: Scene) -> Settings:
    fast = bool(rng.uniform() < 0.5)
    return {
        "rate": float(rng.uniform(5.5, 7) if fast else rng.uniform(0.6, 1)),
        "depth": float(rng.uniform(0.1, 0.4)),
        "phase": float(rng.uniform()),
    }


def _rotary(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """A horn that turns: level and delay (0.3 ms: its radius) follow one oscillator, a quarter of a turn apart."""
    rate, depth, phase = (settings[name] for name in ("rate", "depth", "phase"))
    distance = oscillation(len(samples), sample_rate, rate, phase + 0.25)
    level = 1 - np.float32(depth) * oscillation(len(samples), sample_rate, rate, phase)
    return 0.5 * samples + delayed(samples, 0.0003 * sample_rate * distance) * level


def _draw_phaser(rng: np.random.Generator, scene: Scene) -> Settings:
    return {
        "rate": log_uniform(rng, 0.1, 1.5),
        "mix": float(rng.uniform(0.5, 1)),
        "phase": float(rng.uniform()),
    }


def _phaser(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """The signal and a copy behind four all-pass filters (first order, 200 Hz to 2 kHz): two notches that wander."""
    rate, mix, phase = (settings[name] for name in ("rate", "mix", "phase"))
    position = oscillation(len(samples), sample_rate, rate, phase)
    turned = swept(samples, position, [_all_pass(hertz, sample_rate) for hertz in np.geomspace(200, 2000, _POSITIONS)])
    return samples + np.float32(mix) * turned


def _all_pass(hertz: float, sample_rate: int) -> Callable[[np.ndarray], np.ndarray]:
    tangent = np.tan(np.pi * hertz / sample_rate)
    c = (tangent - 1) / (tangent + 1)
    four, poles = np.poly1d([c, 1.0]) ** 4, np.poly1d([1.0, c]) ** 4
    return lambda samples: lfilter(four.coeffs, poles.coeffs, samples)


def _draw_wah(rng: np.random.Generator, scene: Scene) -> Settings:
    return {
        "rate": log_uniform(rng, 0.3, 3),
        "mix": float(rng.uniform(0.4, 0.8)),
        "phase": float(rng.uniform()),
    }


def _wah(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """A band of Q 3 that goes up and down between 400 Hz and 2.2 kHz, `mix` of it in the signal."""
    rate, mix, phase = (settings[name] for name in ("rate", "mix", "phase"))
    position = oscillation(len(samples), sample_rate, rate, phase)
    bands = [_band(hertz, sample_rate) for hertz in np.geomspace(400, 2200, _POSITIONS)]
    return np.float32(1 - mix) * samples + np.float32(mix) * swept(samples, position, bands)


def _band(hertz: float, sample_rate: int) -> Callable[[np.ndarray], np.ndarray]:
    band = iirpeak(hertz, 3.0, fs=sample_rate)
    return lambda samples: lfilter(*band, samples)


PHASER = Effect(_draw_phaser, _phaser)
WAH = Effect(_draw_wah, _wah)
TREMOLO = Effect(_draw_tremolo, _tremolo)
CHORUS = Effect(_draw_chorus, _chorus)
ROTARY = Effect(_draw_rotary, _rotary)
