"""Checks of the arguments of the Python interface: audio, rates, names, notes (docs/reference/use.md has the rules).

Each function takes anything at all and returns a plain value, or raises `InvalidValue`. Paths are checked by
`scoresep.files.as_path`, devices by `scoresep.machine.choose_device`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from scoresep.errors import InvalidValue, described
from scoresep.grid import HIGHEST_RATE, LOWEST_RATE
from scoresep.instruments import Instrument, suggestion

AUDIO_REMEDY = "give an array of real numbers, as soundfile.read returns first"
NOTE_REMEDY = "give onset s, offset s, pitch (MIDI number) and velocity of each"
MOST_CHANNELS = 64
"""As many as any microphone array or ambisonics of order 7 has; an array with more has its axes the other way round."""
FEW_CHANNELS = 8
"""Up to so many may be more than there are samples: audio of a few samples, however it is meant."""
LOUDEST = 2.0**31
"""Full scale of integers of 32 bits: no audio goes beyond it, and float32 holds the energies of what does not."""
TICKS_A_SECOND = 960
"""Of the MIDI files that are written: 480 a quarter note, 120 quarter notes a minute."""
LATEST = 0x0FFFFFFF // TICKS_A_SECOND
"""Seconds: the longest time between two events of a MIDI file (Standard MIDI Files 1.0), three days."""


def as_audio(samples: Any) -> np.ndarray:
    """Audio as float32 (L, C): from (L,) or (L, C) of floats, or of integers within full scale +-1.

    Raises:
        InvalidValue: no array of real numbers, other axes, no samples, NaN, infinite, or integers beyond full scale.
    """
    array = _real_array(samples)
    if array.ndim not in (1, 2):
        raise InvalidValue(f"the audio has the shape {array.shape}", remedy="give one recording as (L,) or (L, C)")
    if not array.size:
        raise InvalidValue(f"the audio is empty: it holds no samples (its shape is {array.shape})", remedy=AUDIO_REMEDY)
    length, channels = array.shape[0], array.size // array.shape[0]
    if channels > min(max(length, FEW_CHANNELS), MOST_CHANNELS):
        problem = f"the audio has the shape {array.shape}, {channels} channels of {length} samples"
        raise InvalidValue(problem, remedy="give (L, C), the samples first: audio.T")
    _check_range(array)
    return array.astype(np.float32, copy=False).reshape(length, channels)


def _real_array(samples: Any) -> np.ndarray:
    """Anything that is an array of real numbers, as one: NumPy's, torch's on any device, pandas', nested lists."""
    if np.ma.is_masked(samples):
        raise InvalidValue("the audio holds masked samples", remedy="fill them first: audio.filled(0)")
    try:
        if hasattr(samples, "detach"):  # a tensor of torch, perhaps on a GPU
            samples = samples.detach().cpu()
            samples = samples.float() if samples.is_floating_point() else samples
        array = np.asarray(samples)
    except Exception as fault:  # of any type: ragged lists, sparse tensors, objects of other packages
        raise InvalidValue(f"the audio is {described(samples)}, which is no array", remedy=AUDIO_REMEDY) from fault
    if array.dtype.kind not in "fiu":
        kind = f", an array of {array.dtype}" if array.ndim else ""
        raise InvalidValue(f"the audio is {described(samples)}{kind}", remedy=AUDIO_REMEDY)
    return array


def _check_range(samples: np.ndarray) -> None:
    """Refuse values that are no audio. Minimum and maximum suffice, and need no memory."""
    low, high = samples.min(), samples.max()
    if samples.dtype.kind == "u":
        problem = f"the audio holds {samples.dtype}, in which silence is not 0"
        raise InvalidValue(problem, remedy="read the file as floats")
    if samples.dtype.kind == "i" and max(-int(low), int(high)) > 1:
        raise InvalidValue(
            f"the audio holds {samples.dtype} up to {max(-int(low), int(high))}, and full scale is 1.0",
            remedy="read the file as floats, or divide by the integers' full scale (32768 for 16 bits)",
        )
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InvalidValue("the audio holds samples that are not numbers (NaN or infinite)", remedy="replace them")
    if (peak := max(-float(low), float(high))) > LOUDEST:
        raise InvalidValue(f"the audio reaches {peak:.3g}, and full scale is 1.0", remedy="divide it")


