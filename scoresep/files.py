"""Writing files so that a reader never sees half of one. Called by everything that writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scoresep.errors import ScoresepError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block ends well, else remove it.

    The temporary name keeps the suffix, because writers of audio and pictures choose their format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all; NaN and infinity are refused (not JSON)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def existing_file(path: str | Path, what: str, remedy: str) -> Path:
    """Return `path` if it is a readable file.

    Raises:
        ScoresepError: it is missing, a folder or unreadable; `what` says what it should have been, `remedy` what to do.
    """
    path = Path(path)
    if not path.exists():
        raise ScoresepError(f"{what} {path} does not exist; {remedy}")
    if not path.is_file():
        raise ScoresepError(f"{what} {path} is not a file; {remedy}")
    if not os.access(path, os.R_OK):
        raise ScoresepError(f"{what} {path} cannot be read; check its permissions")
    return path
