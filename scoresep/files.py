"""Files: written so that nobody ever reads half of one, read whatever program wrote them, listed below folders."""

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

from scoresep.errors import AlreadyExists, InvalidValue, NotFound, Unavailable, WrongFormat, described, unwritable

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
    check_target(path)
    with writing(path):
        temporary = path.with_name(f"{_prefix(path)}{os.getpid()}.tmp{path.suffix}")
        make_folder(path.parent)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            with suppress(OSError):  # never made, or on a disk that went away
                temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn whatever a library raises because the disk refuses `path` into an `Unwritable`.

    Raises:
        Unwritable: the disk is full, there is no permission, ...
    """
    try:
        yield
    except (OSError, RuntimeError) as fault:
        refusal = unwritable(fault, str(path))
        if refusal is None or refusal is fault:
            raise
        raise refusal from fault


@contextmanager
def _taking_nothing() -> Iterator[None]:
    """Have a folder that exists and takes neither files nor folders, such as /proc, refuse them for what it is."""
    try:
        yield
    except FileNotFoundError as fault:
        raise PermissionError(errno.EACCES, fault.strerror) from fault


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, as far as they are missing.

    Raises:
        OSError: the disk refuses it; see `writing`.
    """
    with _taking_nothing():
        folder.mkdir(parents=True, exist_ok=True)


def check_target(path: Path) -> None:
    """Refuse a path where no file can be put.

    Raises:
        Unwritable: it is a folder or a device, a file stands where its folder should be, or nobody may look.
    """
    with writing(path):
        if not path.name or is_folder(path):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if path.exists() and not path.is_file():
            raise FileExistsError(errno.EEXIST, "it is a device")  # to rename a file to it would end it
        for folder in path.parents:
            if folder.exists() and not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f"{folder} is a file")


class Sink(io.FileIO):
    """A new file that seems to take everything, and keeps the first fault for `check`: nothing is written after it.

    For libraries in C: HDF5 crashes, often only when the process ends, if its own write fails (h5py issue 914), and
    libsndfile says "System error." and no more. A `with` block that ends well ends with a check.

    Args:
        temporary: the file.
        path: what it will be called.
    """

    def __init__(self, temporary: Path, path: Path) -> None:
        super().__init__(temporary, "w+")
        self._path = path
        self._fault: OSError | None = None

    def __exit__(self, kind: type[BaseException] | None, *fault: Any) -> None:
        super().__exit__(kind, *fault)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise the fault, if there was one.

        Raises:
            OSError: something could not be written: the disk is full, a quota is used up, ...
        """
        if self._fault:
            raise self._fault

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        with self._keeping():
            while self._fault is None and done < len(view):
                done += super().write(view[done:])
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        with self._keeping():
            return size or 0 if self._fault else super().truncate(size)
        return size or 0

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            self._fault = OSError(fault.errno, fault.strerror, str(self._path))


@contextmanager
def folder_for_results(folder: str | Path) -> Iterator[None]:
    """Make a folder and those above it, as far as they are missing; if the block fails, remove those still empty.

    Raises:
        Unwritable: they cannot be made, or the block's files not written.
    """
    folder = Path(folder)
    made = [place for place in (folder, *folder.parents) if not is_folder(place)]
    with writing(folder):
        try:
            make_folder(folder)
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
    host = re.sub(r"[^A-Za-z0-9]", "", platform.node()) or "here"
    return f".{stem}.{host}-"


def remove_stale(path: str | Path) -> None:
    """Delete temporary files for `path` that killed processes of this machine left behind."""
    path = Path(path)
    prefix, suffix = _prefix(path), f".tmp{path.suffix}"
    for left in path.parent.glob(f"{glob.escape(prefix)}*{glob.escape(suffix)}"):
        number = left.name[len(prefix) : -len(suffix)]
        if number.isdecimal() and not _alive(int(number)):
            left.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    """Whether a process of this machine may still write. A zombie, which no parent has reaped, does not."""
    if os.name != "posix":  # elsewhere signal 0 is not a question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):  # not Linux, or gone in between
        return True


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, whole or not at all; bytes of file names that are no text appear as codes."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's content, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        Unavailable: a folder cannot be read.
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
    raise Unavailable(
        f"the folder cannot be read ({fault.strerror})", file=fault.filename, remedy="check its permissions"
    )


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


def read_rows(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines of such a table that are not empty, with their numbers: cells by the header's names in small letters.

    Raises:
        ValueError: its first line does not name these `columns`, or one twice, or a line has more cells than it.
        OSError, csv.Error: it cannot be read.
    """
    reader = csv.reader(io.StringIO(read_text(path)))
    header = [cell.strip().lower() for cell in next(reader, [])]
    if not {*columns} <= {*header}:
        between = " separated by commas" * any(mark in cell for cell in header for mark in ";\t")
        raise ValueError(f"its first line does not name the columns {','.join(columns)}{between}")
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise ValueError(f"its first line names the column {twice[0]} twice")
    for cells in reader:
        cells = [cell.strip() for cell in cells]
        if any(cells[len(header) :]):
            raise ValueError(f"line {reader.line_num}: more cells than the first line names columns")
        if any(cells):
            yield reader.line_num, dict(zip(header, cells, strict=False))


