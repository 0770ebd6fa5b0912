"""A training run: the stages in order, each from its checkpoint if there is one."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from scoresep.cache.reader import Cache
from scoresep.cache.schema import difference
from scoresep.errors import InvalidValue, Mismatch
from scoresep.files import replacing
from scoresep.losses.table import LOSSES
from scoresep.models.checkpoint import MAX_ACTIVATION, Checkpoint, activation, load_checkpoint, load_newest, previous
from scoresep.models.model import Model, identity
from scoresep.training.checks import (
    check_output,
    check_resident,
    check_shards,
    check_stages,
    missing_validation,
)
from scoresep.training.config import Config
from scoresep.training.config_files import overlay
from scoresep.training.distributed import ALONE, World
from scoresep.training.log import RunLog
from scoresep.training.pace import measured_steps, recorded_steps
from scoresep.training.stages import STAGES, SUPERVISIONS, Stage
from scoresep.training.trainer import Trainer

CPU_CONFIG, GPU_CONFIG = "mini", "paper"
CPU = torch.device("cpu")


class Stopped(Exception):
    """The user asked to stop; everything is saved."""


def default_config(device: torch.device) -> str:
    """Name of the config used when none is given."""
    return GPU_CONFIG if device.type == "cuda" else CPU_CONFIG


def stage_path(folder: Path, number: int) -> Path:
    """Checkpoint of a stage in a run's folder."""
    return folder / f"stage{number}.pt"


