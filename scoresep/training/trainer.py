"""The training loop: one for all stages.
A step reads a batch and lets each player of the stage's row make one optimiser step on the weighted sum of its losses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing

import torch
from torch import Tensor

from scoresep.errors import ScoresepError
from scoresep.losses.formulas import OBJECTIVES, different_clips
from scoresep.losses.table import Pass
from scoresep.models.model import Model
from scoresep.training import nan_debug as faults
from scoresep.training.augment import vary
from scoresep.training.distributed import Ranks
from scoresep.training.loader import Batch, ClipOrder, open_source, stream
from scoresep.training.optimisation import schedule
from scoresep.training.precision import autocast
from scoresep.training.stages import datasets, enter, only
from scoresep.training.state import Session, player_weights, save

LOG_EVERY = 10
VARIATION, EXCHANGE = 0, 1
"""What a step draws at random: variations of its clips, and who lends tracks to whom for X~."""


def train_stage(session: Session) -> bool:
    """Run a stage from `session.step` to its end; true if it came there, false if it was asked to stop.

    The checkpoint at `session.path` is written at every validation and at the end.

    Raises:
        ScoresepError: a loss or a gradient is not finite; parameters and statistics have not been touched by it.
    """
    total, clock = session.settings.steps, session.clock
    enter(session.stage, session.model)
    clock.enter("waiting")
    with closing(batches(session)) as made, clock.watching(session.model.networks):
        for batch in made:
            losses = train_step(session, batch)
            session.step += 1
            clock.step_done()
            record(session, losses)
            stopping = session.ranks.any(session.stopped())
            due = session.step % session.config.validate_every == 0 or session.step == total
            if due:  # even when stopping: a run that goes on must not lack the record, nor the weights it may keep
                validate(session)
            if due or stopping:
                save(session, complete=False)
            if stopping:
                return session.step == total
            clock.enter("waiting")
    if not total:  # no step, so nothing has been saved
        save(session, complete=False)
    return True


def batches(session: Session) -> Iterator[Batch]:
    """The clips of the steps that are left."""
    data, cache, device = session.config.data, session.cache, session.model.device
    seed = session.config.seed * 10 + session.stage.number
    order = ClipOrder(cache, "train", data.clip_frames, data.batch, seed)
    names, stemmed = datasets(session.reads), session.stemmed("train")
    source = open_source(cache, "train", data.clip_frames, device, names, session.resident, stemmed)
    crops = (order.crops(step)[session.own] for step in range(session.step, session.settings.steps))
    return stream(cache, data.clip_frames, crops, data.workers, device, source)


def train_step(session: Session, batch: Batch) -> dict[str, float]:
    """Let every player of the stage step once on `batch`; returns the losses by 'player/name', unweighted.

    Raises:
        ScoresepError: as `train_stage`.
    """
    clock, settings, data = session.clock, session.settings, session.config.data
    clock.enter("variation")
    model, generator = session.model, session.generator(VARIATION, session.ranks.rank)
    batch = vary(batch, data.transpose, data.equalise, model.grid.bin_width, generator, model.instruments)
    shifts = different_clips(
        len(batch.crops) * session.ranks.count, len(session.model.instruments), session.generator(EXCHANGE)
    )
    rate = settings.learning_rate * schedule(session.step, settings.steps)
    statistics = copied(moving(session.model))
    clock.enter("losses")
    view = session.ranks.view(Pass(session.model, batch, shifts, objective=OBJECTIVES[settings.objective]))
    share = magnitude_share(batch, session.ranks)
    values: dict[str, float] = {}
    for name, player in session.players.items():
        with only(session.model, name):
            with autocast(session.model.device, session.precision):
                losses = player.values(view, share)
            norm = player.gradient(player.total(losses), session.config.gradient_clip)
        clock.enter("optimiser")
        found = torch.stack([*losses.values(), norm]).detach()
        found = (session.ranks.total(found) / session.ranks.count).tolist()  # a GPU is waited for once a player
        if not all(map(math.isfinite, found)):
            put_back(session.model, statistics)
            refuse(session, batch, name, dict(zip(losses, found, strict=False)))
        player.step(rate)
        values |= {f"{name}/{loss}": value for loss, value in zip(losses, found, strict=False)}
        clock.enter("losses")
        view = view.detached() if len(session.players) > 1 else view
    return values


def magnitude_share(batch: Batch, ranks: Ranks) -> Tensor:
    """The batch's part of the magnitude of all ranks' batches, times the number of ranks: 1 for one rank."""
    if ranks.count == 1:
        return torch.ones((), device=batch.magnitude.device)
    own = batch.magnitude.sum()
    return own * ranks.count / ranks.total(own).clamp_min(torch.finfo(own.dtype).tiny)


def moving(model: Model) -> list[Tensor]:
    """The statistics that a forward pass changes: of the networks that collect them."""
    return [buffer for network in model.networks.values() if network.training for buffer in network.buffers()]


def copied(values: list[Tensor]) -> list[Tensor]:
    """Copies, made in a kernel or two on a GPU rather than in one for each."""
    copies = [torch.empty_like(value) for value in values]
    for kind in {value.dtype for value in values}:
        pairs = [(copy, value) for copy, value in zip(copies, values, strict=True) if value.dtype == kind]
        torch._foreach_copy_(*map(list, zip(*pairs, strict=True)))
    return copies


def put_back(model: Model, statistics: list[Tensor]) -> None:
    """Undo what a forward pass did to the networks' statistics."""
    for buffer, before in zip(moving(model), statistics, strict=True):
        buffer.copy_(before)


