"""What makes a run impossible, found before its first step and not hours later, in the stage that it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from scoresep.cache.reader import Cache
from scoresep.errors import AlreadyExists, InvalidValue, NothingToDo, Unavailable
from scoresep.files import as_target, check_writable
from scoresep.losses.table import datasets_of
from scoresep.machine import memory
from scoresep.models.checkpoint import is_checkpoint
from scoresep.training.clip_dataset import ShardClips, held_bytes
from scoresep.training.config import MOST_FRAMES, Config
from scoresep.training.distributed import ALONE, World
from scoresep.training.loader import ClipOrder
from scoresep.training.stages import STAGES, check_supervision, stage_losses, stemmed_tracks


def stage_faults(number: int, config: Config, cache: Cache) -> Iterable[str]:
    """Settings with which a stage cannot learn to tell a cache's instruments apart, if it has any steps."""
    if not config.stages[number].steps:
        return
    losses = stage_losses(STAGES[number], config.stages[number].weights, cache.settings.weak)
    data, instruments = config.data, len(cache.instruments)
    for network in sorted({*STAGES[number].trains} - {loss.network for loss in losses}):
        yield f"stage{number}.{network} has no loss with a weight above 0"
    exchanging = [f"stage{number}.{loss.network}.{loss.name}" for loss in losses if loss.exchanges]
    if exchanging and data.batch_size < instruments:
        yield (
            f"data.batch_size is {data.batch_size}, and {' and '.join(exchanging)} need a clip for each of "
            f"{instruments} instruments: raise it, or set the weights to 0"
        )
    if STAGES[number].statistics and data.batch_size * data.frames_on(cache.grid) < 2:
        yield f"stage{number} cannot normalise one frame: raise data.batch_size or data.clip_frames"


def check_stages(cache: Cache, numbers: Sequence[int], config: Config, world: World = ALONE) -> None:
    """Refuse a config with which one of the stages cannot be trained on this cache.

    Raises:
        InvalidValue: the config is at fault, with all its faults.
        Mismatch, NothingToDo: the cache lacks something.
    """
    if not numbers:
        return
    faults = [fault for number in numbers for fault in stage_faults(number, config, cache)]
    frames = config.data.frames_on(cache.grid)
    if config.data.batch_size * frames > MOST_FRAMES:
        faults.append(
            f"data.batch_size clips of {frames} frames, on the grid {cache.grid}, are more than {MOST_FRAMES}"
        )
    if config.data.batch_size % world.size:
        faults.append(f"data.batch_size is {config.data.batch_size}, which {world.size} processes cannot share evenly")
    if faults:
        raise InvalidValue(f"config: {'; '.join(faults)}")
    if cache.settings.weak and not cache.tracks["notes"][cache.rows("train")].any():
        problem = "no training song has a score, and weak labels alone teach no notes"
        raise NothingToDo(problem, file=cache.path, remedy="prepare it with scored songs among those of training")
    check_supervision(cache, config.supervision, config.stems_fraction)
    ClipOrder(cache, "train", frames, config.data.batch_size, config.seed)


def check_shards(cache: Cache, numbers: Sequence[int], config: Config) -> None:
    """Open every shard that training and validation read, for all that the stages' losses look at.

    Raises:
        ScoresepError: one is missing, foreign, or lacks a dataset.
    """
    weak = cache.settings.weak
    losses = (loss for n in numbers for loss in stage_losses(STAGES[n], config.stages[n].weights, weak))
    names = datasets_of(losses, weak)
    rows = np.concatenate([cache.rows(split) for split in ("train", "validation")])
    _, first = np.unique(cache.tracks["shard"][rows], return_index=True)
    for row in rows[first].tolist():
        ShardClips(cache, 1, names).check(row)


def check_resident(cache: Cache, numbers: Iterable[int], config: Config, device: torch.device) -> None:
    """Refuse to hold the training split on a device that has not the memory for it.

    Raises:
        Unavailable: it has less than the largest stage would hold.
    """
    stemmed = stemmed_tracks(cache, "train", config.supervision, config.stems_fraction, config.seed)
    rows, weak = cache.rows("train").tolist(), cache.settings.weak
    losses = [stage_losses(STAGES[n], config.stages[n].weights, weak) for n in numbers]
    names = [datasets_of(each, weak) for each in losses]
    needed = [held_bytes(cache, each, rows, stemmed) for each in names]
    available = memory(device)
    if needed and available is not None and max(needed) > available:
        raise Unavailable(
            f"the training split takes {max(needed) / 1e9:.1f} GB, and {device} has {available / 1e9:.1f} GB",
            file=cache.path,
            remedy="leave --resident out",
        )


def check_output(out: Path, kept: Iterable[Path]) -> None:
    """Refuse a place for the last checkpoint that cannot take it, or that holds something else.

    Raises:
        AlreadyExists: another kind of file, or one of the files `kept`, of earlier stages or what the run starts from.
        ScoresepError: a folder, or no permission to write.
    """
    out = as_target(out, "checkpoint")
    if out.resolve() in [path.resolve() for path in kept]:
        raise AlreadyExists(
            "this is a checkpoint that the run begins with or goes on from", file=out, remedy="give another --out"
        )
    if out.exists() and out.stat().st_size and not is_checkpoint(out):
        raise AlreadyExists("this file is no checkpoint", file=out, remedy="give another --out")
    check_writable(out, "checkpoint")


def missing_validation(cache: Cache, numbers: Iterable[int], config: Config) -> Iterable[str]:
    """A line for each stage that wants its best weights and has nothing to tell them by."""
    if len(cache.rows("validation")) and config.data.validation_clips:
        return
    for number in (number for number in numbers if config.stages[number].keep == "best"):
        yield f"stage {number} ends with its last weights, not its best: there is nothing to validate on"