@dataclass
class Run:
    """A training run up to a stage.

    Attributes:
        cache, config: the data and all settings.
        folder: where the stages' checkpoints lie; the first process alone reads and writes them.
        out: where the last one is copied to.
        log: the record of the run.
        last: the stage to end with.
        device: where the networks are.
        force: train the last stage anew even if it is there.
        resident: where the training split is held (`loader.RESIDENT`).
        minutes: in which the run is to end, by as many steps as fit (`pace`); None for the config's steps.
        began: when these minutes began to count, by `time.monotonic`.
        start: checkpoint whose networks stages 1 and 2 start from, in place of fresh ones; None for fresh ones.
        world: the processes that train the model together.
        origin: what `start` holds, once the run has begun.
    """

    cache: Cache
    config: Config
    folder: Path
    out: Path
    log: RunLog
    last: int = 3
    device: torch.device = CPU
    force: bool = False
    resident: str = ""
    minutes: float | None = None
    began: float = field(default_factory=time.monotonic)
    start: Path | None = None
    world: World = ALONE
    origin: Checkpoint | None = field(init=False, default=None)

    def train(self) -> Checkpoint:
        """Train the stages and copy the last one's checkpoint to `out`.

        Stages before the last are trained only where their checkpoints are missing; the last one is left as it is if it
        was trained with the same settings.

        Raises:
            Mismatch: a checkpoint in the folder belongs to other data or settings.
            ScoresepError: the training is impossible, or failed.
            Stopped: the user interrupted; the same run goes on from its folder.
        """
        self.origin = self.find_start()
        self.world.from_first(self.remove_leftovers)
        recorded = self.config if self.minutes is None else recorded_steps(self)
        self.config = recorded or self.config
        stages = {number: self.find_stage(STAGES[number]) for number in range(1, self.last + 1)}
        missing = [number for number, checkpoint in stages.items() if not (checkpoint and checkpoint.complete)]
        self.check(missing)
        if missing and recorded is None:
            self.config = measured_steps(self, missing)
        before: Checkpoint | None = None
        with stop_signals() as stop_wanted:
            for number, checkpoint in stages.items():
                before = self.train_stage(STAGES[number], checkpoint, before, stop_wanted)
        assert before is not None
        self.world.from_first(lambda: copy_checkpoint(stage_path(self.folder, self.last), self.out))
        return before

    def remove_leftovers(self) -> None:
        """Remove half-written files that a killed run left behind."""
        for leftover in self.folder.glob(".*.tmp.*"):
            leftover.unlink(missing_ok=True)

    def find_start(self) -> Checkpoint | None:
        """The checkpoint to start from, if there is to be one.

        Raises:
            Mismatch: it has other instruments, another grid or other networks than the cache and the config.
        """
        start = self.start
        if start is None:
            return None
        checkpoint = self.world.from_first(lambda: load_checkpoint(start))
        made, wanted = (
            {"instruments": [each.name for each in source.instruments], **source.grid.to_dict()}
            for source in (checkpoint.model, self.cache)
        )
        made |= kind_of_networks(checkpoint.model, STAGES[2])
        if changed := difference(made, wanted | kind_of_networks(self.config, STAGES[2])):
            remedy = "choose a cache and a config as it has them, or do without --start"
            raise Mismatch(f"cannot start from this checkpoint: {changed}", file=start, remedy=remedy)
        return checkpoint

    def find_stage(self, stage: Stage) -> Checkpoint | None:
        """The checkpoint of a stage, None where there is none or, by `force`, the last is not wanted.

        Raises:
            Mismatch: it is of other data, networks or, where training goes on from it, settings.
        """
        path, is_last = stage_path(self.folder, stage.number), stage.number == self.last
        if self.force and is_last:
            return None
        checkpoint = self.world.from_first(lambda: load_newest(path, self.log.note))
        if checkpoint is None:
            return None
        if (grid := checkpoint.model.grid) != self.cache.grid:
            problem = f"trained on the grid {grid}, and {self.cache.path} has {self.cache.grid}"
            raise Mismatch(problem, file=path, remedy="give another --run")
        if checkpoint.cache_digest != self.cache.digest:
            raise Mismatch(f"trained on another cache ({checkpoint.cache})", file=path, remedy="give another --run")
        if changed := difference(kind_of_networks(checkpoint.model, stage), kind_of_networks(self.config, stage)):
            raise Mismatch(f"holds networks of another kind: {changed}", file=path, remedy="give another --run")
        if is_last or not checkpoint.complete:
            asked = deciding_settings(self.config.to_dict(), stage)
            if changed := difference(deciding_settings(checkpoint.config, stage), asked):
                remedy = "give another --run, or --force" if is_last else "give another --run, or delete this file"
                raise Mismatch(f"trained with other settings: {changed}", file=path, remedy=remedy)
        return checkpoint

    def check(self, missing: list[int]) -> None:
        """Refuse what would end the training of these stages, or keep its result from being written."""
        check_stages(self.cache, missing, self.config, self.world)
        if self.resident:
            device = self.device if self.resident == "device" else CPU
            check_resident(self.cache, missing, self.config, device)
        kept = [stage_path(self.folder, number) for number in range(1, self.last)]
        kept += [] if self.start is None else [self.start]
        self.world.from_first(lambda: check_output(self.out, kept))
        self.world.from_first(lambda: check_shards(self.cache, missing, self.config))
        for line in missing_validation(self.cache, missing, self.config):
            self.log.note(line)

    def train_stage(
        self, stage: Stage, checkpoint: Checkpoint | None, before: Checkpoint | None, stop_wanted: Callable[[], bool]
    ) -> Checkpoint:
        """The finished checkpoint of a stage, trained unless it is there, from that of the stage before.

        Raises:
            Mismatch: the one that is there began from another stage before it.
            Stopped: the user interrupted.
        """
        path, parents = stage_path(self.folder, stage.number), [before, self.origin if stage.number < 3 else None]
        parent = "+".join(identity(parent.model) for parent in parents if parent)
        if checkpoint and checkpoint.parent != parent:
            raise Mismatch("began from another --start or stage", file=path, remedy="delete it, or give another --run")
        if checkpoint and checkpoint.complete:
            self.log.note(f"stage {stage.number}: {path} is there")
            return checkpoint
        if stage.number < self.last:
            self.log.note(f"stage {stage.number}: {path} is missing or not finished, so it is trained first")
        trainer = self.make_trainer(stage, path, checkpoint, before)
        trainer.parent, trainer.stop_wanted = parent, stop_wanted
        if not trainer.train():
            raise Stopped(f"stopped after {trainer.step} of {trainer.settings.steps} steps of stage {stage.number}")
        return self.world.from_first(trainer.finish)

    def make_trainer(
        self, stage: Stage, path: Path, checkpoint: Checkpoint | None = None, before: Checkpoint | None = None
    ) -> Trainer:
        """A trainer that goes on from `checkpoint`, else starts from the stage before, else from `origin` or afresh."""
        if checkpoint is None:
            self.world.from_first(lambda: previous(path).unlink(missing_ok=True))  # of a replaced training
        model = checkpoint.model if checkpoint else starting_model(stage, before, self.cache, self.config, self.origin)
        trainer = Trainer(
            stage, self.config, model.to(self.device), self.cache, path, self.log, self.world, self.resident
        )
        if checkpoint:
            trainer.resume(checkpoint)
            self.log.note(f"stage {stage.number}: goes on after step {trainer.step}")
        self.log.rewind(stage.number, trainer.step)
        return trainer


