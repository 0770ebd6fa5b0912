"""All that the songs of a corpus can be played with: presets, packs and the impulse responses of their chains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scoresep.rendering.attributions import write_attributions
from scoresep.rendering.casting import draw_packs
from scoresep.rendering.chain import Chain, draw_chains
from scoresep.rendering.impulses import Impulse, ImpulseSet, read_impulses
from scoresep.rendering.packs import PackPool, pack_pool, read_probes, write_probes
from scoresep.rendering.parallel import Progress
from scoresep.rendering.patch import Patch
from scoresep.rendering.patches import PatchPool, patch_pool
from scoresep.rendering.settings import RenderSettings, digest
from scoresep.rendering.song import Song
from scoresep.rendering.synth import soundfont_bytes

_PACKS, _CHAINS = 1, 2
"""Set off the generators that draw packs and chains from the one that draws presets."""


@dataclass(frozen=True)
class Sounds:
    """What songs are played with.

    Attributes:
        presets: patches of the SoundFonts.
        packs: sounds of the folders, if any.
        impulses: impulse responses; None: stems have no chain.
    """

    presets: PatchPool
    packs: PackPool
    impulses: ImpulseSet | None

    @property
    def held_out(self) -> dict[str, tuple[str, ...]]:
        """Group to the labels that only test songs use."""
        presets, packs = self.presets.held_out, self.packs.held_out
        return {group: presets.get(group, ()) + packs.get(group, ()) for group in sorted({*presets, *packs})}

    @property
    def unused(self) -> tuple[tuple[str, str], ...]:
        """(label, reason) of sounds and impulse responses of the folders that are not used."""
        return self.packs.left_out + (self.impulses.left_out if self.impulses else ())

    def described(self) -> dict[str, str]:
        """What the corpus's settings remember of the folders: how many, and a digest."""
        packs = sorted(f"{pack.label} {pack.config}" for pack in self.packs.all)
        impulses = sorted(f"{i.label} {_content(i)}" for i in self.impulses.all) if self.impulses else []
        return {
            name: f"{len(lines)}, md5 {digest(chr(10).join(lines).encode())}"
            for name, lines in (("packs", packs), ("impulses", impulses))
            if lines
        }

    def cast(self, song: Song, split: str, settings: RenderSettings, presets: list[Patch | None]) -> list[Patch | None]:
        """The patch of every part: its pack, if it has one, else its preset."""
        rng = _generator(settings, song, _PACKS)
        packs = draw_packs(song, self.packs.of(split), settings.pack_share, rng)
        return [pack or preset for pack, preset in zip(packs, presets, strict=True)]

    def chains(self, song: Song, settings: RenderSettings, patches: list[Patch | None]) -> list[Chain]:
        if self.impulses is None:
            return [()] * len(song.parts)
        return draw_chains(song.parts, patches, self.impulses.by_kind, _generator(settings, song, _CHAINS))


def gather_sounds(
    out: Path, settings: RenderSettings, groups: Iterable[str], jobs: int, progress: Progress
) -> tuple[Sounds, dict[str, object]]:
    """The sounds that `settings` name, and what probing them found, to be kept beside the corpus `out`.

    Raises:
        ScoresepError: see `patch_pool`, `pack_pool`, `read_impulses`.
    """
    presets = patch_pool(settings.soundfonts, groups, settings.seed)
    known = read_probes(out) if settings.sounds else {}
    banks = {digest(soundfont_bytes(path)) for path in settings.soundfonts}
    packs, found = pack_pool(settings.sounds, settings.weak_packs, settings.seed, jobs, progress, known, banks)
    impulses = read_impulses(settings.impulses) if settings.with_chains else None
    return Sounds(presets, packs, impulses), found


def keep_probes(out: Path, found: dict[str, object]) -> None:
    if found:
        write_probes(out, found)


def attribute(out: Path, settings: RenderSettings, sounds: Sounds) -> None:
    """List whose sounds the corpus is made of, where it is of more than SoundFonts."""
    if settings.sounds or sounds.impulses:
        impulses = sounds.impulses.all if sounds.impulses else ()
        write_attributions(out, settings.soundfonts, sounds.packs.all, impulses)


def _generator(settings: RenderSettings, song: Song, number: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, int(song.uuid[:12], 16), number])


def _content(impulse: Impulse) -> str:
    return digest(impulse.path.read_bytes()) if impulse.path else str(impulse.number)
