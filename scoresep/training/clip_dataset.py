"""Clips as the cache stores them, time first and packed: read from its shards, or gathered from memory.

A clip that begins before its track or ends after it is filled up with silence.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from scoresep.cache.reader import SHARD_REMEDY, Cache
from scoresep.cache.schema import DATASET_SPAN, FACTORS, shard_datasets
from scoresep.errors import Damaged, Unavailable, first_line
from scoresep.losses.batch import DATASETS, STEMS, TEACHER, Crop
from scoresep.machine import sent
from scoresep.training.teacher import collate, excerpt


@dataclass(frozen=True)
class Span:
    """Which rows of a dataset clips need: those of their frames, or the samples on which their frames' windows lie.

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
        """The row at which a clip begins whose first frame this is; below zero before the track."""
        return frame * self.step - self.window // 2


def span_of(cache: Cache, name: str) -> Span:
    """The span of a dataset."""
    return Span() if DATASET_SPAN[name] == "frames" else Span(cache.grid.hop, cache.grid.n_fft)


class ShardClips:
    """Clips from the shards.

    Args:
        cache: the data.
        frames: T of a clip.
        names: the datasets to read, of `DATASETS`, `STEMS` and `TEACHER`.
        stemmed: tracks whose stems are read; those of the others are silence.
    """

    def __init__(
        self, cache: Cache, frames: int, names: Sequence[str] = DATASETS, *, stemmed: Collection[int] = ()
    ) -> None:
        self.cache, self.frames, self.names, self.stemmed = cache, frames, names, stemmed

    def __call__(self, crops: Sequence[Crop]) -> dict[str, Tensor]:
        """The clips as stored: dataset -> (B, rows, ...), and what `about` says.

        Raises:
            Damaged: a shard cannot be read, or what it says of the teacher's factors is impossible.
            ScoresepError: a shard is missing, or no shard of this cache.
        """
        clips = {name: self._clips(name, crops) for name in self.names if name != TEACHER}
        if TEACHER in self.names:
            clips |= self.factors(crops)
        return {**clips, **about(self.cache, crops, self.stemmed if STEMS in self.names else None)}

    def _clips(self, name: str, crops: Sequence[Crop]) -> Tensor:
        """Clips of one dataset, (B, rows, ...)."""
        span, lengths = span_of(self.cache, name), self.cache.tracks[DATASET_SPAN[name]]
        stored = shard_datasets(self.cache.settings)[name]
        clips = np.empty((len(crops), span.rows(self.frames), *stored.shape), dtype=stored.dtype)
        for clip, (row, frame) in zip(clips, crops, strict=True):
            first = span.first(frame)
            length = 0 if name == STEMS and row not in self.stemmed else int(lengths[row])
            begin = min(max(-first, 0), len(clip))
            end = max(begin, min(len(clip), length - first))
            clip[:begin] = clip[end:] = 0
            if begin < end:
                clip[begin:end] = self.read(row, name, first + begin, end - begin)
        return torch.from_numpy(clips)

    def factors(self, crops: Sequence[Crop]) -> dict[str, Tensor]:
        """The teacher's factors of clips (`teacher.collate`)."""
        tracks, excerpts = self.cache.tracks, []
        for row, first in crops:
            templates, length = int(tracks["templates"][row]), int(tracks["frames"][row])
            try:
                excerpts.append(excerpt(partial(self.read, row), templates, length, first, self.frames))
            except (IndexError, ValueError, MemoryError) as fault:
                raise self._damaged(row, "the factors of a track do not fit together") from fault
        return collate(excerpts, len(self.cache.instruments))

    def read(self, row: int, name: str, first: int, count: int) -> np.ndarray:
        """Rows `first` to `first + count` of a dataset of track `row`, as stored."""
        try:
            return self.cache.slice(name, row, first, count)
        except (OSError, RuntimeError) as fault:  # what HDF5 says of bytes that are gone since the shard was opened
            raise self._damaged(row, f"/{name} cannot be read ({first_line(fault)})") from fault

    def check(self, row: int) -> None:
        """Open the shard of track `row` for all datasets.

        Raises:
            ScoresepError: it is missing, foreign, or lacks one of them.
        """
        for name in self.names:
            for stored in FACTORS if name == TEACHER else (name,):
                self.cache.slice(stored, row, 0, 0)

    def _damaged(self, row: int, problem: str) -> Damaged:
        path = self.cache.shard_path(int(self.cache.tracks["shard"][row]))
        return Damaged(problem, file=path, remedy=SHARD_REMEDY)


