"""Instrument groups: which General MIDI programs belong together. Called by corpora, cache and inference.

The groups follow Slakh's metadata (`program_num` 0-127, drums 128). A stem is grouped by its metadata, never by the
program inside its MIDI file: Slakh's drum MIDI says program 0 (docs/data.md).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scoresep.errors import ScoresepError

DRUM_PROGRAM = 128


@dataclass(frozen=True)
class Instrument:
    """A group of programs that is separated and transcribed as one.

    Attributes:
        name: how users and files call it.
        programs: MIDI programs, 0-127; 128 stands for drums.
        midi_program: the program that a transcription of it is written with.
        harmonic: whether its sounds have partials at multiples of a pitch (a harmonic mask makes sense).
    """

    name: str
    programs: range
    midi_program: int
    harmonic: bool = True


INSTRUMENTS: dict[str, Instrument] = {
    instrument.name: instrument
    for instrument in (
        Instrument("piano", range(8), 0),
        Instrument("chromatic_percussion", range(8, 16), 11),
        Instrument("organ", range(16, 24), 16),
        Instrument("guitar", range(24, 32), 25),
        Instrument("bass", range(32, 40), 33),
        Instrument("strings", range(40, 56), 48),
        Instrument("brass", range(56, 64), 61),
        Instrument("reed", range(64, 72), 65),
        Instrument("pipe", range(72, 80), 73),
        Instrument("synth_lead", range(80, 88), 80),
        Instrument("synth_pad", range(88, 96), 88),
        Instrument("drums", range(DRUM_PROGRAM, DRUM_PROGRAM + 1), 0, harmonic=False),
    )
}
DEFAULT_INSTRUMENTS = ("piano", "guitar", "bass")


def choose(names: Iterable[str]) -> tuple[Instrument, ...]:
    """Look up instruments by name, in the order given.

    Raises:
        ScoresepError: an unknown name (the nearest is suggested), a repeated one, fewer than two, or one without a
            pitch (its score has no harmonic mask).
    """
    names = list(names)
    for name in names:
        if name not in INSTRUMENTS:
            raise ScoresepError(f"unknown instrument '{name}'{nearest(name, INSTRUMENTS)}")
        if not INSTRUMENTS[name].harmonic:
            raise ScoresepError(f"instrument '{name}' has no pitch and cannot be a target yet; leave it out")
    if len(set(names)) < max(len(names), 2):
        raise ScoresepError(f"instruments must be two or more different ones, not '{','.join(names)}'")
    return tuple(INSTRUMENTS[name] for name in names)


def group_of(program: int, is_drum: bool, instruments: Sequence[Instrument]) -> int | None:
    """Index of the instrument that a part with `program` belongs to, or None if it is none of them."""
    program = DRUM_PROGRAM if is_drum else program
    return next((n for n, instrument in enumerate(instruments) if program in instrument.programs), None)


def nearest(name: str, known: Iterable[str]) -> str:
    """The tail of an error message: the nearest valid name, or the list of all."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"
