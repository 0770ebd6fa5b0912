"""The effects: how the settings of each are drawn, and what it does to a mono signal. An effect is a row of `EFFECTS`.

`chain.ROUTES` says which instruments go through which.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyloudnorm import IIRfilter
from scipy.signal import butter, iirpeak, lfilter, sosfilt

from scoresep.audio.loading import fit, resample
from scoresep.rendering.impulses import Impulse, convolve, response

Settings = dict[str, Any]
"""Plain values, impulse responses and tones by name."""


@dataclass(frozen=True)
class Scene:
    """What settings depend on.

    Attributes:
        group: instrument group of the part; "" for programs outside all groups.
        program: as the score says.
        impulses: impulse responses by kind.
    """

    group: str
    program: int
    impulses: dict[str, tuple[Impulse, ...]]


@dataclass(frozen=True)
class Effect:
    """A kind of effect.

    Attributes:
        draw: settings from a generator, for a scene.
        apply: float32 (L,) at a rate (Hz) to float32 (L,), of which no sample is later by more than a millisecond or
            two. There is sound in what it is given.
    """

    draw: Callable[[np.random.Generator, Scene], Settings]
    apply: Callable[[np.ndarray, int, Settings], np.ndarray]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(low * (high / low) ** rng.uniform())


def uniform(rng: np.random.Generator, low: float = 0.0, high: float = 1.0) -> float:
    return float(rng.uniform(low, high))


def ranges(**settings: tuple[Any, ...]) -> Callable[[np.random.Generator, Scene], Settings]:
    """Settings drawn one after the other, each by a function of a generator and what else it takes."""
    return lambda rng, scene: {name: draw(rng, *bounds) for name, (draw, *bounds) in settings.items()}


# Amplifiers and tape: a curve that bends the signal, at several times the rate so that little folds back

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
    wide = resample(samples, sample_rate, OVERSAMPLING * sample_rate)
    wide = wide * np.float32(10 ** (gain_db / 20)) + np.float32(bias)
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
    return {
        "kind": kind,
        "gain": uniform(rng, *amplifier.gain),
        "bias": uniform(rng, 0, amplifier.bias),
        "tight": uniform(rng, *amplifier.tight) / (2 if scene.group == "bass" else 1),
        "cabinet": _one(rng, scene.impulses["bass cabinet" if scene.group == "bass" else "cabinet"]),
    }


def _one(rng: np.random.Generator, impulses: tuple[Impulse, ...]) -> Impulse:
    return impulses[int(rng.integers(len(impulses)))]


def _amplify(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    gain, bias, tight = (settings[name] for name in ("gain", "bias", "tight"))
    tightened = levelled(high_pass(samples, sample_rate, tight))
    driven = bend(tightened, sample_rate, gain, bias, AMPLIFIERS[settings["kind"]].hard)
    return convolve(driven, response(settings["cabinet"], sample_rate))


def _saturate(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    return bend(levelled(samples), sample_rate, settings["gain"], settings["bias"])


# Equaliser and compressor

SHELF_Q = 0.7
LEVEL_SECONDS = 0.001
"""Levels are measured, and gains set, so often; between them gains are interpolated."""
_SILENCE_DB = -120.0


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
        return uniform(rng, -gain, gain), log_uniform(rng, lowest, highest)

    return Tone(band(6, 100, 300), band(9, 300, 4000), band(9, 1500, 5000), uniform(rng, 0.5, 2.0))


def apply_tone(samples: np.ndarray, tone: Tone, sample_rate: int) -> np.ndarray:
    """Filter mono samples (L,) at `sample_rate` Hz; float32 (L,)."""
    bands = ((tone.low, SHELF_Q, "low_shelf"), (tone.bell, tone.q, "peaking"), (tone.high, SHELF_Q, "high_shelf"))
    highest = 0.45 * sample_rate
    for (gain, frequency), quality, kind in bands:
        samples = IIRfilter(gain, quality, min(frequency, highest), sample_rate, kind).apply_filter(samples)
    return samples.astype(np.float32)


def _equalise(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    return apply_tone(samples, settings["tone"], sample_rate)


def levels_db(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean square of each millisecond in dB (a full sine is -3)."""
    block = max(1, round(LEVEL_SECONDS * sample_rate))
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
    faster, slower = (math.exp(-LEVEL_SECONDS / seconds) for seconds in (attack, release))
    reduction, smooth = np.empty_like(excess), 0.0
    for n, wanted in enumerate(excess.tolist()):
        keep = faster if wanted > smooth else slower
        smooth = keep * smooth + (1 - keep) * wanted
        reduction[n] = smooth
    block = max(1, round(LEVEL_SECONDS * sample_rate))
    places = (np.arange(len(reduction)) + 0.5) * block
    gain = np.interp(np.arange(len(samples)), places, 10 ** (-reduction / 20))
    return (samples * gain).astype(np.float32)


def loud_level_db(samples: np.ndarray, sample_rate: int) -> float:
    """The level that one millisecond in ten of what sounds exceeds."""
    levels = levels_db(samples, sample_rate)
    sounding = levels[levels > max(levels.max(initial=_SILENCE_DB) - 50, _SILENCE_DB + 1)]
    return float(np.percentile(sounding, 90)) if len(sounding) else _SILENCE_DB


