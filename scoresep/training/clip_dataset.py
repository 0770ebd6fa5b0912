"""Clips as stored, straight from the shards' bytes.
A shard is uncompressed and time comes first, so a clip is one or two contiguous pieces of its file for each dataset.
They are read into the batch's own memory with `pread`, which needs no lock, no copy and no HDF5 call: HDF5 is asked
once a shard where its pieces lie. A batch takes one compiled call for each dataset (`pieces`).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from scoresep.cache.plain import plain_dataset
from scoresep.cache.reader import SHARD_REMEDY, Cache, existing_shard, open_shard, shard_faults
from scoresep.cache.schema import DATASET_SPAN, FACTORS, shard_datasets
from scoresep.errors import ScoresepError
from scoresep.losses.batch import DATASETS, STEMS, TEACHER, Crop
from scoresep.training.clip_reader import DONE, LACKING, Layout, Pieces, Span
from scoresep.training.teacher import Excerpt, Rows, collate, excerpt


def span_of(cache: Cache, name: str) -> Span:
    """The span of a dataset."""
    return Span() if DATASET_SPAN[name] == "frames" else Span(cache.grid.hop, cache.grid.n_fft)


class Shard:
    """One open shard.

    Raises:
        ScoresepError: it is missing, foreign, cut short, or its datasets are not stored as plain rows.
    """

    def __init__(self, path: Path, expected: dict[str, tuple[tuple[int, ...], np.dtype]]) -> None:
        self.path = existing_shard(path)
        with shard_faults(path), open_shard(path) as file:
            self.layouts = {name: self._layout(file, name, *kind) for name, kind in expected.items()}
        self.file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.file)

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
        except IndexError:
            raise self.lacks(name) from None
        for offset, length in spans:
            try:
                found = os.preadv(self.file, [into[done : done + length]], offset)
            except OSError as fault:
                raise self.unread(fault.strerror) from fault
            if found != length:
                raise self.unread()
            done += length
        return done

    def unread_at(self, offset: int) -> ScoresepError:
        """What to raise where the bytes from `offset` on could not be read."""
        try:
            return self.unread("it could be a moment later" if os.pread(self.file, 1, offset) else None)
        except OSError as fault:
            return self.unread(fault.strerror)

    def lacks(self, name: str) -> ScoresepError:
        """What to raise where rows of a dataset are not there."""
        return ScoresepError(f"{self.path} does not hold all rows of {name}; {SHARD_REMEDY}")

    def unread(self, reason: str | None = None) -> ScoresepError:
        """What to raise where bytes that should be there cannot be read; without a reason, the file is too short."""
        return ScoresepError(
            f"{self.path} {f'cannot be read ({reason})' if reason else 'is cut short'}; {SHARD_REMEDY}"
        )


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
        chosen = [name for name in names if name != TEACHER]
        self.taught = TEACHER in names
        self._stored = {name: stored[name] for name in (*chosen, *(FACTORS if self.taught else ()))}
        self._shards: dict[int, Shard] = {}
        self._opening = threading.Lock()
        self._numbers, self._places = np.unique(cache.tracks["shard"], return_inverse=True)
        self._opened = np.zeros(len(self._numbers), bool)
        self.pieces = {
            name: Pieces(*stored[name], span_of(cache, name), self._table(name), len(self._numbers)) for name in chosen
        }

    def _table(self, name: str) -> np.ndarray:
        """Where the tracks' rows of a dataset are (`Pieces`), int64 (R, 3); none of stems that are not to be read."""
        tracks, rows = self.cache.tracks, DATASET_SPAN[name]
        lengths = tracks[rows].astype(np.int64)
        if name == STEMS:
            lengths[[row not in self.stemmed for row in range(len(lengths))]] = 0
        return np.stack([self._places, tracks[f"first_{rows.rstrip('s')}"], lengths], axis=1).astype(np.int64)

    def __call__(self, crops: Sequence[Crop]) -> dict[str, Tensor]:
        """The clips as stored: dataset -> (B, rows, ...), and what `about` says."""
        rows, firsts = apart(crops)
        if self.pieces and not self._opened[self._places[rows]].all():
            self._open(self._places[rows].tolist())
        clips = {name: self._read(name, rows, firsts) for name in self.pieces}
        if self.taught:
            found = [self.excerpt(row, first, self.frames) for row, first in crops]
            clips |= collate(found, len(self.cache.instruments), self.pinned)
        return {**clips, **about(self.cache, rows, firsts, self.stemmed if STEMS in clips else None)}

    def _read(self, name: str, rows: np.ndarray, firsts: np.ndarray) -> Tensor:
        """Clips of tracks `rows` from frames `firsts` on, silent where a track has nothing: (B, rows, ...)."""
        pieces = self.pieces[name]
        size = len(rows), pieces.span.rows(self.frames), *pieces.shape
        clips = torch.empty(size, dtype=pieces.type, pin_memory=self.pinned)
        outcome, place, at = pieces.read(rows, firsts, clips)
        if outcome != DONE:
            shard = self.shard(int(self._numbers[place]))
            raise shard.lacks(name) if outcome == LACKING else shard.unread_at(at)
        return clips

    def excerpt(self, row: int, first: int, frames: int) -> Excerpt:
        """The teacher's factors of a clip of track `row`."""
        templates, length = (int(self.cache.tracks[span][row]) for span in ("templates", "frames"))
        try:
            return excerpt(self.rows(row), templates, length, first, frames)
        except (IndexError, ValueError, MemoryError) as fault:
            path = self.cache.shard_path(int(self.cache.tracks["shard"][row]))
            raise ScoresepError(f"{path} is damaged: its factors do not fit together; {SHARD_REMEDY}") from fault

    def rows(self, row: int) -> Rows:
        """Rows of the teacher's datasets of track `row`."""
        shard = self.shard(int(self.cache.tracks["shard"][row]))

        def read(name: str, first: int, count: int) -> np.ndarray:
            shape, dtype = self._stored[name]
            found = np.empty((count, *shape), dtype=dtype)
            if count:
                start = int(self.cache.tracks[f"first_{DATASET_SPAN[name].rstrip('s')}"][row])
                shard.read(name, start + first, count, memoryview(found).cast("B"))
            return found

        return read

    def shard(self, number: int) -> Shard:
        """Shard `number`, opened when first asked for."""
        if number not in self._shards:
            self._shards[number] = Shard(self.cache.shard_path(number), self._stored)
        return self._shards[number]

    def _open(self, places: Iterable[int]) -> None:
        """Open the shards at `places` of all numbers; several readers may ask at once."""
        with self._opening:
            for place in places:
                if not self._opened[place]:
                    shard = self.shard(int(self._numbers[place]))
                    for name, pieces in self.pieces.items():
                        pieces.add(place, shard.file, shard.layouts[name])
                    self._opened[place] = True


def apart(crops: Sequence[Crop]) -> tuple[np.ndarray, np.ndarray]:
    """The tracks of some clips and their first frames, int64 (B,) each."""
    rows, firsts = np.array(crops, dtype=np.int64).reshape(-1, 2).T.copy()
    return rows, firsts


def about(cache: Cache, rows: np.ndarray, firsts: np.ndarray, stemmed: Collection[int] | None) -> dict[str, Tensor]:
    """What is known of clips of tracks `rows` besides: `level`, float32 (B,), of their tracks.

    Where stems are read also `scale`, float32 (B,), what a sample counts; `left`, int64 (B,), frames that the track has
    from the clip's first on; `stemmed`, bool (B,), whether its stems are known.
    """
    tracks = cache.tracks
    found = {"level": torch.from_numpy(tracks["level"][rows].astype(np.float32))}
    if stemmed is not None:
        found["scale"] = torch.from_numpy(tracks["scale"][rows].astype(np.float32))
        found["left"] = torch.from_numpy(tracks["frames"][rows].astype(np.int64) - firsts)
        found["stemmed"] = torch.tensor([row in stemmed for row in rows.tolist()])
    return found
