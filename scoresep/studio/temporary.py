"""Projects among the system's temporary files: kept while a studio has them open, and for good once they hold work."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from scoresep.errors import ScoresepError
from scoresep.studio.lock import hold
from scoresep.studio.state import LANE, STATE

PREFIX = "scoresep-studio-"


def new_folder() -> tuple[Path, BinaryIO]:
    """A new folder, and the lock on it. It holds no project yet, so that `clear_abandoned` leaves it alone."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    return folder, hold(folder)


def has_work(folder: Path) -> bool:
    """Whether a person did anything in a project that its recording does not give again; also if nobody can tell."""
    try:
        state = json.loads((folder / STATE).read_text("utf-8"))
        mixed = any(lane != LANE for lane in state["mix"].values())
        return bool(mixed or state["beat"] or state["revision"] or len(state["versions"]) > 1)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return True


def clear_abandoned() -> None:
    """Remove projects without work in them that no studio has open, as one that was killed leaves them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if (folder / STATE).exists() and not has_work(folder):
            try:
                lock = hold(folder)
            except (ScoresepError, OSError):  # open, or another user's
                continue
            with closing(lock):
                shutil.rmtree(folder, ignore_errors=True)
