"""SoundFonts as a source: a patch is a preset, played by `midirenderer` (rustysynth).

The synthesizer always gives 48 kHz stereo of 16 bits and stops at the last event, so the MIDI handed to it carries an
end marker (`score.midi_writing`). Section numbers are those of the SoundFont 2.04 specification.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import midirenderer
import numpy as np
import pretty_midi
import soundfile

from scoresep.audio.loading import fit, resample
from scoresep.errors import Damaged, Failed, ScoresepError
from scoresep.files import existing_file
from scoresep.rendering.song import Song, digest
from scoresep.rendering.sources.base import Credit, Patch, SoundSource
from scoresep.score.midi_writing import midi_bytes
from scoresep.score.parts import Part

DRUM_BANK = 128
VOLUMES = (127, 90, 64, 45, 32, 16, 8)
"""Values of controller 7 tried in turn until the 16-bit output does not clip: as loud as fits, for its precision."""
CLIPPED = 32766
_GENERATOR = 4  # bytes of a generator record
_INSTRUMENT, _KEYS, _SAMPLE = 41, 43, 53  # generators (section 8.1.2)
_TABLES = (b"phdr", b"pbag", b"pgen", b"inst", b"ibag", b"igen")
_INFO = (b"ICOP", b"INAM", b"IENG")


def default_soundfont() -> Path:
    """The bank that pretty_midi ships."""
    return Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"


@lru_cache(maxsize=8)
def soundfont_bytes(path: Path) -> bytes:
    """The file's bytes; kept, because every part of every song needs them.

    Raises:
        ScoresepError: the file is missing or unreadable.
    """
    return existing_file(path, "SoundFont", "name a .sf2 file or leave --soundfont out").read_bytes()


@lru_cache(maxsize=8)
def soundfont_digest(path: Path) -> str:
    """md5 of the file."""
    return digest(soundfont_bytes(path))


@lru_cache(maxsize=8)
def presets(path: Path) -> tuple[Patch, ...]:
    """Presets of bank 0 and of the drum bank, ordered by bank and program. `config` digests their generators.

    Raises:
        ScoresepError: the file is missing.
        Damaged: it is no SoundFont 2 bank.
    """
    data = soundfont_bytes(path)
    try:
        if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
            raise ValueError("no RIFF sfbk header")
        chunks = dict(_leaf_chunks(data, 12, len(data)))
        patches = list(_parse_presets(path, *(chunks[name] for name in _TABLES)))
    except (ValueError, LookupError, struct.error) as fault:
        problem = f"not a readable SoundFont 2 bank ({fault})"
        raise Damaged(problem, file=path, remedy="use another .sf2 file") from fault
    return tuple(sorted(patches, key=lambda patch: (patch.bank, patch.program)))


def soundfont_credit(path: Path) -> Credit:
    """Whose a bank is, as its INFO list says (section 5): copyright, name and engineers."""
    data = soundfont_bytes(path)
    info = {name: body for name, body in _leaf_chunks(data, 12, len(data)) if name in _INFO}
    rights, bank, engineers = (" ".join(_text(info.get(name, b"")).split()) for name in _INFO)
    return Credit(rights, ", ".join(filter(None, (bank, engineers))))


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("latin-1")


def _leaf_chunks(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Walk a RIFF body: (id, body) of the preset tables and credits in its LISTs; sample data are not copied."""
    while start + 8 <= end:
        name, size = data[start : start + 4], struct.unpack_from("<I", data, start + 4)[0]
        body = start + 8
        if body + size > end:
            raise ValueError(f"chunk {name!r} runs past the end of the file")
        if name == b"LIST":
            yield from _leaf_chunks(data, body + 4, body + size)
        elif name in (*_TABLES, *_INFO):
            yield name, data[body : body + size]
        start = body + size + size % 2


