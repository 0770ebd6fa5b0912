"""SFZ instruments as a source, played by sfizz (`pysfizz`).

A part is played by an instrument of its own: the regions that its notes need, loaded anew. So a part's bytes do not
depend on what was played before it (sfizz counts round robins on), and samples that nothing needs are not decoded.

For that an instrument is flattened: every region holds all opcodes that it inherits, and the absolute path of its
sample. sfizz tells which regions a note starts only of an instrument that it has loaded, samples and all.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pysfizz
import soundfile

from scoresep.audio.loading import fit
from scoresep.errors import Damaged, Failed, NothingToDo, first_line
from scoresep.rendering.song import Song
from scoresep.rendering.sources.base import Patch, SoundSource
from scoresep.score.channels import DEFAULT_BEND_RANGE
from scoresep.score.parts import Part

BLOCK_SAMPLES = 256
"""Samples computed at once; events lie between them at their own sample."""
VOICES = 256
INTERPOLATION = 2
"""sfizz's quality of playing a sample at another pitch, 1-10: 10 takes three times as long, and differs by -60 dB."""
FULL_BEND = 8191
_END_BYTES = 2**16
_ON, _OFF, _BEND = 2, 0, 1
"""Order of events at one sample."""

Region = dict[str, str]
"""Opcodes in the order in which they count."""
_LEVELS = ("global", "master", "group", "region")
_HEADER = re.compile(r"<(\w+)>")
_OPCODE = re.compile(r"([\w$]+)=(.*?)(?=\s+[\w$]+=|\s*$)")
_INCLUDE = re.compile(r'^\s*#include\s+"([^"]+)"', re.MULTILINE)
_DEFINE = re.compile(r"#define\s+(\$\w+)\s+(\S+)")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_DEEPEST_INCLUDE = 8
_NOTE = re.compile(r"([a-gA-G])([#b]?)(-?\d+)")
_SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11, "#": 1, "": 0}
_CHANCE = re.compile(r"(lo|hi)rand|\w+_random|bend_(up|down|step)")
"""Dropped: chance (sfizz draws from one generator per process) and bend ranges (the score sets them)."""
_NOISE = ("*noise", "*gnoise")


@lru_cache(maxsize=256)
def _instrument(path: Path) -> tuple[list[Region], Region]:
    return read_regions(path)


def list_instrument(path: Path) -> tuple[Patch, ...]:
    """The one patch of an SFZ file.

    Raises:
        Damaged: it is unreadable, or a sample of it is missing or broken.
        NothingToDo: it has no regions or no keys.
    """
    regions, control = _instrument(path)
    digest = hashlib.md5(sfz_text(_nameless(regions), control, 0).encode(), usedforsecurity=False)
    samples = samples_of(regions)
    for sample in samples:
        _check(sample, path)
        digest.update(_ends(sample))
    keys = frozenset(key for region in regions for key in keys_of(region, control))
    if not keys:
        raise NothingToDo("no keys that notes start", file=path, remedy="use another .sfz file")
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
        problem = f"sample {sample} is missing or broken ({first_line(fault)})"
        raise Damaged(problem, file=path, remedy="replace it") from fault
    if not frames:
        raise Damaged(f"sample {sample} is empty", file=path, remedy="replace it")


def play(patch: Patch, song: Song, part: Part, sample_rate: int, reverb: int) -> np.ndarray:
    """Play `part` with the instrument at `patch.path`; it has no reverberation of its own.

    Raises:
        Failed: sfizz does not load it.
    """
    length = round(song.seconds * sample_rate)
    bend_range = max(DEFAULT_BEND_RANGE, math.ceil(np.abs(part.bend).max(initial=0.0)))
    synth = _loaded(patch.path, part, bend_range, sample_rate)
    return _played(synth, _events(part, bend_range, sample_rate), length)


