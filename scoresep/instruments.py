"""Instrument groups: which parts are separated and transcribed together.

The groups follow General MIDI and Slakh's metadata (`program_num` 0-127, drums 128). A stem of Slakh is grouped by its
metadata, never by the program inside its MIDI file: Slakh's drum MIDI says program 0 (docs/reference/data.md).
Users may define groups of their own in a TOML file (`read_instruments`).
"""

from __future__ import annotations

import difflib
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from scoresep.errors import Damaged, InvalidValue, ScoresepError, WrongFormat, described, first_line
from scoresep.files import read_text

DRUM_PROGRAM = 128
LONGEST_INSTRUMENT_NAME = 100
"""Characters of an instrument's name."""
INSTRUMENT_KINDS = ("harmonic", "percussive", "other")
"""What a group's sounds are: partials of a pitch; broad-band strokes, whose pitches name drums; or whatever sounds
without a score."""


@dataclass(frozen=True)
class Instrument:
    """A group of parts that is separated and transcribed as one.

    Attributes:
        name: how users and files call it.
        programs: MIDI programs, 0-127; 128 stands for drums.
        midi_program: the program that a transcription of it is written with.
        kind: one of `INSTRUMENT_KINDS`.
        names: patterns of track names (`*cello*`; neither case nor form of letters matters), which count more than
            programs.
        mask: name of its score mask, see `masks.table.MASKS`; '' for the one of its kind.
    """

    name: str
    programs: tuple[int, ...] = ()
    midi_program: int = 0
    kind: str = "harmonic"
    names: tuple[str, ...] = ()
    mask: str = ""

    @property
    def pitched(self) -> bool:
        """Whether its rows of a roll are pitches, which transposing moves."""
        return self.kind == "harmonic"

    @property
    def scored(self) -> bool:
        """Whether a score says when it sounds."""
        return self.kind != "other"

    def to_dict(self) -> dict[str, Any]:
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return values if self.mask else {name: value for name, value in values.items() if name != "mask"}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Instrument:
        """What `to_dict` gave, from a file that anyone may have written.

        Raises:
            Damaged: it is no instrument.
        """
        instrument = cls(
            str(values["name"]),
            tuple(int(program) for program in values["programs"]),
            int(values["midi_program"]),
            str(values["kind"]),
            tuple(str(pattern) for pattern in values["names"]),
            str(values.get("mask", "")),
        )
        if not is_name(instrument.name):
            raise Damaged(f"{instrument.name[:LONGEST_INSTRUMENT_NAME]!r} is not a possible name of an instrument")
        programs_fit = all(0 <= program <= DRUM_PROGRAM for program in instrument.programs)
        programs_fit = programs_fit and 0 <= instrument.midi_program < DRUM_PROGRAM
        if instrument.kind not in INSTRUMENT_KINDS or not programs_fit:
            raise Damaged(f"the instrument '{instrument.name}' has an impossible kind or program")
        return instrument


OTHER = Instrument("other", kind="other")
"""What no other group claims: it has audio, but its score, if any, is not read."""
INSTRUMENTS: dict[str, Instrument] = {
    instrument.name: instrument
    for instrument in (
        Instrument("piano", tuple(range(8)), 0),
        Instrument("chromatic_percussion", tuple(range(8, 16)), 11),
        Instrument("organ", tuple(range(16, 24)), 16),
        Instrument("guitar", tuple(range(24, 32)), 25),
        Instrument("bass", tuple(range(32, 40)), 33),
        Instrument("strings", (*range(40, 52), 55), 48),
        Instrument("brass", tuple(range(56, 64)), 61),
        Instrument("reed", tuple(range(64, 72)), 65),
        Instrument("pipe", tuple(range(72, 80)), 73),
        Instrument("synth_lead", (*range(80, 85), 86, 87), 80),
        Instrument("synth_pad", tuple(range(88, 96)), 88),
        Instrument("vocals", (52, 53, 54, 85), 53),
        Instrument("drums", (DRUM_PROGRAM,), 0, "percussive"),
    )
}
DEFAULT_INSTRUMENTS = ("piano", "guitar", "bass")