def _parse_presets(
    path: Path,
    headers: bytes,
    bags: bytes,
    generators: bytes,
    instruments: bytes,
    instrument_bags: bytes,
    instrument_gens: bytes,
) -> Iterator[Patch]:
    first_bags = [row[1] for row in struct.iter_unpack("<20sH", instruments)]
    instrument_keys = [
        frozenset().union(*(span for span, _ in _zones(instrument_bags, instrument_gens, *bounds, _SAMPLE)))
        for bounds in itertools.pairwise(first_bags)
    ]
    first_generator = [row[0] for row in struct.iter_unpack("<HH", bags)]
    rows = struct.iter_unpack("<20sHHHIII", headers)
    for (name, program, bank, bag, *_), following in itertools.pairwise(rows):
        first, last = first_generator[bag], first_generator[following[3]]
        zones = _zones(bags, generators, bag, following[3], _INSTRUMENT)
        keys = frozenset[int]().union(*(span & instrument_keys[number] for span, number in zones))
        drums = bank == DRUM_BANK
        if bank == 0 or drums:
            yield Patch(
                path,
                program,
                drums,
                f"{path.name}:{'drums:' * drums}{program:03d}",
                _text(name).strip(),
                bank=bank,
                config=digest(generators[first * _GENERATOR : last * _GENERATOR]),
                material=frozenset({str(path)}),
                keys=keys,
            )


def _zones(bags: bytes, generators: bytes, first: int, end: int, target: int) -> list[tuple[frozenset[int], int]]:
    """The zones of a preset or an instrument: their keys, and the number that generator `target` gives.

    A first zone without that generator holds the defaults of the others (sections 7.3 and 7.7).

    Raises:
        ValueError, struct.error: the tables end too early.
    """
    zones, default = [], frozenset(range(128))
    for bag in range(first, end):
        begin, stop = (struct.unpack_from("<H", bags, 4 * number)[0] for number in (bag, bag + 1))
        amounts = {}
        for number in range(begin, stop):
            operator, low, high = struct.unpack_from("<HBB", generators, number * _GENERATOR)
            amounts[operator] = (low, high)
        span = frozenset(range(amounts[_KEYS][0], amounts[_KEYS][1] + 1)) if _KEYS in amounts else default
        if target in amounts:
            zones.append((span, amounts[target][0] + 256 * amounts[target][1]))
        elif bag == first:
            default = span
    return zones


def list_presets(path: Path) -> tuple[Patch, ...]:
    """The presets with their credit; a config, which names samples by number, counts in its own bank alone."""
    credit = soundfont_credit(path)
    bank = soundfont_digest(path)
    return tuple(replace(patch, config=f"{bank} {patch.config}", credit=credit) for patch in presets(path))


def play(patch: Patch, song: Song, part: Part, sample_rate: int, reverb: int) -> np.ndarray:
    """See `SoundSource.play`; controller 91 is the strength of the reverberation, and there is no chorus (93)."""
    part = replace(part, program=patch.program, is_drum=patch.bank == DRUM_BANK)  # a kit may lie among melodic presets
    return render_part(patch.path, song, part, sample_rate, ((91, reverb), (93, 0)))


def render_part(
    path: Path, song: Song, part: Part, sample_rate: int, controls: tuple[tuple[int, int], ...] = ()
) -> np.ndarray:
    """Play `part` with the bank at `path`: mono float32 (round(seconds * sample_rate),), not clipped.

    The two channels are averaged. The level means nothing (it is what fits into 16 bits); normalise it.

    Raises:
        Failed: the synthesizer refuses the bank.
    """
    for volume in VOLUMES:
        midi = midi_bytes([part], song.seconds, song.tempo, ((7, volume), (11, 127), *controls))
        samples, rate = _synthesize(path, midi)
        if np.abs(samples.astype(np.int32)).max(initial=0) < CLIPPED:
            break
    mono = samples.astype(np.float32).mean(axis=1) / 32768
    return fit(resample(mono, rate, sample_rate), round(song.seconds * sample_rate))


def _synthesize(path: Path, midi: bytes) -> tuple[np.ndarray, int]:
    """Run the synthesizer: int16 (L, 2) and its rate."""
    try:
        wave = midirenderer.render_wave_from(soundfont_bytes(path), midi)
    except ScoresepError:
        raise
    except BaseException as fault:
        # A panic inside the Rust library arrives as pyo3's PanicException, which is no Exception.
        if not isinstance(fault, Exception) and type(fault).__name__ != "PanicException":
            raise
        problem = f"the synthesizer cannot play this SoundFont ({fault})"
        raise Failed(problem, file=path, remedy="use another .sf2 file") from fault
    samples, rate = soundfile.read(io.BytesIO(wave), dtype="int16", always_2d=True)
    return samples, rate


SOUNDFONT = SoundSource(play, ".sf2", list_presets)
