"""Clips on their way to the networks: which, in what order, read ahead, sent to the device, unpacked.

The order of clips is a function of seed and step alone, so a run that goes on after a stop sees the clips it would
have seen, whoever reads them. Magnitudes, rolls, onsets, harmonic masks and the teacher's factors are read where a loss
looks at them; stems only where a supervision by stems (`training.stages`) names their tracks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from scoresep.audio.spectrogram import window
from scoresep.cache.reader import Cache
from scoresep.errors import NothingToDo
from scoresep.grid import PITCHES, Grid
from scoresep.losses.batch import DATASETS, STEMS, WEAK, Batch, Crop
from scoresep.machine import constant, sent
from scoresep.training.clip_dataset import ResidentClips, ShardClips

RESIDENT = ("", "host", "device")
"""Where a split is held: nowhere (clips are read from the shards), in the machine's memory, in the device's."""
READ_AHEAD = 2
"""Batches that each reader keeps ready or in work."""

BIT_VALUES = tuple(2**k for k in range(8))
"""Values of the bits of a byte."""

Job = TypeVar("Job")
Result = TypeVar("Result")
Source = Callable[[Sequence[Crop]], dict[str, Tensor]]
"""Clips as stored: `ShardClips` or `ResidentClips`."""


class ClipOrder:
    """Which clips the steps of a run see: every epoch cuts each track into clips at a random offset and shuffles them.

    Every clip of an epoch is seen in it; its last batch is filled up with the epoch's first clips.

    Raises:
        NothingToDo: the split is empty.
    """

    def __init__(self, cache: Cache, split: str, frames: int, batch: int, seed: int) -> None:
        rows = cache.rows(split)
        if not len(rows):
            raise NothingToDo(f"no track in its {split} split", file=cache.path, remedy="prepare a larger corpus")
        self.lengths = [(int(row), int(cache.tracks["frames"][row])) for row in rows]
        self.frames, self.batch, self.seed = frames, batch, seed
        self.steps_per_epoch = -(-sum(self._clips(length) for _, length in self.lengths) // batch)

    def _clips(self, length: int) -> int:
        return max(1, length // self.frames)

    @lru_cache(maxsize=1)  # noqa: B019 - one order lives as long as its run
    def epoch(self, number: int) -> list[Crop]:
        """All clips of an epoch in their order."""
        rng = np.random.default_rng((self.seed, number))
        crops: list[Crop] = []
        for row, length in self.lengths:
            spare = max(0, length - self._clips(length) * self.frames)
            offset = int(rng.integers(spare + 1))
            crops += [(row, offset + k * self.frames) for k in range(self._clips(length))]
        return [crops[k] for k in rng.permutation(len(crops))]

    def crops(self, step: int) -> list[Crop]:
        """The clips of one step."""
        number, position = divmod(step, self.steps_per_epoch)
        crops = self.epoch(number)
        return [crops[k % len(crops)] for k in range(position * self.batch, (position + 1) * self.batch)]

    def validation(self, limit: int) -> list[list[Crop]]:
        """Up to `limit` clips spread evenly over the split, in batches, always the same."""
        crops = [(row, k * self.frames) for row, length in self.lengths for k in range(self._clips(length))]
        count = min(limit, len(crops))
        crops = [crops[k * len(crops) // count] for k in range(count)]
        return [crops[k : k + self.batch] for k in range(0, count, self.batch)]


def open_source(
    cache: Cache,
    split: str,
    frames: int,
    device: torch.device,
    names: Sequence[str] = DATASETS,
    resident: str = "",
    stemmed: Collection[int] = (),
) -> Source:
    """Where the clips of a split come from; `stemmed` as for `ShardClips`.

    Raises:
        Unavailable: the split is to be held in memory and does not fit.
    """
    if not resident:
        return ShardClips(cache, frames, names, stemmed=stemmed)
    place = device if resident == "device" else torch.device("cpu")
    return ResidentClips(cache, frames, cache.rows(split).tolist(), place, names, stemmed=stemmed)


def stream(
    cache: Cache,
    frames: int,
    batches: Iterable[Sequence[Crop]],
    readers: int,
    device: torch.device,
    source: Source | None = None,
) -> Generator[Batch, None, None]:
    """The clips of `batches` in order, on `device`, read and unpacked ahead by `readers` threads.

    Args:
        cache, frames: the data and T of a clip.
        batches: the clips of each batch.
        readers: threads; 0 works in between, when a batch is asked for.
        device: where batches are wanted.
        source: where clips come from; default: the shards, all datasets.
    """
    read = source or ShardClips(cache, frames)

    def make(crops: Sequence[Crop]) -> Batch:
        clips = {name: sent(clip, device) if clip.device.type == "cpu" else clip for name, clip in read(crops).items()}
        return to_batch(clips, list(crops), cache.grid)

    with closing(ahead(batches, make, readers)) as made:
        yield from made


def ahead(jobs: Iterable[Job], work: Callable[[Job], Result], readers: int) -> Generator[Result, None, None]:
    """`work` of every job, in order; `readers` threads work ahead of what is taken, 0 works when asked.

    A fault in `work` is raised where its result would have been taken. Close the iterator to end the threads early.
    """
    if not readers:
        yield from map(work, jobs)
        return
    waiting: deque[Future[Result]] = deque()
    left = iter(jobs)
    pool = ThreadPoolExecutor(readers, thread_name_prefix="reader")
    try:
        waiting.extend(pool.submit(work, job) for job in islice(left, READ_AHEAD * readers))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, job) for job in islice(left, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def to_batch(clips: dict[str, Tensor], crops: list[Crop], grid: Grid) -> Batch:
    """Stored form (time first, packed) to the networks' form (time last), on the device the clips are on."""
    # half the bytes change places, as integers: torch has no quick way for halves
    magnitude = clips["magnitude"].view(torch.int16).transpose(1, 2).contiguous().view(torch.float16).float()
    count, _, frames = magnitude.shape
    absent = magnitude.new_empty((count, frames, 0, 0), dtype=torch.uint8)
    stems = None
    if STEMS in clips:  # a track that ends within the clip reaches into the windows of frames after its last
        ended = torch.arange(frames, device=magnitude.device) >= clips["left"][:, None, None, None]
        stems = stem_magnitudes(clips[STEMS], clips["scale"] / clips["level"], grid).masked_fill_(ended, 0.0)
    return Batch(
        magnitude=magnitude.div_(clips["level"][:, None, None]),
        roll=unpack(clips.get("roll", absent), PITCHES).float(),
        onset=unpack(clips.get("onset", absent), PITCHES).float(),
        harmonic=unpack(clips.get("harmonic", absent), grid.bins),
        crops=crops,
        stems=stems,
        stemmed=clips.get("stemmed"),
        template=clips["template"].float() if "template" in clips else None,
        activation=clips["activation"].float() if "activation" in clips else None,
        weak=clips["weak"].transpose(1, 2) if WEAK in clips else None,
    )