def copy_checkpoint(path: Path, out: Path) -> None:
    """Copy a finished checkpoint to where the user wants it."""
    with replacing(out) as temporary:
        shutil.copyfile(path, temporary)


def kind_of_networks(source: Model | Config, stage: Stage) -> dict[str, Any]:
    """Which networks a model has, or a config asks for, as far as a stage's result depends on it."""
    kind = {
        **source.architecture.to_dict(),
        "mask": source.mask,
        "critic": source.critic,
        "conditioned": source.conditioned,
        "bandwidth": source.bandwidth,
    }
    if "separator" not in stage.trains:  # so it has learnt nothing, and any other may take its place
        del kind["separator"], kind["conditioned"], kind["bandwidth"]
    return kind


def deciding_settings(config: dict[str, Any], stage: Stage) -> dict[str, Any]:
    """The settings that decide what comes out of a stage, given what went in.

    The supervision decides on stage 1 by the kind of its critic alone, so rows with the same critic share it.
    """
    config = overlay(Config().to_dict(), config)  # one of before there was a setting had what is now its default
    own = f"stage{stage.number}"
    ignored = {"plugins", *(f"stage{number}" for number in STAGES)} - {own}
    row = SUPERVISIONS[config["supervision"]]
    if stage.number == 1 or row.stems != "some":
        ignored.add("stems_fraction")
    kept = {name: value for name, value in config.items() if name not in ignored}
    for network in LOSSES:  # a loss that is off is as good as one that there was not
        kept[own][network] = {name: weight for name, weight in kept[own][network].items() if weight}
    if stage.number == 1:
        kept["supervision"] = row.critic
        del kept["separator"], kept["presence"], kept["bandwidth"]
    return {**kept, "data": {name: value for name, value in kept["data"].items() if name != "workers"}}


def starting_model(
    stage: Stage, before: Checkpoint | None, cache: Cache, config: Config, origin: Checkpoint | None = None
) -> Model:
    """The model that a stage starts from.

    Raises:
        InvalidValue: its checkpoint would be refused when it is read.
    """
    torch.manual_seed(config.seed)
    if before is not None and stage.number > 2:
        return before.model
    model = Model(
        cache.grid,
        cache.instruments,
        config.architecture,
        config.mask,
        config.critic,
        config.conditioned,
        config.bandwidth,
    )
    if activation(model) > MAX_ACTIVATION:
        problem = f"the networks take more memory on the grid {cache.grid} than a checkpoint may need"
        raise InvalidValue(problem, file=cache.path, remedy="prepare it with a shorter window, or choose smaller ones")
    if origin is not None:
        for name, network in model.networks.items():
            if name == "transcriptor" or origin.separates:
                network.load_state_dict(origin.model.networks[name].state_dict())
    if before is not None:
        model.transcriptor.load_state_dict(before.model.transcriptor.state_dict())
        model.threshold, model.onset_threshold = before.model.threshold, before.model.onset_threshold
        if config.share_trunk and not (origin and origin.separates):
            config.architecture.inherit(model.separator, model.transcriptor)
    return model


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a wish to stop after the current step; a second one stops at once."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    try:
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller's own business
        before = {}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
