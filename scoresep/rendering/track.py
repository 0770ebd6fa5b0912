"""One song to one Slakh track folder."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile
import yaml

from scoresep.errors import ScoresepError
from scoresep.files import new_sink, writing
from scoresep.instruments import DRUM_PROGRAM
from scoresep.rendering.casting import as_played, written_program
from scoresep.rendering.chain import Chain, apply_chain, described
from scoresep.rendering.loudness import STEM_LUFS, TARGET_PEAK_DB, integrated_loudness, mix_stems
from scoresep.rendering.patch import Patch
from scoresep.rendering.song import Song, midi_bytes
from scoresep.rendering.sources import SOURCES
from scoresep.rendering.tone import Tone, apply_tone
from scoresep.score.parts import Part

QUIETEST_LUFS = -70.0
"""A stem below the gate of BS.1770 has no loudness to normalise: it is left out, like stems Slakh could not render."""


class SilentSong(ScoresepError):
    """A song of which no part sounds: a user's file to be skipped, not a reason to stop."""


@dataclass(frozen=True)
class Stem:
    """A part with the patch that plays it, the strength of its reverberation (controller 91) and its tone control.

    A chain takes the place of both, where there is one.
    """

    part: Part
    patch: Patch
    reverb: int
    tone: Tone
    chain: Chain = ()


def write_track(folder: Path, song: Song, stems: Sequence[Stem], sample_rate: int) -> None:
    """Render `song` into `folder`: written under a temporary name beside it, renamed when whole.

    Raises:
        SilentSong: no stem gives any sound.
        Unwritable: the disk refuses.
    """
    temporary = temporary_name(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    with writing(folder):
        try:
            (temporary / "MIDI").mkdir(parents=True)
            (temporary / "stems").mkdir()
            _write(temporary, folder.name, song, stems, sample_rate)
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def temporary_name(folder: Path) -> Path:
    """Where a track is written until it is whole; no reader looks for names that start with a dot."""
    return folder.with_name(f".{folder.name}.tmp")


def _write(folder: Path, track: str, song: Song, stems: Sequence[Stem], sample_rate: int) -> None:
    sounds = [_sound(song, stem, sample_rate) for stem in stems]
    loudness = [integrated_loudness(sound, sample_rate) for sound in sounds]
    heard = [n for n, lufs in enumerate(loudness) if lufs > QUIETEST_LUFS]
    if not heard:
        raise SilentSong("none of its parts sounds with these SoundFonts")
    samples, mix, gain = mix_stems([sounds[n] for n in heard], [loudness[n] for n in heard])
    written = [_written_part(stem) for stem in stems]
    for n, stem_samples in zip(heard, samples, strict=True):
        _write_flac(folder / "stems" / f"S{n:02d}.flac", stem_samples, sample_rate)
        (folder / "MIDI" / f"S{n:02d}.mid").write_bytes(midi_bytes(song, [written[n]]))
    _write_flac(folder / "mix.flac", mix, sample_rate)
    (folder / "all_src.mid").write_bytes(midi_bytes(song, written))
    metadata = {
        "UUID": song.uuid,
        "audio_dir": f"{track}/stems",
        "lmd_midi_dir": song.source,
        "midi_dir": f"{track}/MIDI",
        "normalization_factor": STEM_LUFS,
        "normalized": True,
        "overall_gain": gain,
        "stems": {f"S{n:02d}": _describe(stem, loudness[n]) for n, stem in enumerate(stems)},
        "target_peak": TARGET_PEAK_DB,
    }
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata, sort_keys=True), encoding="utf-8")


def _sound(song: Song, stem: Stem, sample_rate: int) -> np.ndarray:
    part = as_played(stem.part, stem.patch)
    reverb = 0 if stem.chain else stem.reverb
    sound = SOURCES[stem.patch.source].play(stem.patch, song, part, sample_rate, reverb)
    return apply_chain(sound, stem.chain, sample_rate) if stem.chain else apply_tone(sound, stem.tone, sample_rate)


def _written_part(stem: Stem) -> Part:
    """The part as its MIDI file shows it: program of the patch, 0 for drums, named after its instrument class."""
    program = 0 if stem.part.is_drum else _program(stem)
    return replace(stem.part, program=program, name=stem.part.name or _instrument_class(stem))


def _program(stem: Stem) -> int:
    return written_program(stem.part, stem.patch)


def _write_flac(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    with new_sink(path, path) as sink:
        soundfile.write(sink, samples, sample_rate, format="FLAC", subtype="PCM_16")


def _instrument_class(stem: Stem) -> str:
    return "Drums" if stem.part.is_drum else pretty_midi.program_to_instrument_class(_program(stem))


def _describe(stem: Stem, lufs: float) -> dict[str, object]:
    """Metadata of one stem, with the keys and the manners of Slakh (a stem without sound has no loudness)."""
    drums = stem.part.is_drum
    about: dict[str, object] = {
        "audio_rendered": lufs > QUIETEST_LUFS,
        "inst_class": _instrument_class(stem),
        "is_drum": drums,
        "midi_program_name": "Drums" if drums else pretty_midi.program_to_instrument_name(_program(stem)),
        "midi_saved": lufs > QUIETEST_LUFS,
        "plugin_name": stem.patch.label if lufs > QUIETEST_LUFS else "None",
        "program_num": DRUM_PROGRAM if drums else _program(stem),
    }
    if lufs > QUIETEST_LUFS and math.isfinite(lufs):
        about["integrated_loudness"] = lufs
    if stem.chain:
        about["chain"] = described(stem.chain)
    return about
