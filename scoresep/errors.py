"""The one exception that users are meant to see.

Every module raises `ScoresepError` for what a person can put right (a file, a setting, a disk);
`scoresep.cli` prints its message as one line and exits with status 2. Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import reprlib


class ScoresepError(Exception):
    """A fault outside the program: the message names the thing at fault and the remedy, in one line."""


def first_line(fault: BaseException) -> str:
    """What a library says of a fault, as one line for a message."""
    said = str(fault).strip()
    return said.splitlines()[0] if said else type(fault).__name__


def described(value: object) -> str:
    """Any value in a message: as it is written if it is plain, shortened; else its type."""
    if value is None or isinstance(value, (str, bytes, float, bool)):
        return reprlib.repr(value)
    if isinstance(value, int) and abs(value) < 2**64:
        return repr(value)
    return f"of type {type(value).__name__}"
