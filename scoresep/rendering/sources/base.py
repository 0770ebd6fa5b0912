"""What a sound source must offer, and what it offers: patches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scoresep.errors import Damaged
from scoresep.files import read_text
from scoresep.instruments import instrument_of
from scoresep.rendering.song import Song
from scoresep.score.parts import Part


@dataclass(frozen=True)
class Credit:
    """Where a sound comes from.

    Attributes:
        licence, attribution: as its maker states them; "" where nothing is said.
        maker: who recorded it; sounds of one maker lie on one side of the test split.
        weak: whether the licence is stated by a collector only, or has conditions.
    """

    licence: str = ""
    attribution: str = ""
    maker: str = ""
    weak: bool = False


NO_CREDIT = Credit()


@dataclass(frozen=True)
class Patch:
    """A sound that plays parts: a preset of a SoundFont, or an instrument of another source.

    Attributes:
        path: the file.
        program: 0-127, that the source plays it by; for drums the kit.
        is_drum: whether it is a drum kit.
        label: as metadata name it (Slakh's `plugin_name`), "TimGM6mb.sf2:033" or "guitar/emily_electric_di".
        name: as its maker calls it.
        source: row of `sources.SOURCES`.
        bank: of a SoundFont's preset, 128 for its drum kits.
        config: digest of what it is made of; two patches with one config sound the same.
        material: files (or the like) that hold its recordings; patches that share one are of one instrument.
        stands_for: programs that it can play (128: drums); none: `program` alone.
        keys: MIDI keys that it has.
        direct: whether it is the direct signal of an electric instrument, which wants an amplifier.
        sustain: seconds for which a held note is heard, at least.
        credit: whose it is.
    """

    path: Path
    program: int
    is_drum: bool
    label: str
    name: str
    source: str = "soundfont"
    bank: int = 0
    config: str = ""
    material: frozenset[str] = frozenset()
    stands_for: tuple[int, ...] = ()
    keys: frozenset[int] = frozenset(range(128))
    direct: bool = False
    sustain: float = float("inf")
    credit: Credit = NO_CREDIT

    @property
    def programs(self) -> tuple[int, ...]:
        return self.stands_for or (self.program,)

    @property
    def group(self) -> str:
        """Name of the instrument group of its first program; the program itself where no group has it."""
        instrument = instrument_of(self.programs[0])
        return instrument.name if instrument else f"program {self.programs[0]}"


@dataclass(frozen=True)
class SoundSource:
    """A kind of sound source.

    Attributes:
        play: a part of a song by one of its patches, mono float32 (round(seconds * sample_rate),). Its arguments are
            patch, song, part, sample rate (Hz) and the strength of the source's own reverberation, 0-127, if it has
            one. The level of the result means nothing.
        suffix: of its files in `--sounds`, with the dot; '' for a source that has an option of its own.
        list: the patches of such a file, with everything but `stands_for`, `direct` and `sustain`; with `credit` if the
            file says whose they are.
            Raises a ScoresepError for a file that it cannot play.
        probe: the patch with its keys and `sustain`, or why it cannot be used; None: a few notes are heard
            (`probing.probe_patch`).
    """

    play: Callable[[Patch, Song, Part, int, int], np.ndarray]
    suffix: str = ""
    list: Callable[[Path], tuple[Patch, ...]] = lambda path: ()
    probe: Callable[[Patch], Patch | str] | None = None


def is_weak(provenance: object) -> bool:
    """Whether a sound's provenance, as its maker states it, is weak: it is used only if it is asked for."""
    return str(provenance or "").strip().lower().startswith("weak")


def read_json_table(path: Path) -> dict[str, Any]:
    """A JSON file that says what a sound is.

    Raises:
        Damaged: it is none.
    """
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as fault:
        raise Damaged(f"not readable JSON ({fault})", file=path, remedy="correct it") from fault
    if not isinstance(content, dict):
        raise Damaged("not a table of settings", file=path, remedy="correct it")
    return content