class ResidentClips(ShardClips):
    """Clips from memory: all tracks of some rows, read once and held on a device.

    The teacher's factors, a thirtieth of the rest, are read from the shards: clips have different numbers of them.

    Args:
        cache, frames, names, stemmed: as for `ShardClips`.
        rows: the tracks to hold.
        device: where to hold them, the CPU or a GPU.

    Raises:
        Unavailable: the memory does not suffice.
    """

    def __init__(
        self,
        cache: Cache,
        frames: int,
        rows: Sequence[int],
        device: torch.device,
        names: Sequence[str] = DATASETS,
        *,
        stemmed: Collection[int] = (),
    ) -> None:
        super().__init__(cache, frames, names, stemmed=stemmed)
        self.device = device
        self._tracks = {name: held_rows(cache, name, rows, stemmed) for name in names if name != TEACHER}
        try:
            self._held = {name: self._hold(name, tracks) for name, tracks in self._tracks.items()}
        except (RuntimeError, MemoryError) as fault:  # torch has an error of its own for a GPU, a bare one for a CPU
            raise Unavailable(
                "the training split does not fit in memory", file=cache.path, remedy="leave --resident out"
            ) from fault

    def _hold(self, name: str, tracks: np.ndarray) -> Tensor:
        """What the frames of all tracks need, one track after another, and a row of silence after the last."""
        stored, frames = shard_datasets(self.cache.settings)[name], self.cache.tracks["frames"]
        kind = torch.from_numpy(np.empty(0, stored.dtype)).dtype
        held = torch.zeros((int(tracks[:, 1].sum()) + 1, *stored.shape), dtype=kind, device=self.device)
        for row in np.flatnonzero(tracks[:, 1]).tolist():
            first, length = tracks[row]
            whole = ShardClips(self.cache, int(frames[row]), [name], stemmed=self.stemmed)
            held[first : first + length] = whole([(row, 0)])[name][0].to(self.device)
        return held

    def _clips(self, name: str, crops: Sequence[Crop]) -> Tensor:
        """Clips of one dataset, (B, rows, ...), on `device`."""
        held, span, tracks = self._held[name], span_of(self.cache, name), self._tracks[name]
        rows, firsts = np.array(crops, dtype=np.int64).reshape(-1, 2).T
        inside = firsts[:, None] * span.step + np.arange(span.rows(self.frames))  # of what is held of the track
        first, length = tracks[rows].T[..., None]
        places = np.where(inside < length, first + inside, len(held) - 1)
        clips = held.index_select(0, sent(torch.from_numpy(places.ravel()), self.device))  # copies whole rows
        return clips.view(*places.shape, *held.shape[1:])


def held_rows(cache: Cache, name: str, rows: Sequence[int], stemmed: Collection[int]) -> np.ndarray:
    """What `ResidentClips` holds of a dataset: first row and number of rows of each track, int64 (R, 2)."""
    table = np.zeros((len(cache.tracks), 2), dtype=np.int64)
    chosen = [row for row in rows if name != STEMS or row in stemmed]
    table[chosen, 1] = [span_of(cache, name).rows(int(cache.tracks["frames"][row])) for row in chosen]
    table[chosen, 0] = np.cumsum(table[chosen, 1]) - table[chosen, 1]
    return table


def held_bytes(cache: Cache, names: Sequence[str], rows: Sequence[int], stemmed: Collection[int]) -> int:
    """Bytes that `ResidentClips` takes."""
    stored = shard_datasets(cache.settings)
    widths = {name: int(np.prod(stored[name].shape)) * np.dtype(stored[name].dtype).itemsize for name in stored}
    return sum(
        int(held_rows(cache, name, rows, stemmed)[:, 1].sum()) * widths[name] for name in names if name != TEACHER
    )


def about(cache: Cache, crops: Sequence[Crop], stemmed: Collection[int] | None) -> dict[str, Tensor]:
    """What is known of clips besides: `level`, float32 (B,), of their tracks.

    Where stems are read also `scale`, float32 (B,), what a sample counts; `left`, int64 (B,), frames that the track has
    from the clip's first on; `stemmed`, bool (B,), whether its stems are known.
    """
    tracks, rows = cache.tracks, [row for row, _ in crops]
    values = {"level": torch.from_numpy(tracks["level"][rows].astype(np.float32))}
    if stemmed is not None:
        firsts = np.array([first for _, first in crops], dtype=np.int64)
        values["scale"] = torch.from_numpy(tracks["scale"][rows].astype(np.float32))
        values["left"] = torch.from_numpy(tracks["frames"][rows].astype(np.int64) - firsts)
        values["stemmed"] = torch.tensor([row in stemmed for row in rows])
    return values
