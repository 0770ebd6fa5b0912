"""The one exception that users are meant to see.

Every module raises `ScoresepError` for what a person can put right (a file, a setting, a disk);
`scoresep.cli` prints its message as one line and exits with status 2. Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations


class ScoresepError(Exception):
    """A fault outside the program: the message names the thing at fault and the remedy, in one line."""


def first_line(fault: BaseException) -> str:
    """What a library says of a fault, as one line for a message."""
    said = str(fault).strip()
    return said.splitlines()[0] if said else type(fault).__name__
