"""SFZ files as regions, and regions as an SFZ file that plays the same way each time (sfzformat.com).

An instrument is flattened: every region holds all opcodes that it inherits, and the absolute path of its sample. So a
few of its regions can be written as an instrument of their own, wherever that lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from scoresep.errors import ScoresepError

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
"""Dropped: chance (the synthesizer draws from one generator per process) and bend ranges (the score sets them)."""
_NOISE = ("*noise", "*gnoise")


def read_regions(path: Path) -> tuple[list[Region], Region]:
    """The regions of the SFZ file at `path` and the opcodes of its <control> header.

    Raises:
        ScoresepError: the file, or one that it includes, is unreadable, or it has no regions.
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
        raise ScoresepError(f"{path} has no regions with samples; use another .sfz file")
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
        raise ScoresepError(f"{path} is not a readable SFZ file ({fault}); replace it") from fault
    if depth == 0 and _INCLUDE.search(text):
        raise ScoresepError(f"{path} includes files in a circle; correct it")
    text = _INCLUDE.sub(lambda found: _expanded(root / found[1].replace("\\", "/"), root, depth - 1), text)
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
    """The file that is meant; one whose name differs in case alone, where no other is there (Windows does not mind)."""
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


def _number(opcodes: Region, name: str, usual: float) -> float:
    """An opcode as a number; the usual one where it is none, as players have it."""
    try:
        return float(opcodes.get(name, usual))
    except ValueError:
        return usual


def _key(value: str, control: Region) -> int:
    """A key as a number or a name such as c#4 (60 is c4), moved as the <control> header says; -1 where it is none."""
    shift = int(_number(control, "note_offset", 0) + 12 * _number(control, "octave_offset", 0))
    if found := _NOTE.fullmatch(value):
        letter, sign, octave = found.groups()
        return _SEMITONES[letter.lower()] + {"#": 1, "b": -1, "": 0}[sign] + 12 * (int(octave) + 1) + shift
    return int(value) + shift if value.lstrip("-").isdecimal() and int(value) >= 0 else -1
