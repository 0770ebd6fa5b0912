"""Files: written so that a reader never sees half of one, read whoever wrote them, found below folders."""

from __future__ import annotations

import codecs
import csv
import errno
import glob
import hashlib
import io
import json
import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scoresep.errors import ScoresepError, Unwritable, described, unwritable

LONGEST_STEM = 100
"""Bytes of a name that its temporary name keeps: file systems take 255, and a host's name and more are added."""
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""What Notepad, PowerShell and spreadsheets begin a text with, and how Python calls its encoding."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block ends well, else remove it.

    The temporary name keeps the suffix, because writers of audio and pictures choose their format by it.

    Raises:
        Unwritable: the disk is full, there is no permission, ...
    """
    path = Path(path)
    with writing(path):
        if not path.name or is_folder(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not path.is_file():
            raise FileExistsError(errno.EEXIST, "it is a device, not a file")  # to rename a file to it would end it
        temporary = path.with_name(f"{_prefix(path)}{os.getpid()}.tmp{path.suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            with suppress(OSError):  # never made, or on a disk that went away
                temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Say what the disk has against the writing of `path`, whichever library hides it behind words of its own.

    Raises:
        Unwritable: the disk is full, there is no permission, ...
    """
    try:
        yield
    except FileNotFoundError as fault:  # by a folder that is there and takes no files, such as /proc
        if not _on_the_way(fault.filename, Path(path)):
            raise
        raise Unwritable(errno.ENOTDIR, fault.strerror, str(path)) from fault
    except (OSError, RuntimeError) as fault:
        refused = unwritable(fault, str(path))
        if refused is None or refused is fault:
            raise
        raise refused from fault


def _on_the_way(name: str | bytes | None, path: Path) -> bool:
    """Whether a name is the path's, a folder's above it, or a temporary one's beside it."""
    named = Path(os.fsdecode(name or ""))
    return named in (path, *path.parents) or (named.parent == path.parent and named.name.startswith("."))


@contextmanager
def folder_for_results(folder: str | Path) -> Iterator[None]:
    """Make a folder and those above it, as far as they are missing; if the block fails, those still empty go again.

    Raises:
        Unwritable: they cannot be made, or the block's files not written.
    """
    folder = Path(folder)
    made = [place for place in (folder, *folder.parents) if not is_folder(place)]
    with writing(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield
        except BaseException:
            for place in made:
                with suppress(OSError):  # it holds something by now
                    place.rmdir()
            raise


def _prefix(path: Path) -> str:
    """What temporary names for `path` begin with: hidden, of this machine, and short enough whatever its length."""
    stem = path.stem
    if len(os.fsencode(stem)) > LONGEST_STEM:
        stem = hashlib.sha256(os.fsencode(stem)).hexdigest()[:32]
    return f".{stem}.{_host()}-"


def remove_stale(path: str | Path) -> None:
    """Delete temporary files for `path` that were left behind by processes of this machine that were killed."""
    path = Path(path)
    prefix, suffix = _prefix(path), f".tmp{path.suffix}"
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


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, whole or not at all; bytes of file names that are no text appear as codes."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8, or in whatever its byte order mark says.

    Raises:
        OSError: it cannot be read.
        ValueError: it is in another encoding.
    """
    return decoded(Path(path).read_bytes())


def decoded(content: bytes) -> str:
    """The text in UTF-8, or in whatever its byte order mark says, with plain line ends.

    Raises:
        ValueError: it is in another encoding.
    """
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as fault:
        raise ValueError(f"{fault}; save it as UTF-8") from fault
    if "\0" in text:
        raise ValueError("it holds zeros, as UTF-16 without its mark does; save it as UTF-8")
    return io.StringIO(text, newline=None).read()  # any line ends


def system_name(path: str | Path) -> str | bytes:
    """A name for libraries in C: its bytes, which need not be text, where a system's names are bytes."""
    return os.fsencode(path) if os.name == "posix" else str(path)


def files_below(root: str | Path, enter: Callable[[Path], bool] = lambda folder: True) -> Iterator[Path]:
    """The files below a folder by name, hidden ones and those of hidden folders left out.

    Links to folders are followed, but no folder is visited twice.

    Args:
        enter: whether to look into a folder below.

    Raises:
        ScoresepError: a folder cannot be read.
    """
    visited = set()
    for folder, inner, names in os.walk(root, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            inner.clear()
            continue
        visited.add(real)
        inner[:] = sorted(name for name in inner if not name.startswith(".") and enter(Path(folder, name)))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _refuse(fault: OSError) -> None:
    raise ScoresepError(f"folder {fault.filename} cannot be read ({fault.strerror}); check its permissions")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all; NaN and infinity are refused (not JSON)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_rows(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table (UTF-8, with `header`) to `path`, whole or not at all; what no encoding holds is escaped."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(header)
    table.writerows(rows)
    write_text(path, text.getvalue())


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder; not if its name is too long to be one, or nobody may look."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def same_file(a: str | Path, b: str | Path) -> bool:
    """Whether two names are of one file or folder; not if one is not there."""
    try:
        return Path(a).samefile(b)
    except OSError:
        return False


def existing_file(path: str | Path, what: str, remedy: str) -> Path:
    """Return `path` if it is a readable file.

    Raises:
        ScoresepError: it is missing, a folder or unreadable; `what` says what it should have been, `remedy` what to do.
    """
    path = as_path(path, what)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ScoresepError(f"{what} {path} does not exist; {remedy}") from None
    except OSError as fault:
        raise ScoresepError(f"{what} {path} cannot be read ({fault.strerror}); {remedy}") from fault
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
    if not named or "\0" in name or not _encodable(name):
        raise ScoresepError(f"the {what} is {described(path)}; give a path, as a string or a Path")
    return Path(name)


def _encodable(name: str) -> bool:
    """Whether a file can have this name: not with half a surrogate pair, which stands for no byte."""
    try:
        return bool(os.fsencode(name))
    except UnicodeEncodeError:
        return False


def as_target(path: object, what: str) -> Path:
    """The path of a file to write.

    Raises:
        ScoresepError: as `as_path`, or there is a folder or a device of this name, or a file where its folder should
            be, or nobody may look.
    """
    path = as_path(path, what)
    if is_folder(path):
        raise ScoresepError(f"the {what} cannot be written to {path}, which is a folder; give the name of a file in it")
    with writing(path):
        if path.exists() and not path.is_file():
            raise ScoresepError(f"the {what} cannot be written to {path}, which is a device; give the name of a file")
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
        with writing(path), tempfile.TemporaryFile(dir=folder):
            pass
    except Unwritable:
        raise
    except OSError as fault:
        raise ScoresepError(f"the {what} cannot be written to {path} ({fault.strerror}); give another place") from fault


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a file, fewer where it has not so many; none of what cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""
