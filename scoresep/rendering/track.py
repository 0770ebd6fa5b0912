"""One song to one Slakh track folder."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pretty_midi
import pyloudnorm
import soundfile
import yaml

from scoresep.errors import NothingToDo
from scoresep.files import Sink, writing
from scoresep.instruments import DRUM_PROGRAM
from scoresep.rendering.casting import CastPart, as_played
from scoresep.rendering.chain import apply_chain, chain_text
from scoresep.rendering.effects import apply_tone
from scoresep.rendering.settings import temporary_name
from scoresep.rendering.song import Song
from scoresep.rendering.sources import SOURCES
from scoresep.score.midi_writing import midi_bytes
from scoresep.score.parts import Part

STEM_LUFS = -13.0
"""Integrated loudness every stem is brought to before the overall gain (Slakh's `normalization_factor`)."""
TARGET_PEAK_DB = -1.0
"""Highest peak of mix and stems, dB of full scale (Slakh's `target_peak`)."""
QUIETEST_LUFS = -70.0
"""A stem below the gate of BS.1770 has no loudness to normalise: it is left out, like stems Slakh could not render."""
_BLOCK_SECONDS = 0.4


class SilentSong(NothingToDo):
    """A song of which no part sounds: a user's file to be skipped, not a reason to stop."""


def write_track(folder: Path, song: Song, cast: Sequence[CastPart], sample_rate: int) -> None:
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
            _write(temporary, folder.name, song, cast, sample_rate)
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _write(folder: Path, track: str, song: Song, cast: Sequence[CastPart], sample_rate: int) -> None:
    sounds = [_sound(song, part, sample_rate) for part in cast]
    loudness = [integrated_loudness(sound, sample_rate) for sound in sounds]
    sounding = [n for n, lufs in enumerate(loudness) if lufs > QUIETEST_LUFS]
    if not sounding:
        raise SilentSong("none of its parts sounds with these SoundFonts", remedy="name others")
    samples, mix, gain = mix_stems([sounds[n] for n in sounding], [loudness[n] - cast[n].level for n in sounding])
    written = [_written_part(part) for part in cast]
    for n, stem_samples in zip(sounding, samples, strict=True):
        _write_flac(folder / "stems" / f"S{n:02d}.flac", stem_samples, sample_rate)
        (folder / "MIDI" / f"S{n:02d}.mid").write_bytes(midi_bytes([written[n]], song.seconds, song.tempo))
    _write_flac(folder / "mix.flac", mix, sample_rate)
    (folder / "all_src.mid").write_bytes(midi_bytes(written, song.seconds, song.tempo))
    metadata = {
        "UUID": song.uuid,
        "audio_dir": f"{track}/stems",
        "lmd_midi_dir": song.source,
        "midi_dir": f"{track}/MIDI",
        "normalization_factor": STEM_LUFS,
        "normalized": True,
        "overall_gain": gain,
        "stems": {f"S{n:02d}": _describe(part, loudness[n]) for n, part in enumerate(cast)},
        "target_peak": TARGET_PEAK_DB,
    }
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata, sort_keys=True), encoding="utf-8")


def _sound(song: Song, cast: CastPart, sample_rate: int) -> np.ndarray:
    part = as_played(cast.part, cast.patch)
    reverb = 0 if cast.chain else cast.reverb
    sound = SOURCES[cast.patch.source].play(cast.patch, song, part, sample_rate, reverb)
    return apply_chain(sound, cast.chain, sample_rate) if cast.chain else apply_tone(sound, cast.tone, sample_rate)


def _written_part(cast: CastPart) -> Part:
    """The part as its MIDI file shows it: program of the patch, 0 for drums, named after its instrument class."""
    program = 0 if cast.part.is_drum else cast.program
    return replace(cast.part, program=program, name=cast.part.name or _instrument_class(cast))


def _write_flac(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    with Sink(path, path) as sink:
        soundfile.write(sink, samples, sample_rate, format="FLAC", subtype="PCM_16")


def _instrument_class(cast: CastPart) -> str:
    return "Drums" if cast.part.is_drum else pretty_midi.program_to_instrument_class(cast.program)


def _describe(cast: CastPart, lufs: float) -> dict[str, object]:
    """Metadata of one stem, with the keys and the manners of Slakh (a stem without sound has no loudness)."""
    drums = cast.part.is_drum
    about: dict[str, object] = {
        "audio_rendered": lufs > QUIETEST_LUFS,
        "inst_class": _instrument_class(cast),
        "is_drum": drums,
        "midi_program_name": "Drums" if drums else pretty_midi.program_to_instrument_name(cast.program),
        "midi_saved": lufs > QUIETEST_LUFS,
        "plugin_name": cast.patch.label if lufs > QUIETEST_LUFS else "None",
        "program_num": DRUM_PROGRAM if drums else cast.program,
    }
    if lufs > QUIETEST_LUFS and math.isfinite(lufs):
        about["integrated_loudness"] = lufs
    if cast.level:
        about["level"] = round(cast.level, 2)
    if cast.chain:
        about["chain"] = chain_text(cast.chain)
    return about


# Loudness of stems and the gain of a mix, as Slakh does both


@lru_cache(maxsize=4)
def _meter(sample_rate: int) -> pyloudnorm.Meter:
    return pyloudnorm.Meter(sample_rate)


def integrated_loudness(samples: np.ndarray, sample_rate: int) -> float:
    """Loudness of mono (L,) in LUFS by ITU-R BS.1770-4; -inf where silent or not longer than one block (0.4 s)."""
    if len(samples) <= _BLOCK_SECONDS * sample_rate or not samples.any():
        return -math.inf
    return float(_meter(sample_rate).integrated_loudness(samples.astype(np.float64)))


def mix_stems(stems: Sequence[np.ndarray], loudness: Sequence[float]) -> tuple[list[np.ndarray], np.ndarray, float]:
    """Bring stems (L,) that count as so loud to -13 LUFS each, then all by one gain below the target peak.

    Returns:
        Stems and mix as int16 (L,), the mix exactly the sum of the stems, and the overall gain (linear, at most 1).
    """
    level = [samples * 10 ** ((STEM_LUFS - lufs) / 20) for samples, lufs in zip(stems, loudness, strict=True)]
    # A stem can peak above the mix (others cancel it there); neither may clip.
    peak = max(float(np.abs(samples).max()) for samples in [*level, np.sum(level, axis=0)])
    gain = min(1.0, 10 ** (TARGET_PEAK_DB / 20) / peak)
    integers: list[np.ndarray] = [np.rint(samples * (gain * 32767)).astype(np.int16) for samples in level]
    mix = np.asarray(np.sum(integers, axis=0, dtype=np.int32))
    return integers, mix.astype(np.int16), gain
