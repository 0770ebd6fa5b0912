"""The trainer: one for all stages.

A step reads a batch and lets each network that learns make one step of its optimiser on the weighted sum of its losses.
A stage that is stopped goes on from its checkpoint and ends bit by bit as if it had not been: what is random in a step
follows from the seed and the step alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scoresep.cache.reader import Cache
from scoresep.errors import Damaged, Failed, ScoresepError
from scoresep.losses.batch import STEMS, Batch, Crop
from scoresep.losses.formulas import OBJECTIVES, different_clips
from scoresep.losses.table import LOSSES, StepContext, datasets_of
from scoresep.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from scoresep.models.model import Model
from scoresep.training.augment import remix, vary
from scoresep.training.average import MovingAverage, copied, load_states
from scoresep.training.clipping import NORMS, clip_gradient
from scoresep.training.config import Config, StageConfig
from scoresep.training.distributed import ALONE, World
from scoresep.training.loader import ClipOrder, open_source, stream
from scoresep.training.log import RunLog
from scoresep.training.modes import set_modes, training_only
from scoresep.training.precision import autocast, choose_precision
from scoresep.training.presence import told
from scoresep.training.stages import Stage, schedule, stage_losses, stemmed_tracks
from scoresep.training.weighting import LossWeights
from scoresep.transcription.threshold_tuning import tune_thresholds

LOG_EVERY = 10
"""Steps between two records of the training losses."""
VARIATION, EXCHANGE, PRESENCE = 0, 1, 2
"""What a step draws at random: variations of its clips, which clips' tracks make up X~, and of which clips the
separator is told who plays."""


@dataclass(eq=False)
class Trainer:
    """The training of one stage.

    Attributes:
        stage, config: what is trained, and how.
        model: the networks, on their device.
        cache: the data.
        path: the stage's checkpoint.
        log: the record of the run.
        world: the processes that train the model together.
        resident: where the training split is held (`loader.RESIDENT`).
        parent: identity of the model that the stage began with.
        stop_wanted: asked after each step; true ends the stage early, with everything saved.
        step: steps made.
        history: validation records.
        best: lowest validation loss so far with its step and weights, where the config keeps the best.
        precision: `float32` or `bfloat16`, what the networks' products are computed in.
        has_checkpoint: whether the checkpoint at `path` is this training's own, to be kept as the one before the next.
        settings: those of the stage.
        weights: of the losses, as they are set, by network that learns and by name, none of them 0.
        weighting: what these become, where the config lets them be learnt.
        optimisers: by network that learns.
        average: the moving average of their weights, if the config has one.
        norms: of the latest gradients of each, where the config clips them by their quantile.
    """

    stage: Stage
    config: Config
    model: Model
    cache: Cache
    path: Path
    log: RunLog
    world: World = ALONE
    resident: str = ""
    parent: str = ""
    stop_wanted: Callable[[], bool] = lambda: False
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    precision: str = field(init=False)
    has_checkpoint: bool = False
    settings: StageConfig = field(init=False)
    weights: dict[str, dict[str, float]] = field(init=False)
    weighting: LossWeights = field(init=False)
    optimisers: dict[str, torch.optim.Optimizer] = field(init=False)
    average: MovingAverage | None = field(init=False)
    norms: dict[str, list[float]] = field(init=False)

    def __post_init__(self) -> None:
        self.settings = self.config.stages[self.stage.number]
        self.precision = choose_precision(self.config.precision, self.model.device)
        weak = self.cache.settings.weak
        losses = stage_losses(self.stage, self.settings.weights, weak)
        self.weights, self.optimisers = {}, {}
        for name in self.stage.trains:
            network = self.model.networks[name]
            if self.stage.statistics:
                self.world.share_statistics(network)
            self.world.share_start(network)
            self.weights[name] = {
                loss.name: self.settings.weights[name][loss.name] for loss in losses if loss.network == name
            }
            self.optimisers[name] = torch.optim.AdamW(
                network.parameters(), weight_decay=self.config.weight_decay, fused=True
            )
        self.weighting = LossWeights(self.weights, self.config.weighting)
        learning = {name: self.model.networks[name] for name in self.stage.trains}
        self.average = MovingAverage(learning, self.config.average) if self.config.average else None
        self.norms = {name: [] for name in learning}
        self._datasets = datasets_of(losses, weak)
        self._seconds: list[tuple[float, float]] = []  # of the steps since the last record: waiting for clips, in all

    def train(self) -> bool:
        """Train from `step` to the stage's end; whether it came there rather than being asked to stop.

        The checkpoint is written at every validation and at the end.

        Raises:
            Failed, Damaged: a loss or a gradient is not finite; it has not touched parameters and statistics.
        """
        total = self.settings.steps
        set_modes(self.stage, self.model)
        began = time.perf_counter()
        with closing(self.batches()) as batches:
            for batch in batches:
                ready = time.perf_counter()
                losses = self.train_step(batch)
                self.step += 1
                if self.average:
                    self.average.update()
                self._seconds.append((ready - began, time.perf_counter() - began))
                self.log_step(losses)
                stopping = self.world.any(self.stop_wanted())
                due = self.step % self.config.validate_every == 0 or self.step == total
                if due:  # even when stopping: a run that goes on must not lack the record, nor the weights it may keep
                    with self.averaged():
                        self.validate()
                if due or stopping:
                    self.save(complete=False)
                if stopping:
                    return self.step == total
                began = time.perf_counter()
        if not total:  # no step, so nothing has been saved
            self.save(complete=False)
        return True

    def batches(self) -> Generator[Batch, None, None]:
        """The clips of the steps that are left, this process's share of each."""
        data = self.config.data
        frames, seed = data.frames_on(self.cache.grid), self.config.seed * 10 + self.stage.number
        order = ClipOrder(self.cache, "train", frames, data.batch_size, seed)
        own = self.world.share(data.batch_size)
        crops = (order.crops(step)[own] for step in range(self.step, self.settings.steps))
        return self.read_clips("train", crops, self.resident)

    def read_clips(
        self, split: str, crops: Iterable[Sequence[Crop]], resident: str = ""
    ) -> Generator[Batch, None, None]:
        """Batches of clips of a split, with what the stage's losses look at."""
        config, device = self.config, self.model.device
        frames = config.data.frames_on(self.cache.grid)
        stemmed: frozenset[int] = frozenset()
        if STEMS in self._datasets:
            stemmed = stemmed_tracks(self.cache, split, config.supervision, config.stems_fraction, config.seed)
        source = open_source(self.cache, split, frames, device, self._datasets, resident, stemmed)
        return stream(self.cache, frames, crops, config.data.workers, device, source)

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Let every network that learns step once on `batch`; returns the losses by 'network/name', unweighted.

        Raises:
            Failed, Damaged: as `train`.
        """
        batch = self.varied(batch)
        context, magnitude_share = self.context(batch), self.magnitude_share(batch)
        statistics = copied(self.moving_statistics())
        values: dict[str, float] = {}
        for name, optimiser in self.optimisers.items():
            losses, norm = self.backward(name, context, magnitude_share)
            results = self.world.sum(torch.stack([*losses.values(), norm]).detach()) / self.world.size
            *means, mean_norm = results.tolist()  # a GPU is waited for once a network
            found = dict(zip(losses, means, strict=True))
            if not all(map(math.isfinite, (*means, mean_norm))):
                for buffer, before in zip(self.moving_statistics(), statistics, strict=True):
                    buffer.copy_(before)
                raise self.not_finite(batch, name, found)
            for group in optimiser.param_groups:
                group["lr"] = self.settings.learning_rate * schedule(self.step, self.settings.steps)
            optimiser.step()
            self.norms[name] = [*self.norms[name], mean_norm][-NORMS:] if self.config.gradient_quantile < 1 else []
            self.weighting.step(name, found)
            values |= {f"{name}/{loss}": mean for loss, mean in found.items()}
            context = context.detached() if len(self.optimisers) > 1 else context
        return values

    def varied(self, batch: Batch) -> Batch:
        """The clips, transposed, equalised and mixed anew at random."""
        data, model = self.config.data, self.model
        generator = self.generator(VARIATION, self.world.rank)
        batch = vary(batch, data.transpose, data.equalise, model.grid.bin_width, generator, model.instruments)
        taught = batch.template is not None and batch.stems is None and batch.weak is None
        return remix(batch, data.remix, data.remix_gain, generator) if data.remix and taught else batch

    def context(self, batch: Batch) -> StepContext:
        """What the losses of a training step look at."""
        clips = len(batch.crops) * self.world.size
        shifts = different_clips(clips, len(self.model.instruments), self.generator(EXCHANGE))
        objective, own = OBJECTIVES[self.settings.objective], self.world.share(clips)
        present = None
        if self.config.presence:
            generator = self.generator(PRESENCE, self.world.rank)
            present = told(self.cache, batch.crops, self.config.presence, generator).to(self.model.device)
        return StepContext(self.model, batch, shifts, objective, self.world.gather_clips, own, present)

    def magnitude_share(self, batch: Batch) -> Tensor:
        """The batch's part of the magnitude of all processes' batches, times their number: 1 for one process."""
        if self.world.size == 1:
            return torch.ones((), device=batch.magnitude.device)
        own = batch.magnitude.sum()
        return own * self.world.size / self.world.sum(own).clamp_min(torch.finfo(own.dtype).tiny)

    def backward(self, name: str, context: StepContext, magnitude_share: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Give a network the clipped gradient of its losses over the clips of all processes.

        Returns:
            The losses by name, unweighted, whose mean over the processes is that of the whole batch, and the norm that
            the gradient had.
        """
        with training_only(self.model, name) as network:
            losses = {}
            with autocast(self.model.device, self.precision):
                for loss in self.weights[name]:
                    row = LOSSES[name][loss]
                    value = row.function(context)
                    losses[loss] = value * magnitude_share if row.by_magnitude else value
            total = sum((losses[loss] * weight for loss, weight in self.weighting.of(name).items()), torch.zeros(()))
            self.optimisers[name].zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]  # of torch
            self.world.average_gradients(network.parameters())
            limits = (self.config.gradient_clip, self.config.gradient_quantile)
            return losses, clip_gradient(network.parameters(), self.norms[name], *limits)

    def moving_statistics(self) -> list[Tensor]:
        """What a forward pass changes: the statistics of the networks that collect them."""
        return [buffer for network in self.model.networks.values() if network.training for buffer in network.buffers()]

    def not_finite(self, batch: Batch, network: str, losses: dict[str, float]) -> ScoresepError:
        """What to raise where a loss, or the gradient of all, is not finite: the clips' fault or the step's."""
        broken = [f"loss {network}/{name}" for name, value in losses.items() if not math.isfinite(value)]
        number, grid = self.stage.number, self.cache.grid
        problem = (
            f"{[*broken, f'the gradient of the {network}'][0]} is not finite in step {self.step + 1} of stage {number}"
        )
        kept = f"{self.path} holds the last good state"
        damaged = [clip for clips in self.world.gather_objects(damaged_clips(batch)) for clip in clips]
        if not damaged:
            return Failed(problem, remedy=f"lower stage{number}.learning_rate; {kept}")
        frames = self.config.data.frames_on(grid)
        places = [
            f"{self.cache.tracks['id'][row]} from {first / grid.frame_rate:.1f} to "
            f"{(first + frames) / grid.frame_rate:.1f} s"
            for row, first in damaged
        ]
        problem = f"{problem}, because of values that are not finite in {', '.join(places)}"
        return Damaged(problem, file=self.cache.path, remedy=f"prepare it again; {kept}")

    def log_step(self, losses: dict[str, float]) -> None:
        """Show the losses of a step, and record them at every tenth and at the last."""
        self.log.progress(self.stage.title, self.step, self.settings.steps, losses)
        if self.step % LOG_EVERY == 0 or self.step == self.settings.steps:
            self.log.record("train", self.stage.number, self.step, losses | self.weighting.record())
            waiting, whole = np.mean(self._seconds, axis=0).tolist()
            self.log.timing(self.stage.number, self.step, waiting, whole)
            self._seconds.clear()

    @torch.no_grad()
    def validate(self) -> None:
        """Record the mean losses over the validation clips, and keep the weights if their sum is the lowest."""
        data, cache, model = self.config.data, self.cache, self.model
        if not len(cache.rows("validation")) or not data.validation_clips:
            return
        order = ClipOrder(cache, "validation", data.frames_on(cache.grid), data.batch_size, seed=0)
        own = order.validation(data.validation_clips)[self.world.rank :: self.world.size]
        rows = {f"{name}/{loss}": LOSSES[name][loss] for name in self.weights for loss in self.weights[name]}
        results: list[tuple[int, Tensor]] = []
        model.eval()
        for batch in self.read_clips("validation", own):
            shifts = torch.arange(len(model.instruments)) % len(batch.crops)
            context = StepContext(model, batch, shifts, OBJECTIVES[self.settings.objective])
            with autocast(model.device, self.precision):
                values = [loss.function(context) for loss in rows.values()]
            results.append((len(batch.crops), torch.stack(values)))
        sums = torch.zeros(len(rows) + 1, dtype=torch.float64)  # and the number of clips
        for count, stacked in results:  # a GPU is waited for here, when it has been given all its work
            sums += torch.tensor([*stacked.tolist(), 1.0], dtype=torch.float64) * count
        *totals, clips = self.world.sum(sums).tolist()
        set_modes(self.stage, self.model)
        self.record_validation({name: total / clips for name, total in zip(rows, totals, strict=True)})

    def averaged(self) -> AbstractContextManager[None]:
        """A context in which the networks have the weights that are validated and kept."""
        return self.average.applied() if self.average else nullcontext()

    def record_validation(self, losses: dict[str, float]) -> None:
        """Record validation losses, by 'network/name', and keep the weights if their weighted sum is the lowest."""
        losses["total"] = sum(
            weight * losses[f"{name}/{loss}"]
            for name, weights in self.weights.items()
            for loss, weight in weights.items()
        )
        self.history.append({"stage": self.stage.number, "step": self.step, **losses})
        self.log.record("validation", self.stage.number, self.step, losses)
        if self.settings.keep == "best" and losses["total"] < self.best.get("loss", math.inf):
            networks = {
                name: {
                    key: value.detach().cpu().clone() for key, value in self.model.networks[name].state_dict().items()
                }
                for name in self.weights
            }
            self.best = {"loss": losses["total"], "step": self.step, "networks": networks}

    def generator(self, purpose: int, rank: int = 0) -> torch.Generator:
        """Random numbers that follow from seed, stage, step, purpose and rank alone."""
        origin = np.random.SeedSequence((self.config.seed, self.stage.number, self.step, purpose, rank))
        return torch.Generator().manual_seed(int(origin.generate_state(1, np.uint64)[0]) >> 1)

    def save(self, *, complete: bool) -> None:
        """Write the stage's checkpoint; until it is complete, with all that is needed to go on."""
        resume = {
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "best": self.best,
            "precision": self.precision,
            "norms": self.norms,
            "log_variances": self.weighting.log_variances,
            "average": self.average.state() if self.average else {},
        }
        checkpoint = Checkpoint(
            model=self.model,
            stage=self.stage.number,
            steps=self.step,
            complete=complete,
            config=self.config.to_dict(),
            cache=str(self.cache.path),
            cache_digest=self.cache.digest,
            parent=self.parent,
            history=self.history,
            resume={} if complete else resume,
        )
        if self.world.is_first:
            save_checkpoint(self.path, checkpoint, keep=self.has_checkpoint)
        self.has_checkpoint = True

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where an incomplete checkpoint stopped, whose model is the trainer's."""
        self.step, self.history = checkpoint.steps, checkpoint.history
        self.best, self.precision = checkpoint.resume["best"], checkpoint.resume["precision"]
        self.has_checkpoint = True
        self.norms = checkpoint.resume.get("norms", self.norms)  # there were none before, nor what follows
        self.weighting.log_variances |= checkpoint.resume.get("log_variances", {})
        if self.average:
            self.average.resume(checkpoint.resume["average"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(checkpoint.resume["optimisers"][name])

    def finish(self) -> Checkpoint:
        """Take the averaged or the best weights if they are kept, tune, write the finished checkpoint, read it back."""
        if self.average:
            self.average.take()
        load_states(self.model.networks, self.best.get("networks", {}))
        self.model.eval()
        self.tune()
        self.save(complete=True)
        return load_checkpoint(self.path)

    def tune(self, tracks: int | None = None) -> None:
        """Tune the thresholds of a transcriptor that learns notes, by validation scores of so many tracks or all."""
        notes = self.model.transcribes and "transcriptor" in self.stage.trains
        if notes and len(self.cache.rows("validation")):
            tuned = tune_thresholds(self.model, self.cache, split="validation", tracks=tracks)
            self.model.threshold, self.model.onset_threshold = tuned.threshold, tuned.onset_threshold


def damaged_clips(batch: Batch) -> list[Crop]:
    """The clips of which something that was read, or made of it, is not finite."""
    values = [tensor for tensor in batch.tensors().values() if tensor.is_floating_point()]
    return [
        crop for place, crop in enumerate(batch.crops) if not all(bool(each[place].isfinite().all()) for each in values)
    ]
