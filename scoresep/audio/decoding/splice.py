"""A file of which some bytes are left out, replaced or added, without a copy of it."""

from __future__ import annotations

import io
import mmap
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

Bytes = bytes | mmap.mmap
"""The contents of a file."""
Piece = bytes | int | tuple[int, int]
"""Bytes as they are, so many zeros, or those of a file from the first to before the second offset."""


def length_of(part: Piece) -> int:
    """Bytes of a part."""
    if isinstance(part, int):
        return part
    return part[1] - part[0] if isinstance(part, tuple) else len(part)


def patched(size: int, changes: Iterable[tuple[int, int, bytes]]) -> list[Piece]:
    """A file of `size` bytes with changes: (first, end, what stands there instead), in order and apart."""
    parts: list[Piece] = []
    done = 0
    for first, end, instead in changes:
        parts += [(done, first), instead]
        done = end
    return [part for part in (*parts, (done, size)) if length_of(part)]


class Spliced(io.RawIOBase):
    """The parts of a file one after the other, to read and to seek in. What the disk cannot read ends it."""

    def __init__(self, path: Path, parts: list[Piece]) -> None:
        super().__init__()
        self._parts = parts
        self._ends = list(accumulate(map(length_of, parts)))
        self._file = io.FileIO(path)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1] if self._ends else 0}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        n = bisect_right(self._ends, self._at)
        if n == len(self._ends):
            return 0
        part, left = self._parts[n], self._ends[n] - self._at
        count = min(len(buffer), left)
        if isinstance(part, tuple):
            count = self._from_file(memoryview(buffer)[:count], part[1] - left)
        else:
            first = length_of(part) - left
            buffer[:count] = bytes(count) if isinstance(part, int) else part[first : first + count]
        self._at += count
        return count

    def _from_file(self, buffer: memoryview, offset: int) -> int:
        try:
            self._file.seek(offset)
            return self._file.readinto(buffer) or 0
        except OSError:
            return 0

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


@dataclass(frozen=True)
class Stream:
    """What libsndfile is given of a file, and what counts of that.

    Attributes:
        parts: see `Piece`.
        samples: how many there are; None: as many as libsndfile says; 0: only decoding tells.
        skip: samples at the beginning that are not sound.
        last: whether decoding must end with the samples.
    """

    parts: list[Piece]
    samples: int | None = None
    skip: int = 0
    last: bool = False
