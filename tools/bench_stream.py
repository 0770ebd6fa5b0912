"""Clips a second: the bytes in order, random clips, and features made on the fly from FLAC and MIDI.

    python tools/bench_stream.py cache.h5 [--corpus ROOT] [--frames 64] [--batch 24] [--cold] [--device cpu]

(a) the floor: the shards of the training split, byte after byte, into one buffer. (b) ours: an epoch of random clips
into batches on the device, packed as stored; and unpacked as the networks take them; both also from memory
(`--resident host`). (c) `compile_track` on tracks of the corpus: a random clip costs a whole track, because a FLAC
file is decoded whole; all clips of a track from one decoding are the most that on-the-fly could reach.
Freed memory is kept, as in training, unless `--usual-malloc` is given.
`--cold` drops the shards from the page cache before each pass of (a) and (b), so the disk counts. Passes of (a) and
(b) alternate, and the best of ROUNDS counts.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scoresep.cache.reader import Cache  # before torch, whose threads it tells how to wait

# isort: split
import torch
from turns import synchronise

from scoresep.cache.track import compile_track
from scoresep.datasets.slakh import open_slakh
from scoresep.losses.batch import DATASETS, Crop
from scoresep.machine import choose_device, keep_freed_memory
from scoresep.training.clip_dataset import ShardClips
from scoresep.training.loader import ClipOrder, Source, open_source, stream

ROUNDS = 9
TRACKS = 6
PIECE = 2**22
"""Bytes that are read at a time in (a)."""


def main() -> None:
    """Print one line a way of reading."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cache", type=Path)
    options.add_argument("--corpus", type=Path)
    options.add_argument("--frames", type=int, default=64)
    options.add_argument("--batch", type=int, default=24)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--device", default="cpu")
    options.add_argument("--cold", action="store_true")
    options.add_argument("--usual-malloc", action="store_true", help="give freed memory back, which training does not")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    if not given.usual_malloc:
        keep_freed_memory()
    cache, device = Cache(given.cache), choose_device(given.device)
    order = ClipOrder(cache, "train", given.frames, given.batch, seed=0)
    steps = [order.crops(step) for step in range(order.steps_per_epoch)]
    size = clip_bytes(cache, given.frames)
    rates = passes(cache, steps, given.frames, device, given.cold)
    floor = rates.pop("(a) bytes in order")
    clips = len(steps) * given.batch
    print(f"{clips} clips of {given.frames} frames ({size / 1e3:.0f} kB), {'cold' if given.cold else 'warm'}, {device}")
    print(f"(a) bytes in order: {floor:.0f} clips/s ({floor * size / 1e9:.1f} GB/s)")
    for name, rate in rates.items():
        print(f"{name}: {rate:.0f} clips/s, {rate / floor:.2f} of (a)")
    if given.corpus:
        one, most = on_the_fly(cache, given.corpus, given.frames)
        print(
            f"(c) from FLAC and MIDI: {one:.1f} clips/s at random, at most {most:.1f} with all clips of a track in turn"
        )
        for name, rate in rates.items():
            print(f"{name}: {rate / one:.0f} and {rate / most:.0f} times (c)")


def clip_bytes(cache: Cache, frames: int) -> int:
    """Bytes of a clip as stored."""
    return sum(ShardClips(cache, 1)([(0, 0)])[name].nbytes for name in DATASETS) * frames


def passes(
    cache: Cache,
    steps: Sequence[Sequence[Crop]],
    frames: int,
    device: torch.device,
    cold: bool = False,
    rounds: int = ROUNDS,
) -> dict[str, float]:
    """Clips a second of each way, the best of some passes made in turn; clips have so many `frames`."""
    size = clip_bytes(cache, frames)
    files = [cache.shard_path(int(shard)) for shard in sorted({*cache.tracks["shard"][cache.rows("train")]})]
    shards = ShardClips(cache, frames)
    held = open_source(cache, "train", frames, device, resident="host")
    clips = sum(map(len, steps))
    ways: dict[str, tuple[Callable[[], None], float]] = {
        "(a) bytes in order": (lambda: read_in_order(files), sum(path.stat().st_size for path in files) / size),
        "(b) random clips, as stored": (lambda: move(shards, steps, device), clips),
        "(b) random clips, unpacked": (lambda: unpack(cache, frames, shards, steps, device), clips),
        "(b) from memory, as stored": (lambda: move(held, steps, device), clips),
        "(b) from memory, unpacked": (lambda: unpack(cache, frames, held, steps, device), clips),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, (work, _) in ways.items():
            if cold:
                forget(files)
            began = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - began)
    return {name: count / best[name] for name, (_, count) in ways.items()}


def read_in_order(files: Sequence[Path]) -> None:
    """Read files from their first byte to their last."""
    buffer = bytearray(PIECE)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def move(source: Source, steps: Sequence[Sequence[Crop]], device: torch.device) -> None:
    """Batches as stored, on the device."""
    for crops in steps:
        for clip in source(crops).values():
            clip.to(device)
    synchronise(device)


def unpack(cache: Cache, frames: int, source: Source, steps: Sequence[Sequence[Crop]], device: torch.device) -> None:
    """Batches as the networks take them, on the device."""
    for _ in stream(cache, frames, steps, 0, device, source):
        pass
    synchronise(device)


def forget(files: Sequence[Path]) -> None:
    """Drop files from the page cache (Linux)."""
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def on_the_fly(cache: Cache, root: Path, frames: int) -> tuple[float, float]:
    """Clips a second from the corpus' own files: one clip a track, and all clips of a track."""
    tracks = [track for track in open_slakh(root).tracks if track.split == "train" and not track.problem]
    compile_track(tracks[0], cache.settings)  # the kernels are compiled now
    began = time.perf_counter()
    lengths = [int(compile_track(track, cache.settings).row["frames"]) for track in tracks[1 : 1 + TRACKS]]
    seconds = time.perf_counter() - began
    return len(lengths) / seconds, sum(length // frames for length in lengths) / seconds


if __name__ == "__main__":
    main()
