"""SoundFonts: which presets a bank has, and one part of a song to a mono signal.
The synthesizer is `midirenderer` (rustysynth inside). It always gives 48 kHz stereo of 16 bits and stops at the file's
last event, so MIDI handed to it carries an end marker (see `song.midi_bytes`).
"""

from __future__ import annotations

import hashlib
import io
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import midirenderer
import numpy as np
import pretty_midi
import soundfile

from scoresep.audio.loading import fit, resample
from scoresep.errors import ScoresepError
from scoresep.files import existing_file
from scoresep.rendering.patch import Credit
from scoresep.rendering.song import Song, midi_bytes
from scoresep.score.parts import Part

DRUM_BANK = 128
VOLUMES = (127, 90, 64, 45, 32, 16, 8)
"""Values of controller 7 tried in turn until the 16-bit output does not clip: as loud as fits, for its precision."""
CLIPPED = 32766
_GENERATOR = 4  # bytes of a generator record
_INSTRUMENT, _KEYS, _SAMPLE = 41, 43, 53  # generators (SoundFont 2.04, section 8.1.2)
_TABLES = (b"phdr", b"pbag", b"pgen", b"inst", b"ibag", b"igen")
_INFO = (b"ICOP", b"INAM", b"IENG")


@dataclass(frozen=True)
class Preset:
    """A sound of a SoundFont.

    Attributes:
        bank: 0 for melodic sounds, 128 for drum kits.
        program: 0-127.
        name: as the bank calls it.
        config: digest of the generators it is made of; two presets with one config sound the same.
        keys: MIDI keys that it has.
    """

    bank: int
    program: int
    name: str
    config: str
    keys: frozenset[int]


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
def presets(path: Path) -> tuple[Preset, ...]:
    """Presets of bank 0 and of the drum bank, ordered by bank and program.

    Raises:
        ScoresepError: the file is missing or is no SoundFont 2 bank.
    """
    data = soundfont_bytes(path)
    try:
        if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
            raise ValueError("no RIFF sfbk header")
        chunks = dict(_leaf_chunks(data, 12, len(data)))
        found = list(_parse_presets(*(chunks[name] for name in _TABLES)))
    except (ValueError, LookupError, struct.error) as fault:
        raise ScoresepError(f"{path} is not a readable SoundFont 2 bank ({fault}); use another .sf2 file") from fault
    return tuple(sorted((p for p in found if p.bank in (0, DRUM_BANK)), key=lambda p: (p.bank, p.program)))


def soundfont_credit(path: Path) -> Credit:
    """Whose a bank is, as its INFO list says (SoundFont 2.04, section 5): copyright, name and engineers."""
    data = soundfont_bytes(path)
    said = {name: body for name, body in _leaf_chunks(data, 12, len(data)) if name in _INFO}
    rights, bank, engineers = (_words(said.get(name, b"")) for name in _INFO)
    return Credit(rights, ", ".join(filter(None, (bank, engineers))))


def _words(text: bytes) -> str:
    """A text of the INFO list as one line."""
    return " ".join(text.split(b"\0")[0].decode("latin-1").split())


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
    headers: bytes, bags: bytes, generators: bytes, instruments: bytes, instrument_bags: bytes, instrument_gens: bytes
) -> Iterator[Preset]:
    rows = list(struct.iter_unpack("<20sHHHIII", headers))
    first_bags = [row[1] for row in struct.iter_unpack("<20sH", instruments)]
    keys = [
        frozenset().union(*(span for span, _ in _zones(instrument_bags, instrument_gens, *bounds, _SAMPLE)))
        for bounds in itertools.pairwise(first_bags)
    ]
    first_generator = [row[0] for row in struct.iter_unpack("<HH", bags)]
    for (name, program, bank, bag, *_), following in itertools.pairwise(rows):
        first, last = first_generator[bag], first_generator[following[3]]
        body = generators[first * _GENERATOR : last * _GENERATOR]
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        zones = _zones(bags, generators, bag, following[3], _INSTRUMENT)
        has = frozenset().union(*(span & keys[number] for span, number in zones))
        yield Preset(bank, program, name.split(b"\0")[0].decode("latin-1").strip(), digest, has)


def _zones(bags: bytes, generators: bytes, first: int, end: int, target: int) -> list[tuple[frozenset[int], int]]:
    """The zones of a preset or an instrument: their keys, and the number that generator `target` gives.

    A first zone without that generator says what holds for the others (SoundFont 2.04, sections 7.3 and 7.7).

    Raises:
        ValueError, struct.error: the tables end too early.
    """
    found, usual = [], frozenset(range(128))
    for bag in range(first, end):
        begin, stop = (struct.unpack_from("<H", bags, 4 * number)[0] for number in (bag, bag + 1))
        amounts = {}
        for number in range(begin, stop):
            operator, low, high = struct.unpack_from("<HBB", generators, number * _GENERATOR)
            amounts[operator] = (low, high)
        span = frozenset(range(amounts[_KEYS][0], amounts[_KEYS][1] + 1)) if _KEYS in amounts else usual
        if target in amounts:
            found.append((span, amounts[target][0] + 256 * amounts[target][1]))
        elif bag == first:
            usual = span
    return found


def render_part(
    path: Path, song: Song, part: Part, sample_rate: int, controls: tuple[tuple[int, int], ...] = ()
) -> np.ndarray:
    """Play `part` with the bank at `path`: mono float32 (round(seconds * sample_rate),), not clipped.

    The two channels are averaged. Its level says nothing (it is what fits into 16 bits); normalise it.

    Raises:
        ScoresepError: the synthesizer refuses the bank.
    """
    for volume in VOLUMES:
        samples, rate = _synthesize(path, midi_bytes(song, [part], ((7, volume), (11, 127), *controls)))
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
        raise ScoresepError(f"the synthesizer cannot play SoundFont {path} ({fault}); use another .sf2 file") from fault
    return soundfile.read(io.BytesIO(wave), dtype="int16", always_2d=True)