def stem_magnitudes(samples: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    """Magnitudes of stems as the cache has them of mixtures (`audio.spectrogram`), made where the samples are.

    Args:
        samples: int16 (B, L, N), from half a window before the clip's first frame to half a window after its last.
        scale: what a sample counts, float32 (B,).

    Returns:
        float32 (B, N, F, T).
    """
    hann = hann_window(grid.n_fft, samples.device)
    signals = samples.transpose(1, 2).float() * (scale * 2.0 / hann.sum())[:, None, None]
    spectra = torch.stft(signals.flatten(0, 1), grid.n_fft, grid.hop, window=hann, center=False, return_complex=True)
    return spectra.abs().view(*signals.shape[:2], *spectra.shape[1:])


@lru_cache(maxsize=8)
def hann_window(n_fft: int, device: torch.device) -> Tensor:
    """`audio.spectrogram.window` on a device."""
    return torch.from_numpy(window(n_fft)).to(device)


def unpack(bits: Tensor, count: int) -> Tensor:
    """Packed bits, uint8 (B, T, N, bytes), to bool (B, N, count, T); bit k of byte b is value 8 b + k.

    Bytes change places before they become eight: an eighth of the memory is moved, and time is innermost in the rest.
    """
    packed = bits.permute(0, 2, 3, 1).contiguous()
    if not packed.numel():
        return packed.new_empty((*packed.shape[:2], count, packed.shape[3]), dtype=torch.bool)
    values = constant(BIT_VALUES, bits.device, torch.uint8)
    ones = packed.unsqueeze(3).bitwise_and(values[:, None]).clamp_(max=1)  # five times as quick as to compare with 0
    return ones.view(torch.bool).flatten(2, 3)[:, :, :count].contiguous()