def _played(synth: pysfizz._sfizz.Synth, events: Sequence[tuple[int, int, int, int]], length: int) -> np.ndarray:
    """What the synthesizer gives for `events`: float32 (length,), the mean of its channels; rests cost nothing."""
    sound = np.zeros((length // BLOCK_SAMPLES + 1) * BLOCK_SAMPLES, dtype=np.float32)
    calls = {_ON: synth.note_on, _OFF: synth.note_off}
    done = 0
    for start in range(0, length, BLOCK_SAMPLES):
        begun = done
        while done < len(events) and events[done][0] < start + BLOCK_SAMPLES:
            time, kind, key, value = events[done]
            if kind == _BEND:
                synth.pitch_wheel(time - start, value)
            else:
                calls[kind](time - start, key, value)
            done += 1
        if done > begun or synth.get_num_active_voices():
            left, right = synth.render_block()
            np.add(left, right, out=sound[start : start + BLOCK_SAMPLES])
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
    synth = pysfizz.Synth(sample_rate, BLOCK_SAMPLES)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        file.write_text(sfz_text(needed, control, bend_range), encoding="utf-8")
        if needed and not synth.load_sfz_file(file):
            raise Failed("sfizz cannot play this file", file=path, remedy="use another .sfz file")
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


# The format (sfzformat.com)


def read_regions(path: Path) -> tuple[list[Region], Region]:
    """The regions of the SFZ file at `path` and the opcodes of its <control> header.

    Raises:
        Damaged: the file, or one that it includes, is unreadable.
        NothingToDo: it has no regions.
    """
    control: Region = {}
    inherited: dict[str, Region] = {level: {} for level in _LEVELS}
    regions = []
    for header, opcodes in _sections(_expanded(path, path.parent, _DEEPEST_INCLUDE)):
        if header == "control":
            control |= opcodes
        elif header in _LEVELS:
            level = _LEVELS.index(header)
            inherited |= {name: {} for name in _LEVELS[level:]}
            inherited[header] = opcodes
            if header == "region":
                regions.append(_region(inherited, control, path.parent.absolute()))
    regions = [region for region in regions if region.get("sample", _NOISE[0]) not in _NOISE]
    if not regions:
        raise NothingToDo("no regions with samples", file=path, remedy="use another .sfz file")
    return regions, control


def keys_of(region: Region, control: Region) -> range:
    """The MIDI keys that start a region; none where a controller does."""
    low, high = 0, 127
    for name, value in region.items():
        if name in ("lokey", "key"):
            low = _key(value, control)
        if name in ("hikey", "key"):
            high = _key(value, control)
    return range(max(low, 0), high + 1)


def velocities_of(region: Region) -> range:
    return range(int(_number(region, "lovel", 0)), int(_number(region, "hivel", 127)) + 1)


def samples_of(regions: Sequence[Region]) -> list[Path]:
    """Sample files in order, each once; sounds that the synthesizer makes itself (`*sine`) are none."""
    return [Path(name) for name in dict.fromkeys(r["sample"] for r in regions) if not name.startswith("*")]


def sfz_text(regions: Sequence[Region], control: Region, bend_range: float) -> str:
    """An SFZ file of `regions` in which a full pitch bend is `bend_range` semitones.

    `hint_ram_based` has sfizz load samples whole: it cuts the first playing of a long sample otherwise.
    """
    kept = {name: value for name, value in control.items() if name != "default_path"} | {"hint_ram_based": "1"}
    cents = f"{100 * bend_range:g}"
    lines = ["<control>", *(f"{name}={value}" for name, value in kept.items())]
    for region in regions:
        opcodes = {**_in_turn(region), "bend_up": cents, "bend_down": f"-{cents}"}
        lines += ["<region>", *(f"{name}={value}" for name, value in opcodes.items())]
    return "\n".join(lines) + "\n"


def _expanded(path: Path, root: Path, depth: int) -> str:
    """The text without comments, with what it includes and its macros put in."""
    try:
        text = _COMMENT.sub("", path.read_text(encoding="utf-8", errors="replace"))
    except OSError as fault:
        raise Damaged(f"not a readable SFZ file ({fault})", file=path, remedy="replace it") from fault
    if depth == 0 and _INCLUDE.search(text):
        raise Damaged("it includes files in a circle", file=path, remedy="correct it")
    text = _INCLUDE.sub(lambda match: _expanded(root / match[1].replace("\\", "/"), root, depth - 1), text)
    macros = dict(_DEFINE.findall(text))
    text = _DEFINE.sub("", text)
    for name in sorted(macros, key=len, reverse=True):
        text = text.replace(name, macros[name])
    return text


def _sections(text: str) -> Iterator[tuple[str, Region]]:
    pieces = _HEADER.split(text)
    for header, body in zip(pieces[1::2], pieces[2::2], strict=True):
        yield header, {name: value.strip() for line in body.splitlines() for name, value in _OPCODE.findall(line)}


def _region(inherited: dict[str, Region], control: Region, folder: Path) -> Region:
    region: Region = {}
    for level in _LEVELS:
        for name, value in inherited[level].items():
            region.pop(name, None)  # what is said again counts from there on
            region[name] = value
    sample = region.get("sample", "")
    if sample and not sample.startswith("*"):
        path = (control.get("default_path", "") + sample).replace("\\", "/")
        region["sample"] = _on_disk(folder, path).as_posix()
    return region


@lru_cache(maxsize=4096)
def _on_disk(folder: Path, relative: str) -> Path:
    """The file that is meant; where there is none, one whose name differs in case alone (Windows does not mind)."""
    if (folder / relative).exists():
        return folder / relative
    place = folder
    for part in Path(relative).parts:
        names = {} if part == ".." or not place.is_dir() else {path.name.lower(): path for path in place.iterdir()}
        place = names.get(part.lower(), place / part)
    return place


def _in_turn(region: Region) -> Region:
    """The region without chance: alternatives drawn at random follow each other instead."""
    kept = {name: value for name, value in region.items() if not _CHANCE.fullmatch(name)}
    low, high = _number(region, "lorand", 0), _number(region, "hirand", 1)
    if 0 < high - low < 1 and "seq_length" not in region:
        length = round(1 / (high - low))
        kept |= {"seq_length": str(length), "seq_position": str(min(int(low * length + 0.5) + 1, length))}
    return kept


def _number(opcodes: Region, name: str, default: float) -> float:
    """An opcode as a number; the default where it is none, as players have it."""
    try:
        return float(opcodes.get(name, default))
    except ValueError:
        return default


def _key(value: str, control: Region) -> int:
    """A key as a number or a name such as c#4 (60 is c4), moved as the <control> header says; -1 where it is none."""
    shift = int(_number(control, "note_offset", 0) + 12 * _number(control, "octave_offset", 0))
    if match := _NOTE.fullmatch(value):
        letter, sign, octave = match.groups()
        return _SEMITONES[letter.lower()] + {"#": 1, "b": -1, "": 0}[sign] + 12 * (int(octave) + 1) + shift
    return int(value) + shift if value.lstrip("-").isdecimal() and int(value) >= 0 else -1


SFZ = SoundSource(play, ".sfz", list_instrument)
