"""What makes a run impossible, found before its first step and not hours later, in the stage that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.files import as_target, check_writable
from scoresep.losses.table import LOSSES, Loss, reads
from scoresep.machine import memory
from scoresep.models.checkpoint import is_checkpoint
from scoresep.training.clip_dataset import ShardClips, held_bytes
from scoresep.training.config import Config
from scoresep.training.distributed import ALONE, Ranks
from scoresep.training.loader import ClipOrder
from scoresep.training.stages import STAGES, check_known, datasets, stemmed_tracks


def stage_losses(number: int, config: Config) -> list[Loss]:
    """The losses of a stage: those of its players that have a weight."""
    weights = config.stages[number].weights
    return [LOSSES[player][name] for player in STAGES[number].players for name, w in weights[player].items() if w]


def stage_faults(number: int, config: Config, instruments: int) -> Iterable[str]:
    """Settings with which a stage cannot learn to tell so many instruments apart, if it has any steps."""
    if not config.stages[number].steps:
        return
    losses = stage_losses(number, config)
    for player in sorted({*STAGES[number].players} - {loss.player for loss in losses}):
        yield f"stage{number}.{player} has no loss with a weight above 0"
    crossed = [f"stage{number}.{loss.player}.{loss.name}" for loss in losses if loss.exchanges]
    if crossed and config.data.batch < instruments:
        yield (
            f"data.batch is {config.data.batch}, and {' and '.join(crossed)} need a clip for each of {instruments} "
            "instruments; raise the batch, or set the weights to 0"
        )
    if STAGES[number].statistics and config.data.batch * config.data.clip_frames < 2:
        yield f"stage{number} cannot normalise one frame; raise data.batch or data.clip_frames"


def check_stages(cache: Cache, numbers: Sequence[int], config: Config, ranks: Ranks = ALONE) -> None:
    """Refuse a config with which one of the stages cannot be trained on this cache.

    Raises:
        ScoresepError: all faults of the config, or what the cache lacks.
    """
    if not numbers:
        return
    faults = [fault for number in numbers for fault in stage_faults(number, config, len(cache.instruments))]
    if faults := [*faults, *ranks.uneven(config.data.batch)]:
        raise ScoresepError(f"config: {'; '.join(faults)}")
    check_known(cache, config.supervision, config.stems_fraction)
    ClipOrder(cache, "train", config.data.clip_frames, config.data.batch, config.seed)


def check_shards(cache: Cache, numbers: Sequence[int], config: Config) -> None:
    """Open every shard that training and validation read, for all that the stages' losses look at.

    Raises:
        ScoresepError: one is missing, foreign, or lacks a dataset.
    """
    names = datasets(reads(loss for number in numbers for loss in stage_losses(number, config)))
    rows = np.concatenate([cache.rows(split) for split in ("train", "validation")])
    _, first = np.unique(cache.tracks["shard"][rows], return_index=True)
    for row in rows[first].tolist():
        ShardClips(cache, 1, names).check(row)


def check_resident(cache: Cache, numbers: Iterable[int], config: Config, device: torch.device) -> None:
    """Refuse to hold the training split on a device that has not the memory for it.

    Raises:
        ScoresepError: it has less than the largest stage would hold.
    """
    stemmed = stemmed_tracks(cache, "train", config.supervision, config.stems_fraction, config.seed)
    names = [datasets(reads(stage_losses(number, config))) for number in numbers]
    needs = [held_bytes(cache, each, cache.rows("train").tolist(), stemmed) for each in names]
    has = memory(device)
    if needs and has is not None and max(needs) > has:
        raise ScoresepError(
            f"the training split of {cache.path} takes {max(needs) / 1e9:.1f} GB and {device} has {has / 1e9:.1f} GB; "
            "leave --resident out"
        )


def check_output(out: Path, kept: Iterable[Path]) -> None:
    """Refuse a place for the last checkpoint that cannot take it, or that holds something else.

    Raises:
        ScoresepError: a folder, another kind of file, one of the files `kept`, or no permission to write.
    """
    out = as_target(out, "checkpoint")
    if out.resolve() in [path.resolve() for path in kept]:
        raise ScoresepError(f"{out} is the checkpoint of an earlier stage of this run; give another --out")
    if out.exists() and out.stat().st_size and not is_checkpoint(out):
        raise ScoresepError(f"{out} is there and no checkpoint; give another --out")
    check_writable(out, "checkpoint")


def missing_validation(cache: Cache, numbers: Iterable[int], config: Config) -> Iterable[str]:
    """A line for each stage that wants its best weights and has nothing to tell them by."""
    if len(cache.rows("validation")) and config.data.validation_clips:
        return
    for number in (number for number in numbers if config.stages[number].keep == "best"):
        yield f"stage {number} ends with its last weights, not its best: there is nothing to validate on"


def check_run(
    cache: Cache,
    numbers: Sequence[int],
    config: Config,
    out: Path,
    kept: Iterable[Path],
    note: Callable[[str], None],
) -> None:
    """Refuse what would end the training of these stages, or keep its result from being written.

    Raises:
        ScoresepError: as `check_shards` and `check_output`.
    """
    check_output(out, kept)
    check_shards(cache, numbers, config)
    for line in missing_validation(cache, numbers, config):
        note(line)