def choose(names: Iterable[str]) -> tuple[Instrument, ...]:
    """Look up instruments by name, in the order given; `other` is what the rest leaves over.

    Raises:
        InvalidValue: an unknown name (the nearest is suggested), a repeated one, or fewer than two.
    """
    known = {**INSTRUMENTS, OTHER.name: OTHER}
    names = list(names)
    for name in names:
        if name not in known:
            raise InvalidValue(f"unknown instrument '{name}'", remedy=suggestion(name, known))
    return checked(tuple(known[name] for name in names))


def checked(instruments: tuple[Instrument, ...]) -> tuple[Instrument, ...]:
    """The instruments, if a separator can be trained for them.

    Raises:
        InvalidValue: fewer than two, two of one name or one program in two groups, or none with a score.
    """
    names = [instrument.name for instrument in instruments]
    if len(set(names)) < max(len(names), 2):
        raise InvalidValue(f"'{','.join(names)}' is not a set of instruments", remedy="name two or more different ones")
    if not any(instrument.scored for instrument in instruments):
        raise InvalidValue(f"none of the instruments {', '.join(names)} has a score", remedy="name one that has")
    if sum(not instrument.scored for instrument in instruments) > 1:
        raise InvalidValue("only one instrument can take what is left over", remedy="leave one 'other' out")
    owner: dict[int, str] = {}
    for instrument in instruments:
        for program in instrument.programs:
            if owner.setdefault(program, instrument.name) != instrument.name:
                raise InvalidValue(
                    f"program {program} belongs to both {owner[program]} and {instrument.name}",
                    remedy="give it to one of them",
                )
    return instruments


def instrument_of(program: int) -> Instrument | None:
    """The group of `INSTRUMENTS` that has a program, 128 for drums."""
    return next((instrument for instrument in INSTRUMENTS.values() if program in instrument.programs), None)


def group_of(program: int, is_drum: bool, instruments: Sequence[Instrument], name: str = "") -> int | None:
    """Index of the instrument that a part belongs to, by its track name, else by its program, else what is left over.

    None if no instrument takes it. Names of drum tracks are compared with percussive instruments only, so that a
    "bass drum" is no bass.
    """
    program, spoken = DRUM_PROGRAM if is_drum else program, folded(name.strip())
    for n, instrument in enumerate(instruments):
        fits = program != DRUM_PROGRAM or instrument.kind == "percussive"
        if fits and any(fnmatchcase(spoken, folded(pattern)) for pattern in instrument.names):
            return n
    by_program = (n for n, instrument in enumerate(instruments) if program in instrument.programs)
    left_over = (n for n, instrument in enumerate(instruments) if not instrument.scored)
    return next(by_program, next(left_over, None))


def group_named(name: str, instruments: Sequence[Instrument]) -> int | None:
    """Index of the instrument that is called so, else as `group_of` for a part of that name without a program."""
    by_name = (n for n, instrument in enumerate(instruments) if folded(instrument.name) == folded(name))
    return next(by_name, group_of(-1, False, instruments, name))


