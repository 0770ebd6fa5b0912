"""Which sounds a corpus may use: the patches of its SoundFonts by instrument group, and those kept for the test split.

A patch is a preset that really plays its notes: presets that are missing, silent in the group's register or an octave
off would make wrong labels and are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from scoresep.errors import ScoresepError
from scoresep.instruments import DRUM_PROGRAM, INSTRUMENTS, Instrument
from scoresep.rendering.patch import Patch
from scoresep.rendering.probing import OTHER_PROBES, PROBES, SILENT, heard, sounds_above
from scoresep.rendering.sources.soundfont import patch_of
from scoresep.rendering.synth import DRUM_BANK, Preset, presets

HELD_OUT_SHARE = 0.125
FEWEST_TO_HOLD_OUT = 3
"""A group with fewer different patches shares them between the splits."""
_UNSUITED = {47: "timpani do not sustain a chord", 55: "an orchestra hit is no pitch"}


@dataclass(frozen=True)
class PatchPool:
    """Patches by group.

    Attributes:
        training: group to the patches of train and validation.
        test: group to the patches of the test split; disjoint from `training` where the group has three or more.
        rejected: label to the reason why a preset of a group in use is not offered.
    """

    training: dict[str, tuple[Patch, ...]]
    test: dict[str, tuple[Patch, ...]]
    rejected: dict[str, str]

    def of(self, split: str) -> dict[str, tuple[Patch, ...]]:
        return self.test if split == "test" else self.training

    @property
    def held_out(self) -> dict[str, tuple[str, ...]]:
        """Group to the labels that only test songs use."""
        return {
            group: tuple(patch.label for patch in patches)
            for group, patches in self.test.items()
            if patches and patches != self.training[group]
        }


def check_soundfonts(soundfonts: Sequence[Path]) -> None:
    """See that all are banks and that their names tell them apart.

    Raises:
        ScoresepError: none is named, one is missing or broken, or two have one file name.
    """
    if not soundfonts:
        raise ScoresepError("no SoundFont is named; name at least one .sf2 file")
    names: dict[str, Path] = {}
    for path in soundfonts:
        presets(path)
        if path.name in names:
            raise ScoresepError(
                f"SoundFonts {names[path.name]} and {path} have one name; rename one, metadata name them by it"
            )
        names[path.name] = path


def patch_pool(soundfonts: Sequence[Path], groups: Iterable[str], seed: int) -> PatchPool:
    """The patches of every group in `groups`, with a seeded eighth (at least one) of each kept for the test split.

    Raises:
        ScoresepError: a SoundFont is missing or broken, or a group has no usable patch in any of them.
    """
    check_soundfonts(soundfonts)
    training, test, rejected = {}, {}, {}
    for group in sorted(set(groups)):
        usable, reasons = _usable(tuple(soundfonts), group)
        rejected.update(reasons)
        if not usable:
            banks = ", ".join(str(path) for path in soundfonts)
            raise ScoresepError(f"no usable {group} sound in {banks}; name a SoundFont with General MIDI programs")
        training[group], test[group] = _hold_out(usable, group, seed)
    return PatchPool(training, test, rejected)


def own_patch(soundfonts: Sequence[Path], program: int) -> Patch | None:
    """The melodic preset with this program in the first SoundFont that has it."""
    found = (patch_of(path, preset) for path in soundfonts for preset in presets(path))
    return next((patch for patch in found if patch.program == program and not patch.is_drum), None)


def _hold_out(usable: tuple[Patch, ...], group: str, seed: int) -> tuple[tuple[Patch, ...], tuple[Patch, ...]]:
    if len(usable) < FEWEST_TO_HOLD_OUT:
        return usable, usable
    order = np.random.default_rng([seed, *group.encode()]).permutation(len(usable))
    held = set(order[: max(1, round(HELD_OUT_SHARE * len(usable)))].tolist())
    kept = tuple(patch for n, patch in enumerate(usable) if n not in held)
    return kept, tuple(patch for n, patch in enumerate(usable) if n in held)


@lru_cache(maxsize=64)
def _usable(soundfonts: tuple[Path, ...], group: str) -> tuple[tuple[Patch, ...], dict[str, str]]:
    """Patches of a group that play their notes, and why others do not count; equal presets count once."""
    instrument = INSTRUMENTS[group]
    usable, reasons, seen = [], {}, {}
    for path in soundfonts:
        for preset in presets(path):
            patch = patch_of(path, preset)
            if not _belongs(preset, instrument):
                continue
            if preset.config in seen:
                reasons[patch.label] = f"the same sound as {seen[preset.config]}"
                continue
            reason = None if patch.is_drum else _fault(patch, group)
            if reason:
                reasons[patch.label] = reason
                continue
            seen[preset.config] = patch.label
            usable.append(patch)
    return tuple(usable), reasons


def _belongs(preset: Preset, instrument: Instrument) -> bool:
    if preset.bank == DRUM_BANK:
        return DRUM_PROGRAM in instrument.programs
    return preset.program in instrument.programs


def _fault(patch: Patch, group: str) -> str | None:
    """Why a pitched preset does not play its notes, heard on a few notes of the group's register; None if it does."""
    if patch.program in _UNSUITED:
        return _UNSUITED[patch.program]
    pitches = PROBES.get(group, OTHER_PROBES)
    clips = heard(patch, pitches)
    loudest = np.abs(clips).max(axis=1)
    if loudest.min() < SILENT * max(loudest.max(), 1e-6):
        return f"silent at pitch {pitches[int(loudest.argmin())]}"
    octave_off = [sounds_above(clip, pitch) for clip, pitch in zip(clips, pitches, strict=True)]
    return "sounds above its written pitch" if sum(octave_off) > len(pitches) / 2 else None
