"""Clips as stored, straight from the shards' bytes. Called by `stream`, and by `resident` to fill the memory.

A shard is uncompressed and time comes first, so a clip is one or two contiguous pieces of its file for each dataset.
They are read into the batch's own memory with `pread`, which needs no lock, no copy and no HDF5 call: HDF5 is asked
once a shard where its pieces lie.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from scoresep.cache.plain import plain_dataset
from scoresep.cache.reader import SHARD_REMEDY, Cache, existing_shard, open_shard, shard_faults
from scoresep.cache.schema import DATASET_SPAN, FACTORS, shard_datasets
from scoresep.errors import ScoresepError
from scoresep.training.teacher import TEACHER, Excerpt, Rows, collate, excerpt

Crop = tuple[int, int]
"""A clip's track row and first frame."""

DATASETS = ("magnitude", "roll", "onset", "harmonic")
"""What supervision by scores reads, all with one row a frame; never audio, never stems."""
STEMS = "stems"
"""What supervision by stems reads besides: one row a sample."""


@dataclass(frozen=True)
class Span:
    """Which rows of a dataset a clip needs: those of its frames, or the samples that its frames' windows lie on.

    Attributes:
        step: rows from one frame to the next.
        window: rows that one frame needs, centred on its place.
    """

    step: int = 1
    window: int = 1

    def rows(self, frames: int) -> int:
        """Rows that so many frames need."""
        return (frames - 1) * self.step + self.window

    def first(self, frame: int) -> int:
        """The row at which the clip that begins with `frame` begins; below zero before the track."""
        return frame * self.step - self.window // 2


