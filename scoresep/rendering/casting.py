"""Who plays what: the patch of every part of a song, and what its sound goes through, drawn from the song's seed.

A part is played by a preset of its group, or by a pack that has its notes. Test songs draw from patches of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from scoresep.instruments import DRUM_PROGRAM, instrument_of
from scoresep.rendering.chain import Chain, draw_chains
from scoresep.rendering.effects import Tone, draw_tone
from scoresep.rendering.pools import PresetPool, preset_of_program
from scoresep.rendering.settings import RenderSettings, draw_level
from scoresep.rendering.song import Song, group_name
from scoresep.rendering.sounds import Sounds
from scoresep.rendering.sources.base import Patch
from scoresep.score.parts import Part

_REVERB = (0, 64)
_PACKS, _CHAINS, _LEVELS = 1, 2, 3
"""Set off the generators that draw packs, chains and levels from the one that draws presets."""
OWN_PROGRAM = 0.5
"""Probability that only packs made for a part's own program are asked, where there are any."""
DRIVEN_PROGRAMS = (29, 30)
"""Overdriven and distorted guitar: an amplifier makes them, of a direct signal."""
_LONG_NOTE = 1.0
"""A pack must sustain the longer notes of a part, up to so many seconds."""
_KITS = (
    "35:36 36:35 37:40,38 38:40 39:38,40 40:38 41:43,45 43:41,45 45:47,43,41 47:45,48 48:47,50,45 50:48,47 "
    "42:44,46 44:42,46 46:42,44 49:57,55 52:49,57 55:49,57 57:49,55 51:59,53 53:51,59 59:51,53"
)
SUBSTITUTES = {int(key): tuple(map(int, keys.split(","))) for key, keys in (row.split(":") for row in _KITS.split())}
"""Drum keys (General MIDI) to the nearest instruments of a kit that lacks them."""


@dataclass(frozen=True)
class CastPart:
    """A part with its patch, the strength of its reverberation (controller 91), its tone control and its level (LU).

    A chain takes the place of both, where there is one.
    """

    part: Part
    patch: Patch
    reverb: int
    tone: Tone
    chain: Chain = ()
    level: float = 0.0

    @property
    def program(self) -> int:
        """The program that metadata name: the part's own where the patch stands for it, else the patch's first."""
        return self.part.program if self.part.program in self.patch.programs else self.patch.programs[0]


class Draw(NamedTuple):
    """What is drawn for a part: its patch (None: no bank has its program), its reverberation and tone."""

    patch: Patch | None
    reverb: int
    tone: Tone


def cast_song(song: Song, split: str, settings: RenderSettings, sounds: Sounds) -> list[CastPart]:
    """Give every part a patch of its group, drawn from those of the split, and a reverberation and a tone, or a chain.

    Parts of groups that are not wanted are left out after the draw, so the others sound the same without them.
    """
    draws = draw_patches(song, split, settings, sounds)
    patches = [draw.patch for draw in draws]
    chains: list[Chain] = [()] * len(draws)
    if sounds.impulses is not None:
        chains = draw_chains(song.parts, patches, sounds.impulses.by_kind, _generator(settings, song, _CHAINS))
    rng = _generator(settings, song, _LEVELS)
    levels = [draw_level(settings.with_levels, group_name(part) or "", rng) for part in song.parts]
    return [
        CastPart(kept, draw.patch, draw.reverb, draw.tone, chain, level)
        for part, draw, chain, level in zip(song.parts, draws, chains, levels, strict=True)
        if draw.patch is not None and wanted(part, settings) and len(kept := playable(part, draw.patch))
    ]


def draw_patches(song: Song, split: str, settings: RenderSettings, sounds: Sounds) -> list[Draw]:
    """A patch, a reverberation and a tone for every part: its pack, if it has one, else its preset."""
    draws = _draw_presets(song, split, settings, sounds.presets)
    packs = draw_packs(song, sounds.packs.of(split), settings.pack_share, _generator(settings, song, _PACKS))
    return [draw._replace(patch=pack or draw.patch) for draw, pack in zip(draws, packs, strict=True)]


def wanted(part: Part, settings: RenderSettings) -> bool:
    """Whether the part's group is among those that are rendered."""
    return settings.wants(group_name(part))


def _generator(settings: RenderSettings, song: Song, *number: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, int(song.uuid[:12], 16), *number])


