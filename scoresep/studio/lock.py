"""One studio for a project at a time: a lock on a file in its folder, which the system drops when the program ends."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import BinaryIO

from scoresep.errors import Unavailable
from scoresep.files import writing

LOCK = ".lock"
TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""What the system says when another program has the lock."""


def hold(folder: Path) -> BinaryIO:
    """Lock a project; closing the file that is returned unlocks it. Where a disk has no locks, nothing is locked.

    Raises:
        Unavailable: another studio has it.
        Unwritable: the folder cannot be written.
    """
    with writing(folder):
        file = (folder / LOCK).open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        if fault.errno in TAKEN:
            file.close()
            problem = "another studio has this project open"
            raise Unavailable(problem, file=folder, remedy="use that one, or end it first") from fault
    return file
