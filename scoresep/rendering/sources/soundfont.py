"""SoundFonts as a source: a patch is a preset, and the synthesizer is `synth`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from scoresep.rendering.patch import Patch, Source
from scoresep.rendering.song import Song
from scoresep.rendering.synth import DRUM_BANK, Preset, presets, render_part, soundfont_bytes, soundfont_credit
from scoresep.score.parts import Part


def patch_of(path: Path, preset: Preset) -> Patch:
    drums = preset.bank == DRUM_BANK
    label = f"{path.name}:drums:{preset.program:03d}" if drums else f"{path.name}:{preset.program:03d}"
    material = frozenset({str(path)})
    return Patch(
        path,
        preset.program,
        drums,
        label,
        preset.name,
        bank=preset.bank,
        config=preset.config,
        material=material,
        keys=preset.keys,
    )


def list_presets(path: Path) -> tuple[Patch, ...]:
    """The presets; a config, which names samples by number, counts in its own bank alone."""
    bank = hashlib.md5(soundfont_bytes(path), usedforsecurity=False).hexdigest()
    found = (patch_of(path, preset) for preset in presets(path))
    credit = soundfont_credit(path)
    return tuple(replace(patch, config=f"{bank} {patch.config}", credit=credit) for patch in found)


def play(patch: Patch, song: Song, part: Part, sample_rate: int, reverb: int) -> np.ndarray:
    # A kit among the melodic presets is played as one of them.
    part = replace(part, program=patch.program, is_drum=patch.bank == DRUM_BANK)
    return render_part(patch.path, song, part, sample_rate, ((91, reverb), (93, 0)))


SOUNDFONT = Source(".sf2", list_presets, play)