def as_rate(rate: Any) -> int:
    """A sample rate in Hz; a float serves if it is whole.

    Raises:
        InvalidValue: no number, not whole, or a rate that no audio has.
    """
    try:
        value = math.nan if isinstance(rate, (str, bytes, bool, np.bool_)) or np.ndim(rate) else float(rate)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not (LOWEST_RATE <= value <= HIGHEST_RATE and value.is_integer()):
        remedy = f"give a whole number of Hz from {LOWEST_RATE} to {HIGHEST_RATE}"
        raise InvalidValue(f"the sample rate is {described(rate)}", remedy=remedy)
    return int(value)


def as_names(names: Any) -> tuple[str, ...]:
    """Names of instruments: of several strings, or by comma in one, as on the command line; None and "" are none.

    Raises:
        InvalidValue: something else.
    """
    if isinstance(names, np.ndarray):
        names = names.tolist()
    if names is None or isinstance(names, str):
        return tuple(name.strip() for name in names.split(",")) if names else ()
    several = tuple(names) if isinstance(names, Iterable) and not isinstance(names, (bytes, bytearray)) else (names,)
    for name in several:
        if not isinstance(name, str):
            raise InvalidValue(f"an instrument is {described(name)}", remedy='give names, such as ["bass", "drums"]')
    return tuple(map(str, several))


def as_choice(value: Any, choices: Sequence[Any], name: str) -> Any:
    """`value` if it is one of `choices`; `name` says what is chosen.

    Raises:
        InvalidValue: it is not.
    """
    for choice in choices:
        if type(value) in (type(choice), np.bool_, np.str_) and value == choice:
            return choice
    if isinstance(value, str) and isinstance(choices[0], str):
        raise unknown(name, value, choices)
    raise InvalidValue(f"{name} is {described(value)}", remedy=f"give {' or '.join(map(repr, choices))}")


def unknown(what: str, name: str, known: Iterable[str]) -> InvalidValue:
    """The error for a name that is not among those `known`; its remedy is the nearest of them, or all."""
    return InvalidValue(f"unknown {what} '{name}'", remedy=suggestion(name, known))


def as_seconds(value: Any, name: str) -> float:
    """A length of time, 0 or more.

    Raises:
        InvalidValue: no such number.
    """
    if isinstance(value, (bool, str, bytes)) or not isinstance(value, (int, float, np.number)):
        raise InvalidValue(f"{name} is {described(value)}", remedy="give seconds")
    if not 0 <= value < math.inf:
        raise InvalidValue(f"{name} is {described(value)}", remedy="give seconds, 0 or more")
    return float(value)


def as_notes(notes: Any, instruments: Sequence[Instrument]) -> dict[str, np.ndarray]:
    """Notes by instrument, float64 (K, 4): onset s, offset s, pitch (MIDI number), velocity.

    Raises:
        InvalidValue: no such mapping, an instrument that is not among `instruments`, or a note that MIDI cannot hold.
    """
    if not isinstance(notes, Mapping):
        remedy = "give instrument -> array (K, 4), as transcribe(...).notes"
        raise InvalidValue(f"notes are {described(notes)}", remedy=remedy)
    known = [instrument.name for instrument in instruments]
    for name in notes:
        if name not in known:
            close = suggestion(name if isinstance(name, str) else "", known)
            raise InvalidValue(f"an instrument of the notes is {described(name)}, which is unknown", remedy=close)
    return {name: _note_table(name, table) for name, table in notes.items()}


def _note_table(name: str, notes: Any) -> np.ndarray:
    try:
        if np.iscomplexobj(notes) or np.ma.is_masked(notes):
            raise TypeError("complex or masked numbers")
        table = np.asarray(notes, dtype=np.float64)
    except Exception as fault:  # of any type, as with audio
        problem = f"the notes of {name} are {described(notes)}, not numbers"
        raise InvalidValue(problem, remedy=NOTE_REMEDY) from fault
    if not table.size and table.ndim in (1, 2):
        return np.zeros((0, 4))
    if table.ndim != 2 or table.shape[1] != 4:
        raise InvalidValue(f"the notes of {name} have the shape {table.shape}, not (K, 4)", remedy=NOTE_REMEDY)
    onset, offset, pitch, velocity = table.T
    checks = {
        "is not a finite number": ~np.isfinite(table).all(axis=1),
        f"does not lie between 0 s and {LATEST} s": ~((onset >= 0) & (offset <= LATEST)),
        "ends before it begins": ~(offset >= onset),
        "has a pitch that is no whole number from 0 to 127": ~np.isin(pitch, range(128)),
        "has a velocity that is no whole number from 1 to 127": ~np.isin(velocity, range(1, 128)),
    }
    for problem, wrong in checks.items():
        if wrong.any():
            number = int(wrong.argmax())
            raise InvalidValue(f"note {number} of {name}, {table[number].tolist()}, {problem}", remedy=NOTE_REMEDY)
    return table
