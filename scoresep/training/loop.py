"""The training loop: one for all stages. Called by `run`.

A step reads a batch and lets each player of the stage's row make one optimiser step on the weighted sum of its losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.losses import different_clips
from scoresep.training.augment import vary
from scoresep.training.checkpoint import Checkpoint, Model, save_checkpoint
from scoresep.training.log import RunLog
from scoresep.training.recipe import Recipe, StageRecipe
from scoresep.training.stages import Stage, enter, only
from scoresep.training.stream import Batch, ClipOrder, stream
from scoresep.training.terms import TERMS, Pass

WARM_UP = 0.05
"""Share of a stage's steps in which the learning rate rises from zero."""
LOG_EVERY = 10


@dataclass
class Session:
    """All that the steps of one stage touch.

    Attributes:
        stage, recipe: what is done and with which settings.
        model: the networks, on `device`.
        cache: the data.
        path: the stage's checkpoint.
        log: record of the run.
        stopped: asked before each step; true ends the stage early, with everything saved.
        parent: identity of the model that the stage began with.
        step: steps made.
        history: validation records.
        best: lowest validation loss so far with its weights, kept if the recipe says so.
    """

    stage: Stage
    recipe: Recipe
    model: Model
    cache: Cache
    path: Path
    log: RunLog
    stopped: Callable[[], bool] = lambda: False
    parent: str = ""
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings: StageRecipe = self.recipe.stages[self.stage.number]
        self.weights = {
            player: {name: weight for name, weight in asdict(getattr(self.settings, player)).items() if weight}
            for player in self.stage.players
        }
        silent = [player for player, weights in self.weights.items() if not weights]
        if silent and self.settings.steps:
            raise ScoresepError(f"recipe: stage{self.stage.number}.{silent[0]} has no loss with a weight above 0")
        count, batch = len(self.model.instruments), self.recipe.data.batch
        crossed = any("adversarial_mixture" in weights for weights in self.weights.values())
        if crossed and batch < count:
            raise ScoresepError(
                f"recipe: data.batch is {batch}; adversarial_mixture needs a clip for each of {count} instruments"
            )
        self.optimisers = {
            player: torch.optim.AdamW(
                self.model.networks[player].parameters(),
                lr=self.settings.learning_rate,
                weight_decay=self.recipe.weight_decay,
            )
            for player in self.stage.players
        }


def train_stage(session: Session) -> bool:
    """Run a stage from `session.step` to its end; true if it came there, false if it was asked to stop.

    The checkpoint at `session.path` is written at every validation and at the end.

    Raises:
        ScoresepError: a loss or a gradient is not finite; the parameters have not been touched by it.
    """
    data, recipe, total = session.recipe.data, session.recipe, session.settings.steps
    order = ClipOrder(session.cache, "train", data.clip_frames, data.batch, recipe.seed * 10 + session.stage.number)
    steps = range(session.step, total)
    batches = stream(
        session.cache, data.clip_frames, (order.crops(s) for s in steps), data.workers, session.model.device
    )
    enter(session.stage, session.model)
    for batch in batches:
        losses = train_step(session, batch)
        session.step += 1
        session.log.progress(session.stage.title, session.step, total, losses)
        if session.step % LOG_EVERY == 0 or session.step == total:
            session.log.record("train", session.stage.number, session.step, losses)
        stopping = session.stopped()
        due = session.step % recipe.validate_every == 0 or session.step == total
        if due:  # even when stopping: a run that goes on must not lack the record, nor the weights that it may keep
            validate(session)
        if due or stopping:
            save(session, complete=False)
        if stopping:
            return session.step == total
    if not total:  # no step, so nothing has been saved
        save(session, complete=False)
    return True


def train_step(session: Session, batch: Batch) -> dict[str, float]:
    """Let every player of the stage step once on `batch`; returns the losses by 'player/name', unweighted."""
    data = session.recipe.data
    generator = torch.Generator().manual_seed(session.recipe.seed * 1_000_003 + session.step)
    batch = vary(
        batch, data.transpose, data.equalise, session.model.grid.bin_width, generator, session.model.instruments
    )
    shifts = different_clips(len(batch.crops), len(session.model.instruments), generator)
    view = Pass(session.model, batch, shifts)
    values: dict[str, float] = {}
    for player in session.stage.players:
        with only(session.model, player) as network:
            terms = compute_terms(session, player, view)
            total = sum(terms[name] * weight for name, weight in session.weights[player].items())
            values |= {f"{player}/{name}": float(term.detach()) for name, term in terms.items()}
            check_finite(values, batch, session)
            descend(session, player, network, total)
        view = view.detached() if len(session.stage.players) > 1 else view
    return values


