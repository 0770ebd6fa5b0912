"""Clips as stored, from memory: a split that is read once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from scoresep.cache.reader import Cache
from scoresep.cache.schema import DATASET_SPAN, FACTORS
from scoresep.errors import ScoresepError
from scoresep.losses.batch import DATASETS, STEMS, TEACHER, Crop
from scoresep.machine import sent
from scoresep.training.clip_dataset import ShardClips, about, apart, span_of
from scoresep.training.clip_reader import copy_clips
from scoresep.training.teacher import Excerpt, collate, excerpt


class ResidentClips:
    """Clips from memory: all tracks of some rows, read once and held on `device`.

    The teacher's factors, a thirtieth of the rest, are held in the machine's memory and moved batch by batch: clips
    have different numbers of them.

    Args:
        cache, frames, names, stemmed: as for `ShardClips`.
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
        stemmed: Collection[int] = (),
    ) -> None:
        self.cache, self.frames, self.device, self.pinned, self.stemmed = cache, frames, device, pinned, stemmed
        self._tracks: dict[str, np.ndarray] = {}
        self._held = {name: self._hold(name, rows) for name in names if name != TEACHER}
        self._factors = self._hold_factors(rows) if TEACHER in names else {}

    def _hold(self, name: str, rows: Sequence[int]) -> Tensor:
        """What the frames of all tracks need, one track after another, and a row of silence after the last."""
        source = ShardClips(self.cache, 1, [name], stemmed=self.stemmed)
        pieces = source.pieces[name]
        frames = self.cache.tracks["frames"].astype(np.int64)
        own = np.array([row for row in rows if name != STEMS or row in self.stemmed], dtype=np.int64)
        lengths = pieces.span.rows(frames[own])
        self._tracks[name] = table = np.zeros((len(frames), 2), np.int64)  # first row held, number of rows
        table[own] = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1)
        try:
            held = torch.empty((int(lengths.sum()) + 1, *pieces.shape), dtype=pieces.type, device=self.device)
            for row, (first, length) in zip(own.tolist(), table[own].tolist(), strict=True):
                source.frames = int(frames[row])
                held[first : first + length] = source([(row, 0)])[name][0].to(self.device)
        except (RuntimeError, MemoryError) as fault:  # torch has an error of its own for a GPU, a bare one for a CPU
            raise ScoresepError(f"{self.cache.path} does not fit in memory; leave --resident out") from fault
        held[-1] = 0
        return held

    def _hold_factors(self, rows: Sequence[int]) -> dict[int, dict[str, np.ndarray]]:
        """The teacher's datasets of all tracks."""
        source, tracks = ShardClips(self.cache, 1, [TEACHER]), self.cache.tracks
        readers = {row: source.rows(row) for row in rows}
        return {
            row: {name: read(name, 0, int(tracks[DATASET_SPAN[name]][row])) for name in FACTORS}
            for row, read in readers.items()
        }

    def _excerpt(self, row: int, first: int) -> Excerpt:
        """The teacher's factors of a clip."""
        held = self._factors[row]
        length, templates = len(held["activation_end"]), len(held["template"])
        return excerpt(lambda name, at, count: held[name][at : at + count], templates, length, first, self.frames)

    def __call__(self, crops: Sequence[Crop]) -> dict[str, Tensor]:
        """As `ShardClips`, on `device`."""
        rows, firsts = apart(crops)
        clips = {name: self._clips(name, rows, firsts) for name in self._held}
        if self._factors:
            factors = collate([self._excerpt(row, first) for row, first in crops], len(self.cache.instruments))
            clips |= {name: sent(values, self.device) for name, values in factors.items()}
        if self.pinned:
            clips = {name: clip.pin_memory() for name, clip in clips.items()}
        return {**clips, **about(self.cache, rows, firsts, self.stemmed if STEMS in clips else None)}

    def _clips(self, name: str, rows: np.ndarray, firsts: np.ndarray) -> Tensor:
        """Clips of tracks `rows` from frames `firsts` on, silent where a track has nothing: (B, rows, ...)."""
        held, span, tracks = self._held[name], span_of(self.cache, name), self._tracks[name][rows]
        begins, count = firsts * span.step, span.rows(self.frames)  # what is held begins with the first frame's window
        if held.device.type != "cpu":
            return held[sent(places(begins, tracks, count, len(held) - 1), self.device)]
        clips = torch.empty((len(rows), count, *held.shape[1:]), dtype=held.dtype)
        copy_clips(clips.data_ptr(), count, begins, tracks, held.numpy().view(np.uint8).reshape(len(held), -1))
        return clips


def places(begins: np.ndarray, tracks: np.ndarray, count: int, silent: int) -> Tensor:
    """The held rows of clips, int64 (B, count); row `silent` where a track has nothing. Others as for `copy_clips`."""
    rows = begins[:, None] + np.arange(count)
    return torch.from_numpy(np.where(rows < tracks[:, 1:], tracks[:, :1] + rows, silent))
