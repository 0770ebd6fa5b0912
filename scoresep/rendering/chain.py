"""The signal chain: what stands between an instrument and a record, drawn for each stem from the song's seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoresep.rendering.effects import EFFECTS, Scene, Settings, Tone
from scoresep.rendering.impulses import Impulse
from scoresep.rendering.song import group_name
from scoresep.rendering.sources.base import Patch
from scoresep.score.parts import Part

Route = tuple[tuple[str, float], ...]
"""Effects in the order of the signal, each with the probability that a stem goes through it."""


def route(text: str) -> Route:
    """A route as it is written here: effects and probabilities."""
    words = text.split()
    return tuple(zip(words[::2], map(float, words[1::2]), strict=True))


_DESK = "equaliser 1 equaliser 0.5 delay 0.06 room 0.8"
ROUTES: dict[str, Route] = {
    "direct guitar": route(
        "compressor 0.25 wah 0.04 amplifier 1 phaser 0.06 chorus 0.15 tremolo 0.1 compressor 0.15 "
        "equaliser 1 equaliser 0.5 delay 0.15 room 0.85"
    ),
    "guitar": route(f"compressor 0.3 chorus 0.08 saturation 0.15 {_DESK}"),
    "direct bass": route(
        "compressor 0.5 amplifier 0.6 chorus 0.05 saturation 0.2 compressor 0.3 equaliser 1 equaliser 0.5 room 0.3"
    ),
    "bass": route("compressor 0.5 saturation 0.25 equaliser 1 equaliser 0.5 room 0.4"),
    "direct piano": route(f"wah 0.04 amplifier 0.25 phaser 0.1 chorus 0.2 tremolo 0.25 compressor 0.3 {_DESK}"),
    "piano": route(f"compressor 0.3 saturation 0.1 {_DESK}"),
    "drums": route("room 0.9 compressor 0.6 saturation 0.35 equaliser 1 equaliser 0.5 room 0.2"),
    "organ": route(f"amplifier 0.15 rotary 0.5 compressor 0.2 {_DESK}"),
    "vocals": route("compressor 0.9 saturation 0.15 equaliser 1 equaliser 0.5 delay 0.25 room 0.9"),
    "other": route(f"compressor 0.25 saturation 0.1 chorus 0.06 {_DESK}"),
}
"""Instrument group, "direct" for the direct signal of an electric instrument, to what it goes through."""
_ELECTRIC_PRESETS = (26, 27, 28, 33, 34, 35, 36, 37)
_TAKEN_AS_DIRECT = 0.5
"""Probability that an electric guitar or bass of a SoundFont, whose recording nobody knows, is taken as direct."""
DEVICE_SHARE = 0.08
"""Share of the songs that a device (a radio, a cheap loudspeaker) plays, all stems alike."""


@dataclass(frozen=True)
class Step:
    """An effect of `EFFECTS` with its settings."""

    effect: str
    settings: Settings

    def __str__(self) -> str:
        return f"{self.effect}({', '.join(f'{name} {_value_text(value)}' for name, value in self.settings.items())})"


Chain = tuple[Step, ...]


def draw_chains(
    parts: Sequence[Part],
    patches: Sequence[Patch | None],
    impulses: dict[str, tuple[Impulse, ...]],
    rng: np.random.Generator,
) -> list[Chain]:
    """A chain for every part of a song, as its patch asks for; with impulse responses by kind."""
    everybody: Chain = ()
    seeds = rng.integers(2**32, size=len(parts) + 1)
    song_rng = np.random.default_rng(seeds[-1])
    if song_rng.uniform() < DEVICE_SHARE and impulses["device"]:
        everybody = (Step("device", EFFECTS["device"].draw(song_rng, Scene("", 0, impulses))),)
    return [
        _draw(part, patch, impulses, np.random.default_rng(seed)) + everybody if patch else ()
        for part, patch, seed in zip(parts, patches, seeds, strict=False)
    ]


def _draw(part: Part, patch: Patch, impulses: dict[str, tuple[Impulse, ...]], rng: np.random.Generator) -> Chain:
    group = group_name(part) or ""
    steps = ROUTES[_route(group, patch, rng)]
    scene = Scene(group, part.program, impulses)
    chosen = [effect for effect, probability in steps if rng.uniform() < probability]
    return tuple(Step(effect, EFFECTS[effect].draw(rng, scene)) for effect in chosen)


def _route(group: str, patch: Patch, rng: np.random.Generator) -> str:
    taken = rng.uniform() < _TAKEN_AS_DIRECT
    electric = patch.source == "soundfont" and patch.program in _ELECTRIC_PRESETS and taken
    name = f"direct {group}" if patch.direct or electric else group
    return next(known for known in (name, group, "other") if known in ROUTES)


def apply_chain(samples: np.ndarray, chain: Chain, sample_rate: int) -> np.ndarray:
    """Send mono float32 (L,) through a chain: (L,), onsets and pitch where they were; its level says nothing."""
    if not samples.any():
        return samples
    for step in chain:
        samples = EFFECTS[step.effect].apply(samples, sample_rate, step.settings)
    return samples


def chain_text(chain: Chain) -> str:
    """The chain in words, for metadata."""
    return " > ".join(str(step) for step in chain)


def _value_text(value: float | str | Impulse | Tone) -> str:
    if isinstance(value, Impulse):
        return f"[{value.label}]"
    if isinstance(value, Tone):
        return " ".join(f"{gain:+.1f} dB at {hertz:.0f} Hz" for gain, hertz in (value.low, value.bell, value.high))
    return value if isinstance(value, str) else f"{value:.3g}"
