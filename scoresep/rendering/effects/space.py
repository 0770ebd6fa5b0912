"""Rooms, echoes and loudspeakers: linear and fixed in time."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

from scoresep.rendering.effects.base import Effect, Scene, Settings, log_uniform
from scoresep.rendering.effects.impulses import response

_WETTEST = {"bass": 0.12, "drums": 0.45}
_WETTEST_USUAL = 0.4
_MOST_ECHOES = 8


def convolve(samples: np.ndarray, impulse: np.ndarray) -> np.ndarray:
    """The first L samples of (L,) convolved with an impulse response: float32, nothing later than the response is."""
    convolved: np.ndarray = fftconvolve(samples, impulse)[: len(samples)]
    return convolved.astype(np.float32)


def root_mean_square(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _draw_room(rng: np.random.Generator, scene: Scene) -> Settings:
    rooms = scene.impulses["room"]
    wettest = _WETTEST.get(scene.group, _WETTEST_USUAL)
    return {"wet": float(wettest * rng.uniform() ** 1.5), "impulse": rooms[int(rng.integers(len(rooms)))]}


def _reverberate(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """The signal and its reverberation, `wet` times as strong."""
    wet = convolve(samples, response(settings["impulse"], sample_rate))
    loudness = root_mean_square(wet)
    gain = settings["wet"] * root_mean_square(samples) / loudness if loudness else 0.0
    return samples + np.float32(gain) * wet


def _draw_device(rng: np.random.Generator, scene: Scene) -> Settings:
    devices = scene.impulses["device"]
    return {"impulse": devices[int(rng.integers(len(devices)))]} if devices else {}


def _through(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    return convolve(samples, response(settings["impulse"], sample_rate))


def _draw_delay(rng: np.random.Generator, scene: Scene) -> Settings:
    return {
        "seconds": log_uniform(rng, 0.06, 0.6),
        "feedback": float(rng.uniform(0.0, 0.5)),
        "wet": float(rng.uniform(0.05, 0.3)),
    }


def _delay(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """The signal and echoes of it, each `feedback` times as strong as the one before, the first `wet`."""
    delay = round(settings["seconds"] * sample_rate)
    gain, mixed = settings["wet"], samples.copy()
    for echo in range(1, _MOST_ECHOES + 1):
        if gain < 1e-3 or echo * delay >= len(samples):
            break
        mixed[echo * delay :] += np.float32(gain) * samples[: len(samples) - echo * delay]
        gain *= settings["feedback"]
    return mixed


ROOM = Effect(_draw_room, _reverberate)
DEVICE = Effect(_draw_device, _through)
DELAY = Effect(_draw_delay, _delay)
