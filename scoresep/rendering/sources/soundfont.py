"""SoundFonts as a source: a patch is a preset, played by `midirenderer` (rustysynth).

The synthesizer always gives 48 kHz stereo of 16 bits and stops at the last event, so the MIDI handed to it carries an
end marker (`score.midi_writing`). Section numbers are those of the SoundFont 2.04 specification.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterator, Sequence
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
_OFFSETS = {**dict.fromkeys((0, 1, 2, 3), 1), **dict.fromkeys((4, 12, 45, 50), 32768)}
"""Generators that move the ends of a sample or of its loop, and by how many samples a unit."""
_GUARD = 64
"""Samples kept around each: a player looks beyond the end."""
_TABLES = (b"phdr", b"pbag", b"pgen", b"inst", b"ibag", b"igen")
_INFO = (b"ICOP", b"INAM", b"IENG")
_PRESET_ROW, _INSTRUMENT_ROW, _SAMPLE_ROW = "<20sHHHIII", "<20sH", "<20sIIIIIBbHH"


Buffer = bytes | memoryview


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
        chunks = _chunks(path)
        patches = list(_parse_presets(path, *(chunks[name] for name in _TABLES)))
    except (ValueError, LookupError, struct.error) as fault:
        problem = f"not a readable SoundFont 2 bank ({fault})"
        raise Damaged(problem, file=path, remedy="use another .sf2 file") from fault
    return tuple(sorted(patches, key=lambda patch: (patch.bank, patch.program)))


def soundfont_credit(path: Path) -> Credit:
    """Whose a bank is, as its INFO list says (section 5): copyright, name and engineers."""
    rights, bank, engineers = (" ".join(_text(_chunks(path).get(name, b"")).split()) for name in _INFO)
    return Credit(rights, ", ".join(filter(None, (bank, engineers))))


def _text(field: Buffer) -> str:
    return bytes(field).split(b"\0")[0].decode("latin-1")


@lru_cache(maxsize=8)
def _chunks(path: Path) -> dict[bytes, Buffer]:
    data = memoryview(soundfont_bytes(path))
    return dict(_leaf_chunks(data, 12, len(data)))


def _leaf_chunks(data: memoryview, start: int, end: int) -> Iterator[tuple[bytes, memoryview]]:
    """Walk a RIFF body: (id, body) of what lies in its LISTs; nothing is copied."""
    while start + 8 <= end:
        name, size = bytes(data[start : start + 4]), struct.unpack_from("<I", data, start + 4)[0]
        body = start + 8
        if body + size > end:
            raise ValueError(f"chunk {name!r} runs past the end of the file")
        if name == b"LIST":
            yield from _leaf_chunks(data, body + 4, body + size)
        else:
            yield name, data[body : body + size]
        start = body + size + size % 2


def _parse_presets(
    path: Path,
    headers: Buffer,
    bags: Buffer,
    generators: Buffer,
    instruments: Buffer,
    instrument_bags: Buffer,
    instrument_gens: Buffer,
) -> Iterator[Patch]:
    first_bags = [row[1] for row in struct.iter_unpack(_INSTRUMENT_ROW, instruments)]
    instrument_keys = [
        frozenset().union(*(span for span, _ in _zones(instrument_bags, instrument_gens, *bounds, _SAMPLE)))
        for bounds in itertools.pairwise(first_bags)
    ]
    first_generator = [row[0] for row in struct.iter_unpack("<HH", bags)]
    rows = struct.iter_unpack(_PRESET_ROW, headers)
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


def _zones(bags: Buffer, generators: Buffer, first: int, end: int, target: int) -> list[tuple[frozenset[int], int]]:
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


# A bank of one preset


@lru_cache(maxsize=4)
def bank_of(path: Path, bank: int, program: int) -> bytes:
    """A bank with one preset and what it plays: the synthesizer, which reads a bank for every part, has it at once.

    The whole bank where it has no such preset, or cannot be read.

    Raises:
        ScoresepError: the file is missing or unreadable.
    """
    try:
        chunks = _chunks(path)
        headers = list(struct.iter_unpack(_PRESET_ROW, chunks[b"phdr"]))
        number = max(n for n, row in enumerate(headers[:-1]) if row[1:3] == (program, bank))
        span = (headers[number][3], headers[number + 1][3])
        bags, generators, _, named = _cut(chunks[b"pbag"], chunks[b"pgen"], [span], _INSTRUMENT)
        instruments = list(struct.iter_unpack(_INSTRUMENT_ROW, chunks[b"inst"]))
        spans = [(instruments[n][1], instruments[n + 1][1]) for n in named]
        inner_bags, inner_generators, firsts, samples = _cut(chunks[b"ibag"], chunks[b"igen"], spans, _SAMPLE)
        sound, rows = _cut_samples(chunks, samples, _reach(inner_generators))
    except (ValueError, LookupError, struct.error):
        return soundfont_bytes(path)
    ends = struct.pack(_PRESET_ROW, b"EOP", 0, 0, len(bags) // 4 - 1, 0, 0, 0)
    names = [*(instruments[n][0] for n in named), b"EOI"]
    tables = {
        b"phdr": struct.pack(_PRESET_ROW, *headers[number][:3], 0, 0, 0, 0) + ends,
        b"pbag": bags,
        b"pmod": bytes(10),
        b"pgen": generators,
        b"inst": b"".join(struct.pack(_INSTRUMENT_ROW, *row) for row in zip(names, firsts, strict=True)),
        b"ibag": inner_bags,
        b"imod": bytes(10),
        b"igen": inner_generators,
        b"shdr": rows,
    }
    version = {b"ifil": struct.pack("<HH", 2, 1)}
    lists = (_list(b"INFO", version), _list(b"sdta", {b"smpl": sound}), _list(b"pdta", tables))
    body = b"sfbk" + b"".join(lists)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _cut(
    bags: Buffer, generators: Buffer, spans: Sequence[tuple[int, int]], target: int
) -> tuple[bytes, bytes, list[int], list[int]]:
    """The zones of some `spans` of bags, with what generator `target` names numbered anew from 0.

    Returns:
        Bags, generators, the first bag of each span and the end, and the old numbers in the order of the new ones.
    """
    starts = [row[0] for row in struct.iter_unpack("<HH", bags)]
    kept_bags: list[int] = []
    kept: list[tuple[int, int]] = []
    named: dict[int, int] = {}
    firsts = []
    for first, end in spans:
        firsts.append(len(kept_bags))
        for bag in range(first, end):
            kept_bags.append(len(kept))
            for n in range(starts[bag], starts[bag + 1]):
                operator, amount = struct.unpack_from("<HH", generators, n * _GENERATOR)
                kept.append((operator, named.setdefault(amount, len(named)) if operator == target else amount))
    firsts.append(len(kept_bags))
    rows = [struct.pack("<HH", start, 0) for start in (*kept_bags, len(kept))]
    return b"".join(rows), b"".join(struct.pack("<HH", *row) for row in (*kept, (0, 0))), firsts, list(named)


def _reach(generators: bytes) -> int:
    """Samples that may be read beyond the ends of one."""
    rows: Iterator[tuple[int, int]] = struct.iter_unpack("<Hh", generators)
    return _GUARD + max(abs(amount) * _OFFSETS.get(operator, 0) for operator, amount in rows)


def _cut_samples(chunks: dict[bytes, Buffer], numbers: Sequence[int], reach: int) -> tuple[bytes, bytes]:
    """The recordings of some sample headers, one after the other, and headers for them."""
    pieces, rows, length = [], [], 0
    headers = list(struct.iter_unpack(_SAMPLE_ROW, chunks[b"shdr"]))
    for number in numbers:
        name, start, end, loop, loop_end, *rest = headers[number]
        piece = chunks[b"smpl"][2 * max(0, start - reach) : 2 * (end + reach)]
        moved = length - max(0, start - reach)
        rows.append(struct.pack(_SAMPLE_ROW, name, *(place + moved for place in (start, end, loop, loop_end)), *rest))
        pieces.append(piece)
        length += len(piece) // 2
    rows.append(struct.pack(_SAMPLE_ROW, b"EOS", *[0] * 9))
    return b"".join([*pieces, bytes(2 * _GUARD)]), b"".join(rows)


def _list(kind: bytes, chunks: dict[bytes, bytes]) -> bytes:
    body = kind + b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks.items()
    )
    return b"LIST" + struct.pack("<I", len(body)) + body


# Playing


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
    bank = bank_of(path, DRUM_BANK if part.is_drum else 0, part.program)
    for volume in VOLUMES:
        midi = midi_bytes([part], song.seconds, song.tempo, ((7, volume), (11, 127), *controls))
        samples, rate = _synthesize(path, bank, midi)
        if np.abs(samples.astype(np.int32)).max(initial=0) < CLIPPED:
            break
    mono = samples.astype(np.float32).mean(axis=1) / 32768
    return fit(resample(mono, rate, sample_rate), round(song.seconds * sample_rate))


def _synthesize(path: Path, bank: bytes, midi: bytes) -> tuple[np.ndarray, int]:
    """Run the synthesizer: int16 (L, 2) and its rate."""
    try:
        wave = midirenderer.render_wave_from(bank, midi)
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
