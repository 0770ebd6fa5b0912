"""Amplifiers and tape: a curve that bends the signal, computed at several times the rate so that little folds back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfilt

from scoresep.audio.loading import fit, resample
from scoresep.rendering.effects.base import Effect, Scene, Settings
from scoresep.rendering.effects.impulses import response
from scoresep.rendering.effects.space import convolve

OVERSAMPLING = 4
LOUD_SHARE = 99.5
"""Percentile of the magnitudes that counts as full level: a click does not set the gain."""


@dataclass(frozen=True)
class Amplifier:
    """A way of driving an amplifier.

    Attributes:
        gain: from and to, dB above the level at which the curve begins to bend.
        bias: most asymmetry, which brings even partials.
        tight: from and to, Hz: what lies below is taken out before, so that low strings stay clear.
        hard: whether the curve is flat above full level (fuzz), instead of tanh.
    """

    gain: tuple[float, float]
    bias: float
    tight: tuple[float, float]
    hard: bool = False


AMPLIFIERS = {
    "clean": Amplifier((-12, 0), 0.1, (30, 60)),
    "crunch": Amplifier((3, 18), 0.3, (50, 120)),
    "distorted": Amplifier((20, 38), 0.2, (80, 220)),
    "fuzz": Amplifier((26, 42), 0.5, (40, 150), hard=True),
}
_USUAL = {"guitar": (0.4, 0.3, 0.22, 0.08), "bass": (0.6, 0.32, 0.05, 0.03)}
_DRIVEN = {28: (0.3, 0.3, 0.35, 0.05), 29: (0.0, 0.75, 0.2, 0.05), 30: (0.0, 0.1, 0.75, 0.15)}
"""Probabilities of the amplifiers, by group, and by program where the score asks for a sound."""


def bend(samples: np.ndarray, sample_rate: int, gain_db: float, bias: float = 0.0, hard: bool = False) -> np.ndarray:
    """tanh (or a hard limit) of the signal times a gain and plus a bias, without what it does to silence.

    Frequencies stay; partials above half the rate are filtered off before it is sampled again.
    """
    wide = resample(samples, sample_rate, OVERSAMPLING * sample_rate) * np.float32(10 ** (gain_db / 20)) + np.float32(
        bias
    )
    curved = np.clip(wide, -1, 1, out=wide) if hard else np.tanh(wide, out=wide)
    rest = np.float32(np.clip(bias, -1, 1) if hard else np.tanh(bias))
    return fit(resample(curved - rest, OVERSAMPLING * sample_rate, sample_rate), len(samples))


def levelled(samples: np.ndarray) -> np.ndarray:
    """The samples with their loud level at 1."""
    sounding = np.abs(samples[samples != 0])
    return samples / np.float32(np.percentile(sounding, LOUD_SHARE))


def high_pass(samples: np.ndarray, sample_rate: int, hertz: float) -> np.ndarray:
    filtered: np.ndarray = sosfilt(butter(1, hertz, "highpass", fs=sample_rate, output="sos"), samples)
    return filtered.astype(np.float32)


def _draw_amplifier(rng: np.random.Generator, scene: Scene) -> Settings:
    chances = _DRIVEN.get(scene.program, _USUAL.get(scene.group, _USUAL["guitar"]))
    kind = list(AMPLIFIERS)[int(rng.choice(len(AMPLIFIERS), p=chances))]
    amplifier = AMPLIFIERS[kind]
    cabinets = scene.impulses["bass cabinet" if scene.group == "bass" else "cabinet"]
    return {
        "kind": kind,
        "gain": float(rng.uniform(*amplifier.gain)),
        "bias": float(rng.uniform(0, amplifier.bias)),
        "tight": float(rng.uniform(*amplifier.tight)) / (2 if scene.group == "bass" else 1),
        "cabinet": cabinets[int(rng.integers(len(cabinets)))],
    }


def _amplify(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    gain, bias, tight = (settings[name] for name in ("gain", "bias", "tight"))
    tightened = levelled(high_pass(samples, sample_rate, tight))
    driven = bend(tightened, sample_rate, gain, bias, AMPLIFIERS[settings["kind"]].hard)
    return convolve(driven, response(settings["cabinet"], sample_rate))


def _draw_saturation(rng: np.random.Generator, scene: Scene) -> Settings:
    return {"gain": float(rng.uniform(-9, 6)), "bias": float(rng.uniform(0, 0.3))}


def _saturate(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    return bend(levelled(samples), sample_rate, settings["gain"], settings["bias"])


AMPLIFIER = Effect(_draw_amplifier, _amplify)
SATURATION = Effect(_draw_saturation, _saturate)
