"""The exceptions that users are meant to see: one class for each kind of fault, all of them `ScoresepError`.

They are raised for what a person can put right (a file, a setting, a disk). The command line prints the message as one
line and exits with status 2. Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager


class ScoresepError(Exception):
    """A fault outside the program. Its text is one line: "FILE: what is wrong; remedy".

    Args:
        problem: what is wrong.
        file: the file or folder at fault, where there is one.
        remedy: what the user can do about it.
    """

    def __init__(self, problem: str, *, file: str | os.PathLike[str] | None = None, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.file = None if file is None else os.fspath(file)
        self.remedy = remedy

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}: "
        return f"{place}{self.problem}{'; ' if self.remedy else ''}{self.remedy}"


class NotFound(ScoresepError):
    """A file, track, model or name that does not exist."""


class Damaged(ScoresepError):
    """A file of the right kind whose contents are cut short, inconsistent or not finite."""


class WrongFormat(ScoresepError):
    """A file of a kind that is not read here."""


class WrongVersion(ScoresepError):
    """A file that another version of scoresep wrote."""


class Mismatch(ScoresepError):
    """Two things that do not belong together, such as a checkpoint and a cache on other grids."""


class InvalidValue(ScoresepError):
    """An option, a setting or an argument outside what is allowed."""


class AlreadyExists(ScoresepError):
    """An output that would replace something of the user's."""


class NothingToDo(ScoresepError):
    """No input is left to work on: no track, no sound, no note."""


class Unavailable(ScoresepError):
    """A program, a library, a device or a service that is not there."""


class Failed(ScoresepError):
    """Work that began and could not be finished: a loss that is not finite, a worker that died."""


NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_FULL = ("the disk is full", "free some space and run the same command again")
_FORBIDDEN = ("no permission to open or write it", "change it, or choose another place")
_IN_THE_WAY = ("cannot write it", "give another place")
WRITING = {
    **dict.fromkeys(NO_ROOM, _FULL),
    errno.EFBIG: ("the file grows larger than is allowed", "raise the limit (ulimit -f) or use another disk"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _FORBIDDEN),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENOTEMPTY), _IN_THE_WAY),
    errno.ENAMETOOLONG: ("cannot be used as a name", "choose a shorter one"),
    errno.EIO: ("the disk fails", "check it, or use another one"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n)"),
}
"""Problem and remedy by the error number of a system that does not write a file."""


class Unwritable(ScoresepError, OSError):
    """A file that cannot be written. Made as an OSError is: number (one of `WRITING`), the system's words, file."""

    def __init__(self, *arguments: object) -> None:
        OSError.__init__(self, *arguments)
        file = self.filename2 or self.filename
        self.file = None if file is None else os.fsdecode(file)
        problem, self.remedy = WRITING[self.errno or 0]
        self.problem = f"{problem} ({self.strerror})"

    @property
    def no_room(self) -> bool:
        """Whether the disk or a quota is full: then no other file can be written there either."""
        return self.errno in NO_ROOM


@contextmanager
def naming(file: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file at fault in errors that name none."""
    try:
        yield
    except ScoresepError as fault:
        if fault.file is not None:
            raise
        raise type(fault)(fault.problem, file=file, remedy=fault.remedy) from fault


def unwritable(fault: BaseException, name: str | None = None) -> Unwritable | None:
    """The refusal to write that caused `fault`, which a library may hide behind its own words; None if there is none.

    Args:
        name: the file that was being written, for where the fault names none.
    """
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, Unwritable):
            return cause
        if isinstance(cause, OSError) and cause.errno in WRITING:
            return Unwritable(cause.errno, cause.strerror, name or cause.filename2 or cause.filename)
        cause = cause.__cause__ or cause.__context__
    return None


def first_line(fault: BaseException) -> str:
    """The first line of an exception's text, or its class where it has none."""
    text = str(fault).strip()
    return text.splitlines()[0] if text else type(fault).__name__


def described(value: object) -> str:
    """A value for a message: short and as Python writes it if it is plain, else its type."""
    if value is None or isinstance(value, (str, bytes, float, bool)):
        return reprlib.repr(value)
    if isinstance(value, int) and abs(value) < 2**64:
        return repr(value)
    return f"of type {type(value).__name__}"
