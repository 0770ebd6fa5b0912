"""Clips as stored, straight from the shards' bytes or from memory. Called by `stream`.

A shard is uncompressed and time comes first, so a clip is one or two contiguous pieces of its file for each dataset.
They are read into the batch's own memory with `pread`, which needs no lock, no copy and no HDF5 call: HDF5 is asked
once a shard where its pieces lie.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from scoresep.cache.reader import Cache
from scoresep.cache.schema import SHARD_FORMAT, check_header, shard_datasets
from scoresep.errors import ScoresepError
from scoresep.files import existing_file

Crop = tuple[int, int]
"""A clip's track row and first frame."""

DATASETS = ("magnitude", "roll", "onset", "harmonic")
"""What training reads, all with one row a frame; never audio, never stems."""
REMEDY = "delete it, prepare again"


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


class Shard:
    """One open shard.

    Raises:
        ScoresepError: it is missing, foreign, cut short, or its datasets are not stored as plain rows.
    """

    def __init__(self, path: Path, expected: dict[str, tuple[tuple[int, ...], np.dtype]]) -> None:
        self.path = existing_file(path, "shard", "the cache is incomplete; prepare it again")
        try:
            with h5py.File(path, "r", locking=False) as file:
                check_header(file.attrs, path, SHARD_FORMAT)
                self.layouts = {name: self._layout(file[name], *kind) for name, kind in expected.items()}
        except (OSError, KeyError) as fault:
            raise ScoresepError(f"{path} is not a readable shard ({fault}); {REMEDY}") from fault
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def _layout(self, dataset: h5py.Dataset, shape: tuple[int, ...], dtype: np.dtype) -> Layout:
        width = int(np.prod(shape)) * dtype.itemsize
        if dataset.shape[1:] != shape or dataset.dtype != dtype or dataset.compression or dataset.shuffle:
            raise ScoresepError(f"{self.path} does not hold {dataset.name} as plain rows of {shape}; {REMEDY}")
        if not dataset.chunks:
            return Layout(max(1, len(dataset)), [dataset.id.get_offset() or 0], width)
        rows = dataset.chunks[0]
        offsets = [0] * -(-len(dataset) // rows)
        for number in range(dataset.id.get_num_chunks()):
            piece = dataset.id.get_chunk_info(number)
            offsets[piece.chunk_offset[0] // rows] = piece.byte_offset
        if dataset.chunks[1:] != shape or not all(offsets):
            raise ScoresepError(f"{self.path} does not hold all rows of {dataset.name} in one piece each; {REMEDY}")
        return Layout(rows, offsets, width)

    def read(self, name: str, first: int, count: int, into: memoryview) -> int:
        """Rows `first` to `first + count` of a dataset into the bytes `into`, which may be longer; how many bytes."""
        done = 0
        for offset, length in self.layouts[name].spans(first, count):
            try:
                found = os.preadv(self._file, [into[done : done + length]], offset)
            except OSError as fault:
                raise ScoresepError(f"{self.path} cannot be read ({fault.strerror}); {REMEDY}") from fault
            if found != length:
                raise ScoresepError(f"{self.path} is cut short; {REMEDY}")
            done += length
        return done


class ShardClips:
    """Clips from the shards.

    Args:
        cache: the data.
        frames: T of a clip; a track that is shorter is followed by silence.
        names: the datasets to read, of `DATASETS`.
        pinned: whether batches lie in memory that a GPU can copy from by itself.
    """

    def __init__(self, cache: Cache, frames: int, names: Sequence[str] = DATASETS, *, pinned: bool = False) -> None:
        self.cache, self.frames, self.pinned = cache, frames, pinned
        stored = shard_datasets(cache.settings)
        self.kinds = {name: (tuple(stored[name].shape), np.dtype(stored[name].dtype)) for name in names}
        self._shards: dict[int, Shard] = {}
        columns = (cache.tracks[name].tolist() for name in ("shard", "first_frame", "frames"))
        self._tracks = list(
            zip(*columns, strict=True)
        )  # plain numbers: looking them up in arrays costs more than to read

    def __call__(self, crops: Sequence[Crop]) -> dict[str, Tensor]:
        """The clips as stored: dataset -> (B, T, ...), and `level`, float32 (B,)."""
        clips = {
            name: torch.empty((len(crops), self.frames, *shape), dtype=torch_type(dtype), pin_memory=self.pinned)
            for name, (shape, dtype) in self.kinds.items()
        }
        into = {name: memoryview(clip.numpy()).cast("B") for name, clip in clips.items()}
        for place, (row, first) in enumerate(crops):
            self._fill(row, first, place, into)
        return {**clips, "level": levels(self.cache, crops)}

    def _fill(self, row: int, first: int, place: int, into: dict[str, memoryview]) -> None:
        """Read one clip into its place in the batch's memory."""
        number, start, length = self._tracks[row]
        count = min(self.frames, length - first)
        shard = self.shard(number)
        for name, memory in into.items():
            size = self.frames * shard.layouts[name].width
            target = memory[place * size : (place + 1) * size]
            done = shard.read(name, start + first, count, target)
            if done < size:
                target[done:] = bytes(size - done)

    def shard(self, number: int) -> Shard:
        """Shard `number`, opened when first asked for."""
        if number not in self._shards:
            self._shards[number] = Shard(self.cache.shard_path(number), self.kinds)
        return self._shards[number]


class ResidentClips:
    """Clips from memory: all tracks of some rows, read once and held on `device`.

    Args:
        cache, frames, names: as for `ShardClips`.
        rows: the tracks to hold.
        device: where to hold them, the CPU or a GPU.
        pinned: as for `ShardClips`; of use on the CPU alone.

    Raises:
        ScoresepError: the memory does not suffice.
    """

    def __init__(
        self,
        cache: Cache,
        frames: int,
        rows: Sequence[int],
        device: torch.device,
        names: Sequence[str] = DATASETS,
        *,
        pinned: bool = False,
    ) -> None:
        self.cache, self.frames, self.device, self.pinned = cache, frames, device, pinned
        lengths = [int(cache.tracks["frames"][row]) for row in rows]
        self._first = dict(zip(rows, np.cumsum([0, *lengths]).tolist(), strict=False))
        self._held = {name: self._hold(name, rows, lengths) for name in names}

    def _hold(self, name: str, rows: Sequence[int], lengths: Sequence[int]) -> Tensor:
        """All frames of the tracks one after another, and a clip's length of silence after the last."""
        source = ShardClips(self.cache, 1, [name])
        shape, dtype = source.kinds[name]
        try:
            held = torch.empty((sum(lengths) + self.frames, *shape), dtype=torch_type(dtype), device=self.device)
            for row, length in zip(rows, lengths, strict=True):
                source.frames = length
                held[self._first[row] : self._first[row] + length] = source([(row, 0)])[name][0].to(self.device)
        except (RuntimeError, MemoryError) as fault:  # torch has an error of its own for a GPU, a bare one for a CPU
            raise ScoresepError(f"{self.cache.path} does not fit in memory; leave --resident out") from fault
        held[sum(lengths) :] = 0
        return held

    def __call__(self, crops: Sequence[Crop]) -> dict[str, Tensor]:
        """As `ShardClips`, on `device`."""
        tracks = self.cache.tracks
        starts = torch.tensor([self._first[row] + first for row, first in crops])
        left = torch.tensor([int(tracks["frames"][row]) - first for row, first in crops])
        frames = torch.arange(self.frames)
        ends = next(iter(self._held.values())).shape[0] - 1  # the last row is silent
        places = torch.where(frames < left[:, None], starts[:, None] + frames, ends).to(self.device)
        clips = {name: held[places] for name, held in self._held.items()}
        if self.pinned:
            clips = {name: clip.pin_memory() for name, clip in clips.items()}
        return {**clips, "level": levels(self.cache, crops)}


def levels(cache: Cache, crops: Sequence[Crop]) -> Tensor:
    """The levels of the clips' tracks, float32 (B,)."""
    return torch.tensor([cache.level(row) for row, _ in crops], dtype=torch.float32)


def torch_type(dtype: np.dtype) -> torch.dtype:
    """torch's name for a NumPy type."""
    return torch.from_numpy(np.empty(0, dtype)).dtype