def span_of(cache: Cache, name: str) -> Span:
    """The span of a dataset."""
    return Span() if DATASET_SPAN[name] == "frames" else Span(cache.grid.hop, cache.grid.n_fft)


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
        self.path = existing_shard(path)
        with shard_faults(path), open_shard(path) as file:
            self.layouts = {name: self._layout(file, name, *kind) for name, kind in expected.items()}
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def _layout(self, file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Layout:
        width = int(np.prod(shape)) * dtype.itemsize
        try:
            dataset = plain_dataset(file, name, shape, dtype)
        except ValueError as fault:
            raise ScoresepError(
                f"{self.path} does not hold /{name} as plain rows of {shape} ({fault}); {SHARD_REMEDY}"
            ) from fault
        if not dataset.chunks:
            return Layout(max(1, len(dataset)), [dataset.id.get_offset() or 0], width)
        rows = dataset.chunks[0]
        offsets = [0] * -(-len(dataset) // rows)
        for number in range(dataset.id.get_num_chunks()):
            piece = dataset.id.get_chunk_info(number)
            offsets[piece.chunk_offset[0] // rows] = piece.byte_offset
        if dataset.chunks[1:] != shape or not all(offsets):
            raise ScoresepError(f"{self.path} does not hold {dataset.name} as plain rows in one piece; {SHARD_REMEDY}")
        return Layout(rows, offsets, width)

    def read(self, name: str, first: int, count: int, into: memoryview) -> int:
        """Rows `first` to `first + count` of a dataset into the bytes `into`, which may be longer; how many bytes."""
        done = 0
        try:
            spans = self.layouts[name].spans(first, count)
        except IndexError as fault:
            raise ScoresepError(f"{self.path} does not hold all rows of {name}; {SHARD_REMEDY}") from fault
        for offset, length in spans:
            try:
                found = os.preadv(self._file, [into[done : done + length]], offset)
            except OSError as fault:
                raise ScoresepError(f"{self.path} cannot be read ({fault.strerror}); {SHARD_REMEDY}") from fault
            if found != length:
                raise ScoresepError(f"{self.path} is cut short; {SHARD_REMEDY}")
            done += length
        return done


class ShardClips:
    """Clips from the shards.

    Args:
        cache: the data.
        frames: T of a clip; a track that is shorter is followed by silence.
        names: the datasets to read, of `DATASETS`, `STEMS` and `TEACHER`.
        pinned: whether batches lie in memory that a GPU can copy from by itself.
        stemmed: tracks whose stems are read; those of the others are silence.
    """

    def __init__(
        self,
        cache: Cache,
        frames: int,
        names: Sequence[str] = DATASETS,
        *,
        pinned: bool = False,
        stemmed: Collection[int] = (),
    ) -> None:
        self.cache, self.frames, self.pinned, self.stemmed = cache, frames, pinned, stemmed
        stored = {name: (tuple(x.shape), np.dtype(x.dtype)) for name, x in shard_datasets(cache.settings).items()}
        self.kinds = {name: stored[name] for name in names if name != TEACHER}
        self.taught = TEACHER in names
        self._stored = {**self.kinds, **({name: stored[name] for name in FACTORS} if self.taught else {})}
        self.spans = {name: span_of(cache, name) for name in self.kinds}
        self._shards: dict[int, Shard] = {}
        columns = ("shard", "first_frame", "frames", "first_sample", "samples")
        plain = (cache.tracks[name].tolist() for name in columns)  # looking them up in arrays costs more than to read
        self._tracks = [
            (shard, (first, frames), (sample, samples))
            for shard, first, frames, sample, samples in zip(*plain, strict=True)
        ]

    def __call__(self, crops: Sequence[Crop]) -> dict[str, Tensor]:
        """The clips as stored: dataset -> (B, rows, ...), and what `about` says."""
        clips = {
            name: torch.empty(
                (len(crops), self.spans[name].rows(self.frames), *shape),
                dtype=torch_type(dtype),
                pin_memory=self.pinned,
            )
            for name, (shape, dtype) in self.kinds.items()
        }
        into = [(name, self.spans[name], memoryview(clip.numpy()).cast("B")) for name, clip in clips.items()]
        for place, (row, first) in enumerate(crops):
            self._fill(row, first, place, into)
        if self.taught:
            found = [self.excerpt(row, first, self.frames) for row, first in crops]
            clips |= collate(found, len(self.cache.instruments), self.pinned)
        return {**clips, **about(self.cache, crops, self.stemmed if STEMS in clips else None)}

    def excerpt(self, row: int, first: int, frames: int) -> Excerpt:
        """The teacher's factors of a clip of track `row`."""
        templates, length = (int(self.cache.tracks[span][row]) for span in ("templates", "frames"))
        try:
            return excerpt(self.rows(row), templates, length, first, frames)
        except (IndexError, ValueError, MemoryError) as fault:
            path = self.cache.shard_path(self._tracks[row][0])
            raise ScoresepError(f"{path} is damaged: its factors do not fit together; {SHARD_REMEDY}") from fault

    def rows(self, row: int) -> Rows:
        """Rows of the teacher's datasets of track `row`."""
        shard = self.shard(self._tracks[row][0])

        def read(name: str, first: int, count: int) -> np.ndarray:
            shape, dtype = self._stored[name]
            found = np.empty((count, *shape), dtype=dtype)
            if count:
                start = int(self.cache.tracks[f"first_{DATASET_SPAN[name].rstrip('s')}"][row])
                shard.read(name, start + first, count, memoryview(found).cast("B"))
            return found

        return read

    def _fill(self, row: int, first: int, place: int, into: list[tuple[str, Span, memoryview]]) -> None:
        """Read one clip into its place in the batch's memory, with silence where the track has nothing."""
        number, of_frames, of_samples = self._tracks[row]
        shard = self.shard(number)
        for name, span, memory in into:
            width = shard.layouts[name].width
            size = span.rows(self.frames) * width
            target = memory[place * size : (place + 1) * size]
            begin = span.first(first)
            start, length = of_frames if span.step == 1 else of_samples
            if name == STEMS and row not in self.stemmed:
                length = begin
            before = min(-begin * width, size) if begin < 0 else 0
            count = min(size - before, (length - max(begin, 0)) * width) // width
            if before:
                target[:before] = bytes(before)
            done = before + (shard.read(name, start + max(begin, 0), count, target[before:]) if count > 0 else 0)
            if done < size:
                target[done:] = bytes(size - done)

    def shard(self, number: int) -> Shard:
        """Shard `number`, opened when first asked for."""
        if number not in self._shards:
            self._shards[number] = Shard(self.cache.shard_path(number), self._stored)
        return self._shards[number]


def about(cache: Cache, crops: Sequence[Crop], stemmed: Collection[int] | None) -> dict[str, Tensor]:
    """What is known of the clips besides: `level`, float32 (B,), of their tracks.

    Where stems are read also `scale`, float32 (B,), what a sample counts; `left`, int64 (B,), frames that the track has
    from the clip's first on; `stemmed`, bool (B,), whether its stems are known.
    """
    found = {"level": levels(cache, crops)}
    if stemmed is not None:
        found["scale"] = torch.tensor([float(cache.tracks["scale"][row]) for row, _ in crops], dtype=torch.float32)
        found["left"] = torch.tensor([int(cache.tracks["frames"][row]) - first for row, first in crops])
        found["stemmed"] = torch.tensor([row in stemmed for row, _ in crops])
    return found


def levels(cache: Cache, crops: Sequence[Crop]) -> Tensor:
    """The levels of the clips' tracks, float32 (B,)."""
    return torch.tensor([cache.level(row) for row, _ in crops], dtype=torch.float32)


def torch_type(dtype: np.dtype) -> torch.dtype:
    """torch's name for a NumPy type."""
    return torch.from_numpy(np.empty(0, dtype)).dtype
