"""Clips from the shards to the device. Called by the training loop.

The order of clips is a function of seed and step alone, so a run that goes on after a stop sees the clips it would
have seen. Reads magnitudes, rolls, onsets and harmonic masks; never stems.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.grid import PITCHES

Crop = tuple[int, int]
"""A clip's track row and first frame."""


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        magnitude: mixture magnitudes relative to their track's level, float32 (B, F, T).
        roll, onset: sounding keys and first frames, float32 0 or 1 (B, N, P, T).
        harmonic: harmonic masks, bool (B, N, F, T).
        crops: where each clip comes from.
    """

    magnitude: Tensor
    roll: Tensor
    onset: Tensor
    harmonic: Tensor
    crops: list[Crop]


class Clips(Dataset[dict[str, Tensor]]):
    """Clips of `frames` frames by (row, first frame), as stored: float16 and packed bits, time first."""

    NAMES = ("magnitude", "roll", "onset", "harmonic")

    def __init__(self, cache: Cache, frames: int) -> None:
        self.cache, self.frames = cache, frames

    def __getitem__(self, crop: Crop) -> dict[str, Tensor]:
        row, first = crop
        count = min(self.frames, int(self.cache.tracks["frames"][row]) - first)
        clip = {name: self._padded(self.cache.slice(name, row, first, count)) for name in self.NAMES}
        return {**clip, "level": torch.tensor(self.cache.level(row)), "crop": torch.tensor(crop)}

    def _padded(self, array: np.ndarray) -> Tensor:
        """Silence after the end of a track that is shorter than a clip."""
        short = self.frames - len(array)
        return torch.from_numpy(np.pad(array, [(0, short)] + [(0, 0)] * (array.ndim - 1)) if short else array)


class ClipOrder:
    """Which clips the steps of a run see: every epoch cuts each track into clips at a random offset and shuffles them.

    Raises:
        ScoresepError: the split is empty.
    """

    def __init__(self, cache: Cache, split: str, frames: int, batch: int, seed: int) -> None:
        rows = cache.rows(split)
        if not len(rows):
            raise ScoresepError(f"{cache.path} has no track in its {split} split; prepare a larger corpus")
        self.lengths = [(int(row), int(cache.tracks["frames"][row])) for row in rows]
        self.frames, self.batch, self.seed = frames, batch, seed
        self.steps_per_epoch = max(1, sum(self._clips(length) for _, length in self.lengths) // batch)

    def _clips(self, length: int) -> int:
        return max(1, length // self.frames)

    @lru_cache(maxsize=1)  # noqa: B019 - one order lives as long as its run
    def epoch(self, number: int) -> list[Crop]:
        """All clips of an epoch in their order, at least one batch of them."""
        rng = np.random.default_rng((self.seed, number))
        crops: list[Crop] = []
        while len(crops) < self.batch:
            for row, length in self.lengths:
                spare = max(0, length - self._clips(length) * self.frames)
                offset = int(rng.integers(spare + 1))
                crops += [(row, offset + k * self.frames) for k in range(self._clips(length))]
        return [crops[k] for k in rng.permutation(len(crops))]

    def crops(self, step: int) -> list[Crop]:
        """The clips of one step."""
        number, position = divmod(step, self.steps_per_epoch)
        return self.epoch(number)[position * self.batch : (position + 1) * self.batch]

    def validation(self, limit: int) -> list[list[Crop]]:
        """Up to `limit` clips spread evenly over the split, in batches, always the same."""
        crops = [(row, k * self.frames) for row, length in self.lengths for k in range(self._clips(length))]
        count = min(limit, len(crops))
        crops = [crops[k * len(crops) // count] for k in range(count)]
        return [crops[k : k + self.batch] for k in range(0, count, self.batch)]


def stream(
    cache: Cache, frames: int, batches: Sequence[list[Crop]] | Iterator[list[Crop]], workers: int, device: torch.device
) -> Iterator[Batch]:
    """Read `batches` in order and hand them over on `device`; `workers` processes read ahead."""
    on_gpu = device.type == "cuda"
    loader = DataLoader(
        Clips(cache, frames),
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=workers,
        pin_memory=on_gpu,
        persistent_workers=False,
    )
    for clips in loader:
        moved = {name: values.to(device, non_blocking=on_gpu) for name, values in clips.items()}
        yield to_batch(moved, cache.grid.bins)


def to_batch(clips: dict[str, Tensor], bins: int) -> Batch:
    """Stored form (time first, packed) to the networks' form (time last), on the device the clips are on."""
    level = clips["level"][:, None, None].float()
    return Batch(
        magnitude=(clips["magnitude"].float() / level).transpose(1, 2).contiguous(),
        roll=unpack(clips["roll"], PITCHES).movedim(1, -1).float(),
        onset=unpack(clips["onset"], PITCHES).movedim(1, -1).float(),
        harmonic=unpack(clips["harmonic"], bins).movedim(1, -1).contiguous(),
        crops=[(int(row), int(first)) for row, first in clips["crop"].tolist()],
    )


def unpack(bits: Tensor, count: int) -> Tensor:
    """Packed bits, uint8 (..., bytes), to bool (..., count); bit k of byte b is value 8 b + k."""
    places = torch.arange(8, dtype=torch.uint8, device=bits.device)
    return ((bits.unsqueeze(-1) >> places) & 1).flatten(-2)[..., :count].bool()
