"""What programs hand in, checked before any work begins: audio, rates, names, notes (docs/reference/use.md has the
rules).

Each function takes anything at all and returns a plain value, or raises `ScoresepError`. Paths are checked by
`scoresep.files.as_path`, devices by `scoresep.machine.choose_device`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from scoresep.errors import ScoresepError, described
from scoresep.grid import HIGHEST_RATE, LOWEST_RATE
from scoresep.instruments import Instrument, nearest
from scoresep.models.model import Model

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


def as_model(model: Any) -> Model:
    """The networks, also of what `scoresep.load` returns.

    Raises:
        ScoresepError: neither.
    """
    found = getattr(model, "model", model)
    if not isinstance(found, Model):
        raise ScoresepError(f"the model is {described(model)}; give what scoresep.load returns")
    return found


def as_audio(samples: Any) -> np.ndarray:
    """Audio as float32 (L, C): from (L,) or (L, C) of floats, or of integers within full scale +-1.

    Raises:
        ScoresepError: no array of real numbers, other axes, no samples, NaN, infinite, or integers beyond full scale.
    """
    found = _real_array(samples)
    if found.ndim not in (1, 2):
        raise ScoresepError(f"the audio has the shape {found.shape}; give one recording as (L,) or (L, C)")
    if not found.size:
        raise ScoresepError(f"the audio is empty: it holds no samples (its shape is {found.shape})")
    length, channels = found.shape[0], found.size // found.shape[0]
    if channels > min(max(length, FEW_CHANNELS), MOST_CHANNELS):
        raise ScoresepError(
            f"the audio has the shape {found.shape}, {channels} channels of {length} samples; "
            "give (L, C), the samples first: audio.T"
        )
    _check_range(found)
    return found.astype(np.float32, copy=False).reshape(length, channels)


def _real_array(samples: Any) -> np.ndarray:
    """Anything that is an array of real numbers, as one: NumPy's, torch's on any device, pandas', nested lists."""
    remedy = "give an array of real numbers, as soundfile.read returns first"
    if np.ma.is_masked(samples):
        raise ScoresepError("the audio holds masked samples; fill them first: audio.filled(0)")
    try:
        if isinstance(samples, Tensor):
            samples = samples.detach().cpu()
            samples = samples.float() if samples.is_floating_point() else samples
        found = np.asarray(samples)
    except Exception as fault:  # of any type: ragged lists, sparse tensors, objects of other packages
        raise ScoresepError(f"the audio is {described(samples)}, which is no array; {remedy}") from fault
    if found.dtype.kind not in "fiu":
        of = f", an array of {found.dtype}" if found.ndim else ""
        raise ScoresepError(f"the audio is {described(samples)}{of}; {remedy}")
    return found


def _check_range(samples: np.ndarray) -> None:
    """Refuse values that are no audio: minimum and maximum tell, and need no memory."""
    low, high = samples.min(), samples.max()
    if samples.dtype.kind == "u":
        raise ScoresepError(f"the audio holds {samples.dtype}, in which silence is not 0; read the file as floats")
    if samples.dtype.kind == "i" and max(-int(low), int(high)) > 1:
        raise ScoresepError(
            f"the audio holds {samples.dtype} up to {max(-int(low), int(high))}, and full scale is 1.0; "
            "read the file as floats, or divide by the integers' full scale (32768 for 16 bits)"
        )
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ScoresepError("the audio holds samples that are not numbers (NaN or infinite); replace them")
    if max(-float(low), float(high)) > LOUDEST:
        raise ScoresepError(f"the audio reaches {max(-float(low), float(high)):.3g}, and full scale is 1.0; divide it")


def as_rate(rate: Any) -> int:
    """A sample rate in Hz; a float serves if it is whole.

    Raises:
        ScoresepError: no number, not whole, or a rate that no audio has.
    """
    try:
        value = math.nan if isinstance(rate, (str, bytes, bool, np.bool_)) or np.ndim(rate) else float(rate)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not (LOWEST_RATE <= value <= HIGHEST_RATE and value.is_integer()):
        raise ScoresepError(
            f"the sample rate is {described(rate)}; give a whole number of Hz from {LOWEST_RATE} to {HIGHEST_RATE}"
        )
    return int(value)