def _compress(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """The threshold lies `depth` dB below the loud level."""
    threshold = loud_level_db(samples, sample_rate) - settings["depth"]
    return compress(samples, sample_rate, threshold, settings["ratio"], settings["attack"], settings["release"])


# Slow oscillators that move level, delay, phase or a filter

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


def _tremolo(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """The level falls by `depth` and comes back, `rate` times a second."""
    rate, depth, phase = (settings[name] for name in ("rate", "depth", "phase"))
    return samples * (1 - np.float32(depth) * oscillation(len(samples), sample_rate, rate, phase))


def _chorus(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """The signal and a copy of it whose delay of 5 ms and more goes up and down by `depth` seconds."""
    rate, depth, mix, phase = (settings[name] for name in ("rate", "depth", "mix", "phase"))
    delay = sample_rate * (0.005 + depth * oscillation(len(samples), sample_rate, rate, phase))
    return samples + np.float32(mix) * delayed(samples, delay)


def _draw_rotary(rng: np.random.Generator, scene: Scene) -> Settings:
    rate = uniform(rng, 5.5, 7) if rng.uniform() < 0.5 else uniform(rng, 0.6, 1)
    return {"rate": rate, "depth": uniform(rng, 0.1, 0.4), "phase": uniform(rng)}


def _rotary(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """A horn that turns: level and delay (0.3 ms: its radius) follow one oscillator, a quarter of a turn apart."""
    rate, depth, phase = (settings[name] for name in ("rate", "depth", "phase"))
    distance = oscillation(len(samples), sample_rate, rate, phase + 0.25)
    level = 1 - np.float32(depth) * oscillation(len(samples), sample_rate, rate, phase)
    return 0.5 * samples + delayed(samples, 0.0003 * sample_rate * distance) * level


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


def _wah(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """A band of Q 3 that goes up and down between 400 Hz and 2.2 kHz, `mix` of it in the signal."""
    rate, mix, phase = (settings[name] for name in ("rate", "mix", "phase"))
    position = oscillation(len(samples), sample_rate, rate, phase)
    bands = [_band(hertz, sample_rate) for hertz in np.geomspace(400, 2200, _POSITIONS)]
    return np.float32(1 - mix) * samples + np.float32(mix) * swept(samples, position, bands)


def _band(hertz: float, sample_rate: int) -> Callable[[np.ndarray], np.ndarray]:
    band = iirpeak(hertz, 3.0, fs=sample_rate)
    return lambda samples: lfilter(*band, samples)


# Rooms, echoes and loudspeakers: linear and fixed in time

_WETTEST = {"bass": 0.12, "drums": 0.45}
_WETTEST_USUAL = 0.4
_MOST_ECHOES = 8


def root_mean_square(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _draw_room(rng: np.random.Generator, scene: Scene) -> Settings:
    wettest = _WETTEST.get(scene.group, _WETTEST_USUAL)
    return {"wet": float(wettest * rng.uniform() ** 1.5), "impulse": _one(rng, scene.impulses["room"])}


def _reverberate(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """The signal and its reverberation, `wet` times as strong."""
    wet = convolve(samples, response(settings["impulse"], sample_rate))
    loudness = root_mean_square(wet)
    gain = settings["wet"] * root_mean_square(samples) / loudness if loudness else 0.0
    return samples + np.float32(gain) * wet


def _draw_device(rng: np.random.Generator, scene: Scene) -> Settings:
    return {"impulse": _one(rng, scene.impulses["device"])} if scene.impulses["device"] else {}


def _through(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    return convolve(samples, response(settings["impulse"], sample_rate))


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


_COMPRESSOR = ranges(
    depth=(uniform, 4, 16),
    ratio=(log_uniform, 1.5, 8),
    attack=(log_uniform, 0.002, 0.03),
    release=(log_uniform, 0.05, 0.4),
)
_CHORUS = ranges(
    rate=(log_uniform, 0.2, 2.5), depth=(log_uniform, 0.0004, 0.003), mix=(uniform, 0.3, 0.8), phase=(uniform,)
)
_DELAY = ranges(seconds=(log_uniform, 0.06, 0.6), feedback=(uniform, 0.0, 0.5), wet=(uniform, 0.05, 0.3))
EFFECTS: dict[str, Effect] = {
    "compressor": Effect(_COMPRESSOR, _compress),
    "amplifier": Effect(_draw_amplifier, _amplify),
    "chorus": Effect(_CHORUS, _chorus),
    "tremolo": Effect(ranges(rate=(log_uniform, 2.5, 8), depth=(uniform, 0.15, 0.7), phase=(uniform,)), _tremolo),
    "phaser": Effect(ranges(rate=(log_uniform, 0.1, 1.5), mix=(uniform, 0.5, 1), phase=(uniform,)), _phaser),
    "wah": Effect(ranges(rate=(log_uniform, 0.3, 3), mix=(uniform, 0.4, 0.8), phase=(uniform,)), _wah),
    "rotary": Effect(_draw_rotary, _rotary),
    "saturation": Effect(ranges(gain=(uniform, -9, 6), bias=(uniform, 0, 0.3)), _saturate),
    "equaliser": Effect(ranges(tone=(draw_tone,)), _equalise),
    "delay": Effect(_DELAY, _delay),
    "room": Effect(_draw_room, _reverberate),
    "device": Effect(_draw_device, _through),
}
