"""Writing files so that a reader never sees half of one. Called by everything that writes."""

from __future__ import annotations

import csv
import glob
import json
import os
import platform
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scoresep.errors import ScoresepError, described


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block ends well, else remove it.

    The temporary name keeps the suffix, because writers of audio and pictures choose their format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{_host()}-{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_stale(path: str | Path) -> None:
    """Delete temporary files for `path` that were left behind by processes of this machine that were killed."""
    path = Path(path)
    prefix, suffix = f".{path.stem}.{_host()}-", f".tmp{path.suffix}"
    for left in path.parent.glob(f"{glob.escape(prefix)}*{glob.escape(suffix)}"):
        number = left.name[len(prefix) : -len(suffix)]
        if number.isdecimal() and not _alive(int(number)):
            left.unlink(missing_ok=True)


def _host() -> str:
    """This machine's name, as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9]", "", platform.node()) or "here"


def _alive(process: int) -> bool:
    """Whether a process of this machine may still write: a dead one that nobody has taken leave of does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):  # no Linux, or gone in between
        return True


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all; NaN and infinity are refused (not JSON)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_rows(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table (UTF-8, with `header`) to `path`, whole or not at all; what no encoding holds is escaped."""
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        table = csv.writer(file)
        table.writerow(header)
        table.writerows(rows)


def existing_file(path: str | Path, what: str, remedy: str) -> Path:
    """Return `path` if it is a readable file.

    Raises:
        ScoresepError: it is missing, a folder or unreadable; `what` says what it should have been, `remedy` what to do.
    """
    path = as_path(path, what)
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises for a name that is too long
        raise ScoresepError(f"{what} {path} does not exist; {remedy}")
    if not path.is_file():
        raise ScoresepError(f"{what} {path} is not a file; {remedy}")
    if not os.access(path, os.R_OK):
        raise ScoresepError(f"{what} {path} cannot be read; check its permissions")
    return path


def as_path(path: object, what: str) -> Path:
    """The path that a program gave for `what`.

    Raises:
        ScoresepError: it is neither a string nor a path, is empty, or cannot be a path.
    """
    named = isinstance(path, (str, os.PathLike)) and isinstance(name := os.fspath(path), str) and name
    if not named or "\0" in name:
        raise ScoresepError(f"the {what} is {described(path)}; give a path, as a string or a Path")
    return Path(name)


def as_target(path: object, what: str) -> Path:
    """The path of a file to write.

    Raises:
        ScoresepError: as `as_path`, or there is a folder of this name, or a file where its folder should be.
    """
    path = as_path(path, what)
    if path.is_dir():
        raise ScoresepError(f"the {what} cannot be written to {path}, which is a folder; give the name of a file in it")
    for folder in path.parents:
        if folder.exists() and not folder.is_dir():
            raise ScoresepError(f"the {what} cannot be written to {path}: {folder} is a file; give another place")
    return path


def check_writable(path: Path, what: str) -> None:
    """Refuse a file that will not be written, before the work whose result it is; nothing is left behind.

    Raises:
        ScoresepError: as `as_target`, or the folder, or the nearest that is there, takes no file.
    """
    path = as_target(path, what)
    folder = next(folder for folder in path.absolute().parents if folder.is_dir())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as fault:
        raise ScoresepError(
            f"the {what} cannot be written to {path} ({fault.strerror}); check {folder} or give another place"
        ) from fault


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a file, fewer where it has not so many; none of what cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""