def as_names(names: Any) -> tuple[str, ...]:
    """Names of instruments: of several strings, or by comma in one, as on the command line; None and "" are none.

    Raises:
        ScoresepError: something else.
    """
    if isinstance(names, np.ndarray):
        names = names.tolist()
    if names is None or isinstance(names, str):
        return tuple(name.strip() for name in names.split(",")) if names else ()
    found = tuple(names) if isinstance(names, Iterable) and not isinstance(names, (bytes, bytearray)) else (names,)
    for name in found:
        if not isinstance(name, str):
            raise ScoresepError(f'an instrument is {described(name)}; give names, such as ["bass", "drums"]')
    return tuple(map(str, found))


def as_choice(value: Any, choices: Sequence[Any], name: str) -> Any:
    """`value` if it is one of `choices`; `name` says what is chosen.

    Raises:
        ScoresepError: it is not.
    """
    for choice in choices:
        if type(value) in (type(choice), np.bool_, np.str_) and value == choice:
            return choice
    if isinstance(value, str) and isinstance(choices[0], str):
        raise ScoresepError(f"unknown {name} '{value}'{nearest(value, choices)}")
    raise ScoresepError(f"{name} is {described(value)}; give {' or '.join(map(repr, choices))}")


def as_seconds(value: Any, name: str) -> float:
    """A length of time, 0 or more.

    Raises:
        ScoresepError: no such number.
    """
    if isinstance(value, (bool, str, bytes)) or not isinstance(value, (int, float, np.number)):
        raise ScoresepError(f"{name} is {described(value)}; give seconds")
    if not 0 <= value < math.inf:
        raise ScoresepError(f"{name} is {described(value)}; give seconds, 0 or more")
    return float(value)


def as_notes(notes: Any, instruments: Sequence[Instrument]) -> dict[str, np.ndarray]:
    """Notes by instrument, float64 (K, 4): onset s, offset s, pitch (MIDI number), velocity.

    Raises:
        ScoresepError: no such mapping, an instrument that is not among `instruments`, or a note that MIDI cannot say.
    """
    if not isinstance(notes, Mapping):
        raise ScoresepError(f"notes are {described(notes)}; give instrument -> array (K, 4), as transcribe(...).notes")
    known = [instrument.name for instrument in instruments]
    for name in notes:
        if name not in known:
            close = nearest(name if isinstance(name, str) else "", known)
            raise ScoresepError(f"an instrument of the notes is {described(name)}, which is unknown{close}")
    return {name: _note_table(name, table) for name, table in notes.items()}


def _note_table(name: str, notes: Any) -> np.ndarray:
    try:
        if np.iscomplexobj(notes) or np.ma.is_masked(notes):
            raise TypeError("complex or masked numbers")
        table = np.asarray(notes, dtype=np.float64)
    except Exception as fault:  # of any type, as with audio
        raise ScoresepError(f"the notes of {name} are {described(notes)}, not numbers; {NOTE_REMEDY}") from fault
    if not table.size and table.ndim in (1, 2):
        return np.zeros((0, 4))
    if table.ndim != 2 or table.shape[1] != 4:
        raise ScoresepError(f"the notes of {name} have the shape {table.shape}, not (K, 4); {NOTE_REMEDY}")
    onset, offset, pitch, velocity = table.T
    faults = {
        "is not a finite number": ~np.isfinite(table).all(axis=1),
        f"does not lie between 0 s and {LATEST} s": ~((onset >= 0) & (offset <= LATEST)),
        "ends before it begins": ~(offset >= onset),
        "has a pitch that is no whole number from 0 to 127": ~np.isin(pitch, range(128)),
        "has a velocity that is no whole number from 1 to 127": ~np.isin(velocity, range(1, 128)),
    }
    for fault, wrong in faults.items():
        if wrong.any():
            number = int(wrong.argmax())
            raise ScoresepError(f"note {number} of {name}, {table[number].tolist()}, {fault}; {NOTE_REMEDY}")
    return table