def refuse(session: Session, batch: Batch, player: str, values: dict[str, float]) -> None:
    """Say which loss of which clip is not finite, or has a gradient that is not.

    Raises:
        ScoresepError: always.
    """
    number, frames = session.stage.number, session.config.data.clip_frames
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    what = "loss" if broken else "the gradient of loss"
    found = faults.guilty(session.model, batch, player, broken or list(values), OBJECTIVES[session.settings.objective])
    names, places = faults.describe(session.cache, batch, found, frames)
    everywhere = [(name, place) for name, place in session.ranks.gather((names, places)) if name]
    names, places = everywhere[0] if everywhere else (broken or list(values), ["of the whole batch"])
    raise ScoresepError(
        f"{what} {player}/{names[0]} is not finite in step {session.step + 1} of stage {number}, "
        f"clip {', '.join(places)}; "
        f"lower stage{number}.learning_rate; {session.path} holds the last good state"
    )


def record(session: Session, losses: dict[str, float]) -> None:
    """Show the losses of a step, and write them down at every tenth and at the last."""
    session.log.progress(session.stage.title, session.step, session.settings.steps, losses)
    if session.step % LOG_EVERY == 0 or session.step == session.settings.steps:
        session.log.record("train", session.stage.number, session.step, losses)
        session.log.timing(session.stage.number, session.step, session.clock.read())


@torch.no_grad()
def validate(session: Session) -> None:
    """Mean of the weighted losses over the validation clips: recorded, and the weights kept if it is the lowest."""
    data, cache, model = session.config.data, session.cache, session.model
    if not len(cache.rows("validation")) or not data.validation_clips:
        return
    order = ClipOrder(cache, "validation", data.clip_frames, data.batch, seed=0)
    chosen, stemmed = datasets(session.reads), session.stemmed("validation")
    source = open_source(cache, "validation", data.clip_frames, model.device, chosen, stemmed=stemmed)
    names = [f"{name}/{loss}" for name, player in session.players.items() for loss in player.weights]
    seen: list[tuple[int, Tensor]] = []
    own = order.validation(data.validation_clips)[session.ranks.rank :: session.ranks.count]
    model.eval()
    for batch in stream(cache, data.clip_frames, own, data.workers, model.device, source):
        shifts = torch.arange(len(model.instruments)) % len(batch.crops)
        view = Pass(model, batch, shifts, objective=OBJECTIVES[session.settings.objective])
        with autocast(model.device, session.precision):
            found = [value for player in session.players.values() for value in player.objective(view).values()]
        seen.append((len(batch.crops), torch.stack(found)))
    sums = torch.zeros(len(names) + 1, dtype=torch.float64)  # and the number of clips
    for count, values in seen:  # a GPU is waited for here, when it has been given all its work
        sums += torch.tensor([*values.tolist(), 1.0], dtype=torch.float64) * count
    *sums, clips = session.ranks.total(sums).tolist()
    enter(session.stage, model)
    conclude(session, {name: value / clips for name, value in zip(names, sums, strict=True)})


def conclude(session: Session, values: dict[str, float]) -> None:
    """Record the validation losses `values`, by 'player/name', and keep the weights if their sum is the lowest."""
    values["total"] = sum(
        weight * values[f"{name}/{loss}"]
        for name, player in session.players.items()
        for loss, weight in player.weights.items()
    )
    session.history.append({"stage": session.stage.number, "step": session.step, **values})
    session.log.record("validation", session.stage.number, session.step, values)
    if session.settings.keep == "best" and values["total"] < session.best.get("loss", math.inf):
        session.best = {"loss": values["total"], "step": session.step, "networks": player_weights(session)}
