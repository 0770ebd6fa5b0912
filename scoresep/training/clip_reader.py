"""Clips copied by compiled loops: from files, whose pieces HDF5 has named, or from memory.

In Python the calls for a clip cost as much as the copying does; here a batch is one call for each dataset. Rows of a
clip that its track has not are silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeVar

import numpy as np
import torch
from numba import types
from torch import Tensor

from scoresep.compiled import compiled

DONE, LACKING, UNREAD = range(3)
"""What came of reading: all is there, a shard has not the rows, or the system did not give them."""

_pread = types.ExternalFunction("pread", types.intp(types.int32, types.uintp, types.uintp, types.int64))
_memset = types.ExternalFunction("memset", types.uintp(types.uintp, types.int32, types.uintp))
_memcpy = types.ExternalFunction("memcpy", types.uintp(types.uintp, types.uintp, types.uintp))


Number = TypeVar("Number", int, np.ndarray)


@dataclass(frozen=True)
class Span:
    """Which rows of a dataset a clip needs: those of its frames, or the samples that its frames' windows lie on.

    Attributes:
        step: rows from one frame to the next.
        window: rows that one frame needs, centred on its place.
    """

    step: int = 1
    window: int = 1

    def rows(self, frames: Number) -> Number:
        """Rows that so many frames need."""
        return (frames - 1) * self.step + self.window

    def first(self, frame: Number) -> Number:
        """The rows at which clips that begin with these frames begin; below zero before the track."""
        return frame * self.step - self.window // 2


@dataclass(frozen=True)
class Layout:
    """Where the rows of one dataset lie in its file.

    Attributes:
        rows: rows of a piece; all pieces but the last are full.
        offsets: first byte of each piece.
        width: bytes of a row.
    """

    rows: int
    offsets: list[int]
    width: int

    def spans(self, first: int, count: int) -> list[tuple[int, int]]:
        """(offset, bytes) of the contiguous pieces that hold rows `first` to `first + count`."""
        found = []
        while count:
            piece, within = divmod(first, self.rows)
            here = min(count, self.rows - within)
            found.append((self.offsets[piece] + within * self.width, here * self.width))
            first, count = first + here, count - here
        return found


class Pieces:
    """Where one dataset's rows of all tracks lie, shard by shard as these are opened.

    Args:
        shape: a row's.
        dtype: of its values.
        span: which rows a clip needs.
        tracks: int64 (R, 3): each track's shard, counted from 0, its first row there, and how many rows it has.
        shards: how many there are.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, span: Span, tracks: np.ndarray, shards: int) -> None:
        self.shape, self.span = shape, span
        self.type = torch_type(dtype)
        self._width = prod(shape) * dtype.itemsize
        self._tracks, self._offsets = tracks, np.zeros(0, np.int64)
        self._shards = np.zeros((shards, 4), np.int64)  # file, first of its offsets, their number, rows of a piece

    def add(self, shard: int, file: int, layout: Layout) -> None:
        """A shard has been opened as `file`."""
        self._shards[shard] = file, len(self._offsets), len(layout.offsets), layout.rows
        self._offsets = np.append(self._offsets, layout.offsets).astype(np.int64)

    def read(self, rows: np.ndarray, firsts: np.ndarray, clips: Tensor) -> tuple[int, int, int]:
        """Read the clips of tracks `rows` from frames `firsts` on (int64 (B,) each) into `clips` (B, T, ...).

        Returns:
            What came of it (`DONE`, `LACKING` or `UNREAD`); where it was not done, the shard and the first byte that
            could not be read.
        """
        tables = self._tracks, self._shards, self._offsets
        return read_clips(clips.data_ptr(), clips.shape[1], self._width, rows, self.span.first(firsts), *tables)


def torch_type(dtype: np.dtype) -> torch.dtype:
    """torch's name for a NumPy type."""
    return torch.from_numpy(np.empty(0, dtype)).dtype


@compiled(nogil=True)
def read_clips(
    memory: int,
    size: int,
    width: int,
    rows: np.ndarray,
    begins: np.ndarray,
    tracks: np.ndarray,
    shards: np.ndarray,
    offsets: np.ndarray,
) -> tuple[int, int, int]:
    """`Pieces.read` to the address `memory`: clips of `size` rows of `width` bytes; `begins` as for `copy_clips`."""
    for b in range(len(rows)):
        shard, start, there = tracks[rows[b]]
        before, row, left = _part(begins[b], there, size)
        target = memory + b * size * width
        _silence(target, before * width, left * width, size * width)
        file, entry, pieces, piece_rows = shards[shard]
        target, row = target + before * width, row + start
        while left > 0:
            piece, within = row // piece_rows, row % piece_rows
            if row < 0 or piece >= pieces:
                return LACKING, shard, 0
            here = min(left, piece_rows - within)
            at, wanted = offsets[entry + piece] + within * width, here * width
            while wanted > 0:
                got = _pread(file, target, wanted, at)
                if got <= 0:
                    return UNREAD, shard, at
                target, at, wanted = target + got, at + got, wanted - got
            row, left = row + here, left - here
    return DONE, 0, 0


@compiled(nogil=True)
def copy_clips(memory: int, size: int, begins: np.ndarray, tracks: np.ndarray, held: np.ndarray) -> None:
    """Copy clips from memory.

    Args:
        memory: the address to copy to.
        size: rows of a clip.
        begins: the clips' first rows counted from their tracks' first, int64 (B,); below zero before it.
        tracks: first row in `held` and number of rows of each clip's track, int64 (B, 2).
        held: where from, uint8 (all rows, width), in one piece.
    """
    width = held.shape[1]
    for b in range(len(begins)):
        start, there = tracks[b]
        before, row, left = _part(begins[b], there, size)
        target = memory + b * size * width
        _silence(target, before * width, left * width, size * width)
        _memcpy(target + before * width, held.ctypes.data + (start + row) * width, left * width)


@compiled(nogil=True)
def _part(begin: int, there: int, size: int) -> tuple[int, int, int]:
    """Of a clip of `size` rows: silent ones before its track, that track's row that follows, rows from there."""
    row = max(begin, 0)
    before = min(row - begin, size)
    return before, row, max(min(size - before, there - row), 0)


@compiled(nogil=True)
def _silence(target: int, before: int, there: int, size: int) -> None:
    """Clear a clip of `size` bytes but for those that are `there`, after `before` others."""
    _memset(target, 0, before)
    _memset(target + before + there, 0, size - before - there)