def folded(text: str) -> str:
    """A text to compare: one form of each letter (NFKC), without letter case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def read_instruments(path: str | Path) -> tuple[Instrument, ...]:
    """Groups from a TOML file: a table each, in order, and `other = true` for what they leave over, without a score; a
    table [other] is a group like any other (docs/how-to/instruments.md).

    Raises:
        WrongFormat: the file is missing, cannot be read or is not TOML.
        InvalidValue: a group is impossible; the message names file and group.
    """
    try:
        tables = tomllib.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as fault:  # ValueError: no TOML, no UTF-8, an endless number
        problem = f"is not a readable TOML file of instruments ({first_line(fault)})"
        raise WrongFormat(problem, file=path, remedy="correct it") from fault
    try:
        with_other = tables.get(OTHER.name) is True
        if isinstance(tables.get(OTHER.name), bool):
            del tables[OTHER.name]
        groups = tuple(_from_table(name, table) for name, table in tables.items())
        return checked(groups + (OTHER,) * with_other)
    except ScoresepError as fault:
        raise InvalidValue(fault.problem, file=path, remedy=fault.remedy) from fault


def is_name(name: str) -> bool:
    """Whether an instrument can be called so: files, tables and pages show it, and stems are called by it."""
    return name.replace("_", "").replace("-", "").isalnum() and len(name) <= LONGEST_INSTRUMENT_NAME


_SETTINGS = ("programs", "midi_program", "kind", "names", "mask")


def _from_table(name: str, table: Any) -> Instrument:
    """The instrument of a TOML table.

    Raises:
        InvalidValue: it describes none.
    """
    if not isinstance(table, dict):
        raise InvalidValue(f"'{name}' is not a table", remedy=f"write [{name}] and its programs below")
    if not is_name(name):
        raise InvalidValue(f"[{name}] is not a possible name", remedy="use letters, digits, '_' and '-'")
    for key in table:
        if key not in _SETTINGS:
            raise InvalidValue(f"[{name}] has an unknown setting '{key}'", remedy=suggestion(key, _SETTINGS))
    programs = tuple(program for entry in _listed(table, name, "programs") for program in _programs(entry, name))
    patterns = _listed(table, name, "names")
    kind = table.get("kind", "percussive" if DRUM_PROGRAM in programs else "harmonic")
    if kind not in INSTRUMENT_KINDS[:2]:
        raise InvalidValue(f"[{name}] kind is {described(kind)}", remedy="it can be harmonic or percussive")
    if DRUM_PROGRAM in programs and kind != "percussive":
        raise InvalidValue(f"[{name}] has drums ({DRUM_PROGRAM}) and is {kind}", remedy="make it percussive")
    if not programs and not patterns:
        raise InvalidValue(f"[{name}] has neither programs nor names", remedy="say which parts belong to it")
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise InvalidValue(f"[{name}] names are not all texts", remedy="write them like '*cello*'")
    first = next((program for program in programs if program < DRUM_PROGRAM), 0)
    midi_program = table.get("midi_program", first)
    if type(midi_program) is not int or not 0 <= midi_program < DRUM_PROGRAM:  # true is an int, too
        raise InvalidValue(f"[{name}] midi_program is {described(midi_program)}", remedy="it can be 0 to 127")
    if not isinstance(mask := table.get("mask", ""), str):
        raise InvalidValue(f"[{name}] mask is {described(mask)}", remedy="give its name")
    return Instrument(name, programs, midi_program, kind, tuple(patterns), mask)


def _listed(table: dict[str, Any], name: str, key: str) -> list[Any]:
    values = table.get(key, [])
    if not isinstance(values, list):
        raise InvalidValue(f"[{name}] {key} is not a list", remedy=f"write {key} = [...]")
    return values


def _programs(entry: Any, name: str) -> range:
    """The programs of 5 or '0-7'."""
    first, dash, last = str(entry).partition("-")
    last = last if dash else first
    if not (first.isdecimal() and last.isdecimal() and len(first) < 5 and len(last) < 5):
        raise InvalidValue(f"[{name}] program {entry!r} is not a number", remedy="write one, or a span such as '0-7'")
    span = range(int(first), int(last) + 1)
    if not span or span[-1] > DRUM_PROGRAM:
        raise InvalidValue(f"[{name}] program {entry!r} does not exist", remedy="programs are 0 to 127, drums 128")
    return span


def suggestion(name: str, known: Iterable[str]) -> str:
    """A remedy for a misspelt name: the nearest valid one, or the list of all."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """`suggestion` as the tail of a message."""
    return f"; {suggestion(name, known)}"
