"""The equaliser: the tone control that every stem of a corpus without chains has (`tone`)."""

from __future__ import annotations

import numpy as np

from scoresep.rendering.effects.effect import Effect, Scene, Settings
from scoresep.rendering.tone import Tone, apply_tone, draw_tone


def _draw(rng: np.random.Generator, scene: Scene) -> Settings:
    return {"tone": draw_tone(rng)}


def _apply(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    tone = settings["tone"]
    assert isinstance(tone, Tone)
    return apply_tone(samples, tone, sample_rate)


EQUALISER = Effect(_draw, _apply)