def is_folder(path: str | Path) -> bool:
    """Whether this is a folder; False if its name is too long, or nobody may look."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def same_file(a: str | Path, b: str | Path) -> bool:
    """Whether two names are of one file or folder; False if one does not exist."""
    try:
        return Path(a).samefile(b)
    except OSError:
        return False


def existing_file(path: str | Path, what: str, remedy: str) -> Path:
    """Return `path` if it is a readable file.

    Args:
        what: what the file should be, for the message.
        remedy: what to do if it is not there.

    Raises:
        NotFound: there is no such file.
        WrongFormat: it is a folder or a device.
        Unavailable: it cannot be read.
    """
    path = as_path(path, what)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"the {what} does not exist", file=path, remedy=remedy) from None
    except OSError as fault:
        raise Unavailable(f"the {what} cannot be read ({fault.strerror})", file=path, remedy=remedy) from fault
    if not path.is_file():
        raise WrongFormat(f"the {what} is not a file", file=path, remedy=remedy)
    if not os.access(path, os.R_OK):
        raise Unavailable(f"the {what} cannot be read", file=path, remedy="check its permissions")
    return path


def existing_folder(path: str | Path, what: str, remedy: str) -> Path:
    """Return `path` if it is a folder; `what` and `remedy` as of `existing_file`.

    Raises:
        NotFound: there is nothing.
        WrongFormat: it is a file.
    """
    path = as_path(path, what)
    if path.exists() and not path.is_dir():
        raise WrongFormat(f"the {what} is a file, not a folder", file=path, remedy=remedy)
    if not path.exists():
        raise NotFound(f"the {what} does not exist", file=path, remedy=remedy)
    return path


def as_path(path: object, what: str) -> Path:
    """The path that a program gave for `what`.

    Raises:
        InvalidValue: it is neither a string nor a path, is empty, or cannot be a path.
    """
    try:
        name = os.fspath(path)  # type: ignore[call-overload]  # any object is refused below
        valid = isinstance(name, str) and "\0" not in name and bool(os.fsencode(name))
    except (TypeError, UnicodeEncodeError):  # no path; half a surrogate pair, which stands for no byte
        valid = False
    if not valid:
        raise InvalidValue(f"the {what} is {described(path)}", remedy="give a path, as a string or a Path")
    return Path(name)


def as_target(path: object, what: str) -> Path:
    """The path of a file to write; raises as `as_path` and `check_target` do."""
    target = as_path(path, what)
    check_target(target)
    return target


def check_writable(path: Path, what: str) -> None:
    """Refuse a file that will not be written, before the work whose result it is; nothing is left behind.

    Raises:
        InvalidValue: as `as_path`.
        Unwritable: as `check_target`, or the folder, or the nearest that exists, takes no file.
    """
    path = as_target(path, what)
    folder = next(folder for folder in path.absolute().parents if folder.is_dir())
    with writing(path), _taking_nothing():
        tempfile.TemporaryFile(dir=folder).close()


def check_new(path: Path, force: bool) -> None:
    """Refuse to replace a result, or to write where that is not possible, before the work.

    Raises:
        AlreadyExists: `path` exists, and `force` is not set.
        ScoresepError: as `check_writable`.
    """
    if path.exists() and not force:
        raise AlreadyExists("exists already", file=path, remedy="--force replaces it, or give another --out")
    check_writable(path, "result")


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a file, fewer where it is shorter; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""