def _draw_presets(song: Song, split: str, settings: RenderSettings, pool: PresetPool) -> list[Draw]:
    """A preset, a reverberation and a tone for every part.

    Parts of one song with one program share a preset. A user's own program is not kept: its group is what is learnt,
    and variety of sounds is worth more. Programs outside all groups (effects, ethnic instruments) keep theirs.
    """
    rng = _generator(settings, song)
    shared: dict[tuple[str, int], Patch] = {}
    draws = []
    for part in song.parts:
        group = group_name(part)
        reverb, tone = int(rng.integers(*_REVERB)), draw_tone(rng)
        if group is None:
            patch = preset_of_program(settings.soundfonts, part.program)
        else:
            key = (group, part.program)
            choices = pool.of(split)[group]
            fresh = [patch for patch in choices if patch not in shared.values()] or list(choices)
            shared.setdefault(key, fresh[int(rng.integers(len(fresh)))])
            patch = shared[key]
        draws.append(Draw(patch, reverb, tone))
    return draws


def draw_packs(song: Song, packs: Sequence[Patch], share: float, rng: np.random.Generator) -> list[Patch | None]:
    """For every part the pack that plays it; None where a SoundFont does.

    Parts with one program share a pack, and those with others get others while there are any.

    Args:
        packs: those of the song's split.
        share: of the parts that packs play, where they can.
    """
    drawn: dict[tuple[str | None, int], Patch | None] = {}
    for part in song.parts:
        key = (group_name(part), part.program)
        if key not in drawn:
            alike = [other for other in song.parts if (group_name(other), other.program) == key]
            drawn[key] = _draw(alike, packs, share, [p for p in drawn.values() if p], rng)
    return [drawn[group_name(part), part.program] for part in song.parts]


def _draw(
    parts: Sequence[Part], packs: Sequence[Patch], share: float, taken: Sequence[Patch], rng: np.random.Generator
) -> Patch | None:
    sung = group_name(parts[0]) == "vocals"
    by_pack, own_program = rng.uniform() < share or sung, rng.uniform() < OWN_PROGRAM
    place = rng.uniform()
    choices = [pack for pack in packs if suits(pack, parts)]
    program = _program(parts[0])
    made_for_it = [pack for pack in choices if program in pack.programs]
    if own_program and made_for_it:
        choices = made_for_it
    choices = [pack for pack in choices if pack not in taken] or choices
    return choices[int(place * len(choices))] if by_pack and choices else None


def suits(pack: Patch, parts: Sequence[Part]) -> bool:
    """Whether `pack` is of the parts' group, has their notes and sustains them."""
    program = _program(parts[0])
    instrument = instrument_of(program)
    group = instrument.programs if instrument else (program,)
    if not set(group) & set(pack.programs) or (program in DRIVEN_PROGRAMS and not pack.direct):
        return False
    keys = {int(key) for part in parts for key in part.pitch}
    if pack.is_drum:
        return all(sounding_key(pack, key) is not None for key in keys)
    lengths = np.concatenate([part.offset - part.onset for part in parts])
    return keys <= pack.keys and pack.sustain >= min(float(np.percentile(lengths, 75)), _LONG_NOTE)


def sounding_key(kit: Patch, key: int) -> int | None:
    """The key of a kit that plays a drum: its own, or that of the nearest instrument it has; None if it has none."""
    return next((k for k in (key, *SUBSTITUTES.get(key, ())) if k in kit.keys), None)


def playable(part: Part, patch: Patch) -> Part:
    """The notes of a part that `patch` can play: on a key that it has, or of a kit the nearest instrument's."""
    plays = {key: sounding_key(patch, key) is not None if patch.is_drum else key in patch.keys for key in part.pitch}
    kept = np.array([plays[key] for key in part.pitch], dtype=bool)
    return part if kept.all() else part.chosen(kept)


def as_played(part: Part, patch: Patch) -> Part:
    """The part with the keys that `patch` plays it by. The score keeps the written ones."""
    if not patch.is_drum:
        return part
    keys = {key: sounding_key(patch, key) for key in set(part.pitch.tolist())}
    return replace(part, pitch=np.array([keys[k] if keys[k] is not None else k for k in part.pitch.tolist()]))


def _program(part: Part) -> int:
    return DRUM_PROGRAM if part.is_drum else part.program