def compute_terms(session: Session, player: str, view: Pass) -> dict[str, Tensor]:
    """The player's losses that have a weight, unweighted, by name."""
    return {name: TERMS[player][name](view) for name in session.weights[player]}


def check_finite(values: dict[str, float], batch: Batch, session: Session) -> None:
    """Refuse to step on a loss that is no number, naming it and the clips."""
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        clips = ", ".join(f"{session.cache.tracks['id'][row]}+{first}" for row, first in batch.crops)
        raise ScoresepError(
            f"loss {broken[0]} is not finite in step {session.step + 1} of stage {session.stage.number} (clips "
            f"{clips}); lower stage{session.stage.number}.learning_rate; {session.path} holds the last good state"
        )


def descend(session: Session, player: str, network: nn.Module, total: Tensor) -> None:
    """One optimiser step of `player` down the gradient of `total`, at the learning rate of this step."""
    optimiser = session.optimisers[player]
    for group in optimiser.param_groups:
        group["lr"] = session.settings.learning_rate * schedule(session.step, session.settings.steps)
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), session.recipe.gradient_clip)
    if not torch.isfinite(norm):
        raise ScoresepError(
            f"the {player}'s gradient is not finite in step {session.step + 1} of stage {session.stage.number}; "
            f"lower stage{session.stage.number}.learning_rate; {session.path} holds the last good state"
        )
    optimiser.step()


def schedule(step: int, steps: int) -> float:
    """Factor of the learning rate at `step`: linear warm-up, then a cosine to zero."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


@torch.no_grad()
def validate(session: Session) -> None:
    """Mean of the weighted losses over the validation clips: recorded, and the weights kept if it is the lowest."""
    data = session.recipe.data
    if not len(session.cache.rows("validation")) or not data.validation_clips:
        return
    order = ClipOrder(session.cache, "validation", data.clip_frames, data.batch, seed=0)
    batches = order.validation(data.validation_clips)
    sums: dict[str, float] = {}
    clips = 0
    for network in session.model.networks.values():
        network.eval()
    for batch in stream(session.cache, data.clip_frames, batches, 0, session.model.device):
        shifts = torch.arange(len(session.model.instruments)) % len(batch.crops)
        view = Pass(session.model, batch, shifts)
        for player in session.stage.players:
            for name, term in compute_terms(session, player, view).items():
                sums[f"{player}/{name}"] = sums.get(f"{player}/{name}", 0.0) + float(term) * len(batch.crops)
        clips += len(batch.crops)
    enter(session.stage, session.model)
    values = {name: value / clips for name, value in sums.items()}
    values["total"] = sum(
        weight * values[f"{player}/{name}"]
        for player, weights in session.weights.items()
        for name, weight in weights.items()
    )
    session.history.append({"stage": session.stage.number, "step": session.step, **values})
    session.log.record("validation", session.stage.number, session.step, values)
    if session.settings.keep == "best" and values["total"] < session.best.get("loss", math.inf):
        session.best = {"loss": values["total"], "step": session.step, "networks": player_weights(session)}


def player_weights(session: Session) -> dict[str, dict[str, Tensor]]:
    """A copy of the players' weights on the CPU."""
    return {
        player: {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        for player, network in session.model.networks.items()
        if player in session.stage.players
    }


def save(session: Session, *, complete: bool) -> Checkpoint:
    """Write the stage's checkpoint; until it is complete, with all that is needed to go on."""
    resume = (
        {}
        if complete
        else {
            "optimisers": {player: optimiser.state_dict() for player, optimiser in session.optimisers.items()},
            "best": session.best,
        }
    )
    checkpoint = Checkpoint(
        model=session.model,
        stage=session.stage.number,
        steps=session.step,
        complete=complete,
        recipe=session.recipe.to_dict(),
        cache=str(session.cache.path),
        cache_digest=session.cache.digest,
        parent=session.parent,
        history=session.history,
        resume=resume,
    )
    save_checkpoint(session.path, checkpoint)
    return checkpoint


def restore(session: Session, checkpoint: Checkpoint) -> None:
    """Go on where an incomplete checkpoint stopped; `session.model` is the checkpoint's."""
    session.step, session.history = checkpoint.steps, checkpoint.history
    session.best = checkpoint.resume["best"]
    for player, optimiser in session.optimisers.items():
        optimiser.load_state_dict(checkpoint.resume["optimisers"][player])
