"""Folders of sounds (`--sounds`): packs that say what they are, and users' own files, placed by name or by a table.

A pack is a folder with a `pack.json`: `family` or `gm_programs` (0-127, drums 128), `licence`, `attribution`, `maker`,
`di` (the direct signal of an electric instrument), `provenance` ("weak": not used unless asked for). Other files are
placed by `sounds.toml` of the folder, whose tables are called by patterns of paths, else by their names (`placing`).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from scoresep.errors import ScoresepError
from scoresep.instruments import DRUM_PROGRAM, nearest
from scoresep.rendering.patch import Credit, Patch
from scoresep.rendering.sources import SOURCES
from scoresep.rendering.sources.placing import FAMILIES, is_direct_by_name, programs_by_name

PACK_FILE, TABLE_FILE = "pack.json", "sounds.toml"
WEAK = "its provenance is weak; --weak-packs takes it"
_KEYS = ("family", "programs", "direct", "maker", "licence", "attribution", "provenance")
_KIND = {source.suffix: kind for kind, source in SOURCES.items()}


@dataclass(frozen=True)
class Collection:
    """What folders of sounds hold: patches, unproved (`probing`), and label to the reason of what is left out."""

    patches: tuple[Patch, ...]
    left_out: dict[str, str]


def read_collections(folders: Sequence[Path], weak: bool, banks: Container[str] = ()) -> Collection:
    """All sounds below `folders`, in the order of folders and paths, but those of SoundFonts whose md5 is in `banks`.

    Raises:
        ScoresepError: a folder is missing or has no file of any source, or its `sounds.toml` is wrong.
    """
    patches: dict[str, Patch] = {}
    configs: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for folder in folders:
        for found in _read_folder(folder, left_out):
            if found.config.partition(" ")[0] in banks:
                left_out[found.label] = "a SoundFont that is named itself"
            elif found.config in configs:
                left_out[_apart(found.label, folder, patches)] = f"the same sound as {configs[found.config]}"
            elif found.label in patches:
                left_out[_apart(found.label, folder, patches)] = "another sound has this name; rename it"
            elif found.credit.weak and not weak:
                left_out[found.label] = WEAK
            else:
                patches[found.label] = found
                configs[found.config] = found.label
    return Collection(tuple(patches.values()), left_out)


def _apart(label: str, folder: Path, patches: dict[str, Patch]) -> str:
    """A label that is not that of a sound in use."""
    return f"{label} of {folder}" if label in patches else label


def _read_folder(folder: Path, left_out: dict[str, str]) -> list[Patch]:
    if not folder.is_dir():
        raise ScoresepError(f"folder of sounds {folder} does not exist; name a folder with .sfz or .sf2 files")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _KIND and not path.is_dir())
    if not files:
        raise ScoresepError(f"folder of sounds {folder} has no {' or '.join(_KIND)} files; name another folder")
    tables = _read_tables(folder / TABLE_FILE)
    unused = set(tables)
    found = []
    for path in files:
        relative = path.relative_to(folder)
        label = _label(relative)
        try:
            about = _about(path, folder, tables, unused)
            patches = SOURCES[_KIND[path.suffix.lower()]].list(path)
            found += [_placed(patch, about, label, relative, len(patches)) for patch in patches]
        except ScoresepError as fault:
            left_out[label] = str(fault)
    left_out.update({f"{folder / TABLE_FILE} [{pattern}]": "fits no file" for pattern in sorted(unused)})
    return found


def _label(relative: Path) -> str:
    """The path; of a file called like its folder the folder, with the file's suffix (metadata go by the ending)."""
    if relative.parent.name == relative.stem:
        return f"{relative.parent.as_posix()}{relative.suffix}"
    return relative.as_posix()


def _about(path: Path, folder: Path, tables: dict[str, dict[str, Any]], unused: set[str]) -> dict[str, Any]:
    """What is said of a file: by the table, else by the pack.json in its folder or above it; {} if nothing is."""
    for pattern, table in tables.items():
        if fnmatch(path.relative_to(folder).as_posix(), pattern):
            unused.discard(pattern)
            return table
    for place in path.parents:
        if (place / PACK_FILE).is_file():
            return _read_pack(place / PACK_FILE)
        if place == folder:
            break
    return {}


def _read_pack(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise ScoresepError(f"{path} is not readable JSON ({fault}); correct it") from fault
    if not isinstance(said, dict):
        raise ScoresepError(f"{path} is no table of a pack; correct it")
    about = {key: said[key] for key in _KEYS if key in said}
    about |= {ours: said[theirs] for ours, theirs in (("programs", "gm_programs"), ("direct", "di")) if theirs in said}
    about["name"] = str(said.get("instrument") or said.get("name") or "")
    return _checked(about, str(path))


def _read_tables(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise ScoresepError(f"{path} is not a readable TOML file ({fault}); correct it") from fault
    for pattern, table in tables.items():
        if not isinstance(table, dict):
            raise ScoresepError(f"{path}: '{pattern}' is not a table; write [\"{pattern}\"] and what it is below")
        for key in table:
            if key not in _KEYS:
                raise ScoresepError(f"{path} [{pattern}] has an unknown setting '{key}'{nearest(key, _KEYS)}")
    return {pattern: _checked(table, f"{path} [{pattern}]") for pattern, table in tables.items()}


def _checked(about: dict[str, Any], where: str) -> dict[str, Any]:
    """What a file says of a sound, if it is of the right types; `programs` from the family where none are said."""
    programs, family = about.get("programs") or [], about.get("family")
    if not isinstance(programs, list) or not all(type(p) is int and 0 <= p <= DRUM_PROGRAM for p in programs):
        raise ScoresepError(f"{where}: programs must be a list of numbers from 0 to 127, or [128] for drums")
    if DRUM_PROGRAM in programs and len(programs) > 1:
        raise ScoresepError(f"{where}: a drum kit (128) has no other programs")
    if not programs and family is not None:
        if family not in FAMILIES:
            raise ScoresepError(f"{where}: unknown family '{family}'{nearest(str(family), FAMILIES)}")
        programs = list(FAMILIES[family])
    if not isinstance(about.get("direct") or False, bool):
        raise ScoresepError(f"{where}: direct (di) must be true or false")
    return about | {"programs": tuple(programs)}


def _placed(patch: Patch, about: dict[str, Any], label: str, relative: Path, presets: int) -> Patch:
    """The patch with what is known of it; a preset among several of its bank plays the program that it has there.

    Raises:
        ScoresepError: nothing tells what it is.
    """
    programs = about.get("programs") or programs_by_name(relative)
    if patch.is_drum:
        programs = (DRUM_PROGRAM,)
    if not programs and presets > 1:
        programs = (patch.program,)
    if not programs:
        raise ScoresepError(f"{relative} does not tell what it is; name it so (as 'nylon guitar'), or in {TABLE_FILE}")
    number = patch.label.partition(":")[2]
    credit = Credit(
        licence=str(about.get("licence") or patch.credit.licence),
        attribution=str(about.get("attribution") or patch.credit.attribution),
        maker=str(about.get("maker") or ""),
        weak=str(about.get("provenance") or "").strip().lower().startswith("weak"),
    )
    return replace(
        patch,
        label=f"{label}:{number}" if number else label,
        name=str(about.get("name") or patch.name),
        is_drum=programs == (DRUM_PROGRAM,),
        stands_for=programs,
        direct=bool(about["direct"]) if "direct" in about else is_direct_by_name(relative),
        credit=credit,
    )
