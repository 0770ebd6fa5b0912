"""Files that libraries in C write on a disk that may be full, through `Sink`, which keeps the fault until it is raised.

HDF5 crashes, often only when the process ends, if a write of its own fails (h5py issue 914). libsndfile says "System
error." and no more.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Sink(io.RawIOBase):
    """A file that seems to take everything. After the first fault nothing more is written to it.

    Args:
        file: opened for reading and writing, unbuffered.
        path: name of the file for the fault's message.
    """

    def __init__(self, file: io.FileIO, path: Path) -> None:
        self._file, self._path = file, path
        self._fault: OSError | None = None

    def check(self) -> None:
        """Raise the fault, if there was one.

        Raises:
            OSError: something could not be written: the disk is full, a quota is used up, ...
        """
        if self._fault:
            raise self._fault

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        try:
            done = 0
            while self._fault is None and done < len(view):
                done += self._file.write(view[done:])
        except OSError as fault:
            self._fault = OSError(fault.errno, fault.strerror, str(self._path))
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return size or 0 if self._fault else self._file.truncate(size)
        except OSError as fault:
            self._fault = OSError(fault.errno, fault.strerror, str(self._path))
            return size or 0

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


@contextmanager
def new_sink(temporary: Path, path: Path) -> Iterator[Sink]:
    """Yield a sink for a new file `temporary` that will be called `path`.

    Raises:
        OSError: it could not be written; ask the sink in between to know early.
    """
    with open(temporary, "w+b", buffering=0) as raw:
        sink = Sink(raw, path)
        yield sink
        sink.check()
