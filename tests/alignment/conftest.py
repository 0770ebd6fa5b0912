"""A piece whose performance is known: played by sines that decay, with its time bent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from scoresep.score.parts import Part, part_from_notes
from scoresep.score.reading import Score

RATE = 16000
BEAT, BARS = 0.5, 16


def composed(seed: int, bars: int = BARS) -> Score:
    """Chords, a melody and a bass line, four beats a bar, all drawn by chance."""
    rng = np.random.default_rng(seed)
    chords, melody, bass = [], [], []
    for bar in range(bars):
        root = int(rng.integers(48, 60))
        begin = 4 * BEAT * bar
        third = int(rng.integers(3, 5))
        chords += [(begin, begin + 1.9, root + step, 70) for step in (0, third, 7)]
        bass += [(begin + 2 * BEAT * half, begin + 2 * BEAT * half + 0.9, root - 12, 90) for half in range(2)]
        for beat in range(4):
            at = begin + BEAT * beat + (0.25 if rng.random() < 0.3 else 0.0)
            melody.append((at, at + 0.3, root + 12 + int(rng.choice([0, third, 7, 12, 2])), 100))
    parts = [part_from_notes(chords, name="chords"), part_from_notes(melody, program=25, name="melody")]
    parts.append(part_from_notes(bass, program=33, name="bass"))
    return Score(parts, 4 * BEAT * np.arange(bars + 1.0))


def played(parts: Sequence[Part], seconds: float, tuning: float = 0.0) -> np.ndarray:
    """The parts by sines: float32 (L,)."""
    samples = 1e-4 * np.random.default_rng(0).standard_normal(round(seconds * RATE))
    for part in parts:
        for onset, offset, pitch in zip(part.onset, part.offset, part.pitch, strict=True):
            first, last = round(onset * RATE), min(round((offset + 0.05) * RATE), len(samples))
            time = np.arange(max(last - first, 0)) / RATE
            hertz = 440.0 * 2.0 ** ((pitch - 69 + tuning) / 12)
            tone = sum(np.sin(2 * np.pi * hertz * h * time) / h for h in range(1, 6) if hertz * h < RATE / 2)
            samples[first:last] += (
                0.1 * tone * np.exp(-2 * time) * np.minimum((last - first) / RATE - time, 0.05) / 0.05
            )
    return samples.astype(np.float32)


def bent(part: Part, warp: Callable[[np.ndarray], np.ndarray]) -> Part:
    """A part whose time is bent."""
    return replace(part, onset=warp(part.onset), offset=warp(part.offset))


def drifting(seconds: np.ndarray) -> np.ndarray:
    """A tempo that drifts by 15 %."""
    return 1.0 + 0.9 * seconds + 0.7 * np.sin(seconds / 5)


class Music:
    """The makers above, for tests to use."""

    rate = RATE
    composed = staticmethod(composed)
    played = staticmethod(played)
    bent = staticmethod(bent)
    drifting = staticmethod(drifting)


@pytest.fixture(scope="session")
def music() -> type[Music]:
    """Makers of scores and recordings."""
    return Music


@pytest.fixture(scope="session")
def score() -> Score:
    return composed(0)


@pytest.fixture(scope="session")
def recording(score: Score) -> np.ndarray:
    """The piece with a drifting tempo, two semitones above its score and 30 cents besides."""
    parts = [bent(part.transposed(2), drifting) for part in score.parts]
    return played(parts, float(drifting(np.array(32.0))) + 2.0, tuning=0.3)
