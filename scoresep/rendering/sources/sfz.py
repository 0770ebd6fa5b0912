"""SFZ instruments as a source, played by sfizz (`pysfizz`).

A part is played by an instrument of its own: the regions that its notes need, loaded anew. So a part's bytes do not
depend on what was played before it (sfizz counts round robins on), and samples that nothing needs are not decoded.
"""

from __future__ import annotations

import hashlib
import io
import math
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pysfizz
import soundfile

from scoresep.audio.loading import fit
from scoresep.errors import ScoresepError, first_line
from scoresep.rendering.patch import Patch, Source
from scoresep.rendering.song import Song
from scoresep.rendering.sources.sfz_text import Region, keys_of, read_regions, samples_of, sfz_text, velocities_of
from scoresep.score.channels import DEFAULT_BEND_RANGE
from scoresep.score.parts import Part

BLOCK = 256
"""Samples computed at once; events lie between them at their own sample."""
VOICES = 256
INTERPOLATION = 2
"""sfizz's quality of playing a sample at another pitch, 1-10: 10 takes three times as long, and differs by -60 dB."""
FULL_BEND = 8191
_END_BYTES = 2**16
_ON, _OFF, _BEND = 2, 0, 1
"""Order of events at one sample."""


@lru_cache(maxsize=256)
def _instrument(path: Path) -> tuple[list[Region], Region]:
    return read_regions(path)


def list_instrument(path: Path) -> tuple[Patch, ...]:
    """The one patch of an SFZ file.

    Raises:
        ScoresepError: it is unreadable, it has no regions or no keys, or a sample of it is missing or broken.
    """
    regions, control = _instrument(path)
    digest = hashlib.md5(sfz_text(_nameless(regions), control, 0).encode(), usedforsecurity=False)
    samples = samples_of(regions)
    for sample in samples:
        _check(sample, path)
        digest.update(_ends(sample))
    keys = frozenset(key for region in regions for key in keys_of(region, control))
    if not keys:
        raise ScoresepError(f"{path} has no keys that notes start; use another .sfz file")
    material = frozenset(str(sample.resolve()) for sample in samples)
    return (Patch(path, 0, False, path.name, path.stem, "sfz", 0, digest.hexdigest(), material, keys=keys),)


def _nameless(regions: list[Region]) -> list[Region]:
    """The regions with samples by their file names: a copy elsewhere is the same instrument."""
    return [region | {"sample": Path(region["sample"]).name} for region in regions]


def _ends(sample: Path) -> bytes:
    """The first and the last bytes of a file, and its size: what tells two recordings apart, however long."""
    with sample.open("rb") as file:
        first = file.read(_END_BYTES)
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _END_BYTES))
        return first + file.read() + size.to_bytes(8, "little")


def _check(sample: Path, path: Path) -> None:
    try:
        frames = soundfile.info(sample).frames
    except (OSError, RuntimeError) as fault:
        raise ScoresepError(
            f"{path}: sample {sample} is missing or broken ({first_line(fault)}); replace it"
        ) from fault
    if not frames:
        raise ScoresepError(f"{path}: sample {sample} is empty; replace it")


def play(patch: Patch, song: Song, part: Part, sample_rate: int, reverb: int) -> np.ndarray:
    """Play `part` with the instrument at `patch.path`; it has no reverberation of its own.

    Raises:
        ScoresepError: sfizz does not load it.
    """
    length = round(song.seconds * sample_rate)
    bend_range = max(DEFAULT_BEND_RANGE, math.ceil(np.abs(part.bend).max(initial=0.0)))
    synth = _loaded(patch.path, part, bend_range, sample_rate)
    return _played(synth, _events(part, bend_range, sample_rate), length)


def _played(synth: pysfizz._sfizz.Synth, events: Sequence[tuple[int, int, int, int]], length: int) -> np.ndarray:
    """What the synthesizer gives for `events`: float32 (length,), the mean of its channels; rests cost nothing."""
    sound = np.zeros((length // BLOCK + 1) * BLOCK, dtype=np.float32)
    calls = {_ON: synth.note_on, _OFF: synth.note_off}
    done = 0
    for start in range(0, length, BLOCK):
        begun = done
        while done < len(events) and events[done][0] < start + BLOCK:
            time, kind, key, value = events[done]
            if kind == _BEND:
                synth.pitch_wheel(time - start, value)
            else:
                calls[kind](time - start, key, value)
            done += 1
        if done > begun or synth.get_num_active_voices():
            left, right = synth.render_block()
            np.add(left, right, out=sound[start : start + BLOCK])
    return fit(sound / 2, length)


def _loaded(path: Path, part: Part, bend_range: float, sample_rate: int) -> pysfizz._sfizz.Synth:
    """The synthesizer with the regions that the notes of `part` need."""
    regions, control = _instrument(path)
    notes = sorted(set(zip(part.pitch.tolist(), part.velocity.tolist(), strict=True)))
    needed = [
        region
        for region in regions
        if (keys := keys_of(region, control))
        and (velocities := velocities_of(region))
        and any(key in keys and velocity in velocities for key, velocity in notes)
    ]
    synth = pysfizz.Synth(sample_rate, BLOCK)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        file.write_text(sfz_text(needed, control, bend_range), encoding="utf-8")
        if needed and not synth.load_sfz_file(file):
            raise ScoresepError(f"sfizz cannot play {path}; use another .sfz file")
    synth._synth.set_num_voices(VOICES)
    synth._synth.set_sample_quality(INTERPOLATION)
    return synth._synth


def _events(part: Part, bend_range: float, sample_rate: int) -> list[tuple[int, int, int, int]]:
    """(sample, kind, key, value) in the order of playing."""

    def at(seconds: float) -> int:
        return max(0, round(seconds * sample_rate))

    events = []
    for onset, offset, pitch, velocity in zip(part.onset, part.offset, part.pitch, part.velocity, strict=True):
        start = at(onset)
        events += [(start, _ON, int(pitch), int(velocity)), (max(at(offset), start + 1), _OFF, int(pitch), 0)]
    for time, semitones in zip(part.bend_time, part.bend, strict=True):
        events.append((at(time), _BEND, 0, round(FULL_BEND * float(np.clip(semitones / bend_range, -1, 1)))))
    return sorted(events)


SFZ = Source(".sfz", list_instrument, play)
