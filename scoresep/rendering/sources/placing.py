"""Which programs a user's own sound can stand for, told by the names of its file and folders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from scoresep.instruments import DRUM_PROGRAM, INSTRUMENTS

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
    return next((i.programs for i in INSTRUMENTS.values() if programs[0] in i.programs), tuple(programs))


def _plain(name: str) -> str:
    """Lower-case words: separators, digits after letters and capitals inside words part them."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.sub(r"(?<=[a-z])(?=\d)|[^a-z0-9]+", " ", parted.lower()).strip()
