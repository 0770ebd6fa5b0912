"""Folders of sounds (`--sounds`): packs that say what they are, and users' own files, placed by name or by a table.

A pack is a folder with a `pack.json`: `family` or `gm_programs` (0-127, drums 128), `licence`, `attribution`, `maker`,
`di` (the direct signal of an electric instrument), `provenance` ("weak": not used unless asked for). Other files are
placed by `sounds.toml` of the folder, whose tables are called by patterns of paths, else by their names.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any

from scoresep.errors import Damaged, InvalidValue, NotFound, NothingToDo, ScoresepError
from scoresep.files import existing_folder, read_text
from scoresep.instruments import DRUM_PROGRAM, INSTRUMENTS, instrument_of, suggestion
from scoresep.rendering.sources import SOURCES
from scoresep.rendering.sources.base import Credit, Patch, is_weak, read_json_table

PACK_FILE, TABLE_FILE = "pack.json", "sounds.toml"
WEAK = "its provenance is weak; --weak-packs takes it"
_KEYS = ("family", "programs", "direct", "maker", "licence", "attribution", "provenance")
_KIND = {source.suffix: kind for kind, source in SOURCES.items() if source.suffix}
FAMILIES: dict[str, tuple[int, ...]] = {
    **{name: instrument.programs for name, instrument in INSTRUMENTS.items()},
    "piano": (0, 1),
    "epiano": (4, 5),
    "guitar": (25, 26, 27),
    "bass": (33, 34),
    "organ": (16, 17, 18),
    "strings": (48, 49),
}
"""Family to the programs that a sound of it stands for when nothing else is said."""
_WORDS: tuple[tuple[str, tuple[int, ...]], ...] = (
    (r"drums?|drum ?kits?|kits?|percussion|(tr )?[89]0[89]", (DRUM_PROGRAM,)),
    (r"bassoon", (70,)),
    (r"bass clarinet|clarinet", (71,)),
    (r"(double|upright|acoustic|contra) ?bass", (32,)),
    (r"fretless( bass)?", (35,)),
    (r"slap( bass)?", (36, 37)),
    (r"synth ?bass", (38, 39)),
    (r"pick(ed)? bass|bass pick(ed)?", (34,)),
    (r"bass(es)?( guitar)?", FAMILIES["bass"]),
    (r"(nylon|classical|spanish)( guitar)?", (24,)),
    (r"(steel( string)?|acoustic|folk|western)( guitar)?", (25,)),
    (r"(jazz guitar|archtop|hollow ?body)", (26,)),
    (r"(clean|electric) guitar|stratocaster|strat|telecaster|tele|les ?paul", (26, 27)),
    (r"muted( guitar)?|palm ?mutes?", (28,)),
    (r"overdriven?( guitar)?|crunch", (29,)),
    (r"distort(ed|ion)( guitar)?", (30,)),
    (r"guitars?", FAMILIES["guitar"]),
    (r"rhodes|wurli(tzer)?|e ?pianos?|electric pianos?|pianet|ep", FAMILIES["epiano"]),
    (r"clavi(net)?", (7,)),
    (r"harpsichord", (6,)),
    (r"pianos?|grand|steinway", FAMILIES["piano"]),
    (r"accordion", (21,)),
    (r"harmonica", (22,)),
    (r"(church|pipe) organ", (19,)),
    (r"organs?|hammond", FAMILIES["organ"]),
    (r"violins?", (40,)),
    (r"violas?", (41,)),
    (r"(violon)?cell(o|i|os)", (42,)),
    (r"pizzicato|pizz", (45,)),
    (r"tremolo", (44,)),
    (r"harps?", (46,)),
    (r"strings?", FAMILIES["strings"]),
    (r"choirs?|voices?|vocals?", (52, 53)),
    (r"trumpets?", (56,)),
    (r"trombones?", (57,)),
    (r"tubas?", (58,)),
    (r"(french )?horns?", (60,)),
    (r"brass", FAMILIES["brass"]),
    (r"soprano sax(ophone)?", (64,)),
    (r"alto sax(ophone)?", (65,)),
    (r"tenor sax(ophone)?", (66,)),
    (r"bari(tone)? sax(ophone)?", (67,)),
    (r"sax(es|ophones?)?", (64, 65, 66, 67)),
    (r"oboes?", (68,)),
    (r"reeds?", FAMILIES["reed"]),
    (r"flutes?", (73,)),
    (r"recorders?", (74,)),
    (r"pipes?|woodwinds?", FAMILIES["pipe"]),
    (r"glockenspiel", (9,)),
    (r"vibraphone|vibes", (11,)),
    (r"marimba", (12,)),
    (r"xylophone", (13,)),
    (r"mallets?|chromatic percussion", FAMILIES["chromatic_percussion"]),
    (r"(synth )?leads?", FAMILIES["synth_lead"]),
    (r"(synth )?pads?", FAMILIES["synth_pad"]),
    (r"sitar", (104,)),
    (r"banjo", (105,)),
    (r"bagpipes?", (109,)),
)
"""Words to programs; the first row that fits counts."""


@dataclass(frozen=True)
class Collection:
    """What folders of sounds hold: patches, not yet probed (`probing`), and label to the reason of what is left out."""

    patches: tuple[Patch, ...]
    left_out: dict[str, str]


def read_collections(folders: Sequence[Path], weak: bool, banks: Container[str] = ()) -> Collection:
    """All sounds below `folders`, in the order of folders and paths, but those of SoundFonts whose md5 is in `banks`.

    Raises:
        NotFound: a folder is missing.
        NothingToDo: a folder has no file of any source.
        Damaged, InvalidValue: its `sounds.toml` is wrong.
    """
    patches: dict[str, Patch] = {}
    configs: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for folder in folders:
        for patch in _read_folder(folder, left_out):
            if patch.config.partition(" ")[0] in banks:
                left_out[patch.label] = "a SoundFont that is named itself"
            elif patch.config in configs:
                left_out[_apart(patch.label, folder, patches)] = f"the same sound as {configs[patch.config]}"
            elif patch.label in patches:
                left_out[_apart(patch.label, folder, patches)] = "another sound has this name; rename it"
            elif patch.credit.weak and not weak:
                left_out[patch.label] = WEAK
            else:
                patches[patch.label] = patch
                configs[patch.config] = patch.label
    return Collection(tuple(patches.values()), left_out)


def _apart(label: str, folder: Path, patches: dict[str, Patch]) -> str:
    """A label that is not that of a sound in use."""
    return f"{label} of {folder}" if label in patches else label


def _read_folder(folder: Path, left_out: dict[str, str]) -> list[Patch]:
    existing_folder(folder, "folder of sounds", "name a folder with .sfz or .sf2 files")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _KIND and not path.is_dir())
    if not files:
        raise NothingToDo(f"no {' or '.join(_KIND)} files", file=folder, remedy="name another folder of sounds")
    tables = _read_tables(folder / TABLE_FILE)
    unused = set(tables)
    patches: list[Patch] = []
    for path in files:
        relative = path.relative_to(folder)
        label = _label(relative)
        try:
            about = _about(path, folder, tables, unused)
            listed = SOURCES[_KIND[path.suffix.lower()]].list(path)
            patches += [_placed(patch, about, label, relative, len(listed)) for patch in listed]
        except ScoresepError as fault:
            left_out[label] = str(fault)
    left_out.update({f"{folder / TABLE_FILE} [{pattern}]": "fits no file" for pattern in sorted(unused)})
    return patches


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
    content = read_json_table(path)
    about = {key: content[key] for key in _KEYS if key in content}
    about |= {ours: content[name] for ours, name in (("programs", "gm_programs"), ("direct", "di")) if name in content}
    about["name"] = str(content.get("instrument") or content.get("name") or "")
    return _checked(about, path)


def _read_tables(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        tables = tomllib.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as fault:
        raise Damaged(f"not a readable TOML file ({fault})", file=path, remedy="correct it") from fault
    for pattern, table in tables.items():
        if not isinstance(table, dict):
            remedy = f'write ["{pattern}"] and below it what it is'
            raise InvalidValue(f"'{pattern}' is not a table", file=path, remedy=remedy)
        for key in table:
            if key not in _KEYS:
                problem = f"[{pattern}] has an unknown setting '{key}'"
                raise InvalidValue(problem, file=path, remedy=suggestion(key, _KEYS))
    return {pattern: _checked(table, path, f"[{pattern}] ") for pattern, table in tables.items()}


def _checked(about: dict[str, Any], path: Path, table: str = "") -> dict[str, Any]:
    """What a file says of a sound, if it is of the right types; `programs` from the family where none are said."""
    programs, family = about.get("programs") or [], about.get("family")
    if not isinstance(programs, list) or not all(type(p) is int and 0 <= p <= DRUM_PROGRAM for p in programs):
        problem = f"{table}programs must be a list of numbers from 0 to 127, or [128] for drums"
        raise InvalidValue(problem, file=path, remedy="correct it")
    if DRUM_PROGRAM in programs and len(programs) > 1:
        problem = f"{table}programs has a drum kit (128) and others"
        raise InvalidValue(problem, file=path, remedy="leave one of them out")
    if not programs and family is not None:
        if family not in FAMILIES:
            problem = f"{table}family '{family}' is unknown"
            raise InvalidValue(problem, file=path, remedy=suggestion(str(family), FAMILIES))
        programs = list(FAMILIES[family])
    if not isinstance(about.get("direct") or False, bool):
        raise InvalidValue(f"{table}direct (di) must be true or false", file=path, remedy="correct it")
    return about | {"programs": tuple(programs)}


def _placed(patch: Patch, about: dict[str, Any], label: str, relative: Path, presets: int) -> Patch:
    """The patch with what is known of it; a preset among several of its bank plays the program that it has there.

    Raises:
        NotFound: nothing tells what it is.
    """
    programs = about.get("programs") or programs_by_name(relative)
    if patch.is_drum:
        programs = (DRUM_PROGRAM,)
    if not programs and presets > 1:
        programs = (patch.program,)
    if not programs:
        remedy = f"name it so (as 'nylon guitar'), or list it in {TABLE_FILE}"
        raise NotFound("its name does not tell what it is", file=relative, remedy=remedy)
    number = patch.label.partition(":")[2]
    credit = Credit(
        licence=str(about.get("licence") or patch.credit.licence),
        attribution=str(about.get("attribution") or patch.credit.attribution),
        maker=str(about.get("maker") or ""),
        weak=is_weak(about.get("provenance")),
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


# Placed by name


def programs_by_name(path: PurePath) -> tuple[int, ...]:
    """The programs that a file's path, relative to its collection, tells; none if it tells nothing.

    Folders say the family, and the file's name what it is within it: `guitar/nylon.sfz` is 24, so is `nylon.sfz`.
    """
    by_file = _rows(path.stem)
    by_folder = [row for folder in reversed(path.parts[:-1]) for row in _rows(folder)]
    if by_folder:
        family = set(_family(by_folder[0]))
        by_file = [row for row in by_file if set(row) <= family]
    return (by_file + by_folder + [()])[0]


def is_direct_by_name(path: PurePath) -> bool:
    return bool(re.search(r"\b(di|direct)\b", _plain(path.stem)))


def _rows(name: str) -> list[tuple[int, ...]]:
    return [programs for words, programs in _WORDS if re.search(rf"\b({words})\b", _plain(name))]


def _family(programs: Sequence[int]) -> tuple[int, ...]:
    """All programs of the group of the first one."""
    instrument = instrument_of(programs[0])
    return instrument.programs if instrument else tuple(programs)


def _plain(name: str) -> str:
    """Lower-case words: separators, digits after letters and capitals inside words part them."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.sub(r"(?<=[a-z])(?=\d)|[^a-z0-9]+", " ", parted.lower()).strip()
