"""What the steps of a stage touch, and how it is saved and taken up again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scoresep.cache.reader import Cache
from scoresep.losses.table import Loss, reads
from scoresep.models.checkpoint import Checkpoint, save_checkpoint
from scoresep.models.model import Model
from scoresep.training.checks import check_stages
from scoresep.training.clip_dataset import STEMS
from scoresep.training.config import Config, StageConfig
from scoresep.training.distributed import ALONE, Ranks
from scoresep.training.log import RunLog
from scoresep.training.optimisation import Player
from scoresep.training.precision import choose_precision
from scoresep.training.stages import Stage, stemmed_tracks
from scoresep.training.timing import Clock


@dataclass
class Session:
    """All that the steps of one stage touch.

    Attributes:
        stage, config: what is done and with which settings.
        model: the networks, on `device`.
        cache: the data.
        path: the stage's checkpoint.
        log: record of the run.
        stopped: asked before each step; true ends the stage early, with everything saved.
        resident: where the training split is held (`stream.RESIDENT`).
        parent: identity of the model that the stage began with.
        step: steps made.
        history: validation records.
        best: lowest validation loss so far with its weights, kept if the config says so.
        precision: `float32` or `bfloat16`.
        ranks: the processes that train the model together.
        begun: whether the checkpoint at `path` is this stage's own, to be kept as the one before the next.
    """

    stage: Stage
    config: Config
    model: Model
    cache: Cache
    path: Path
    log: RunLog
    stopped: Callable[[], bool] = lambda: False
    resident: str = ""
    parent: str = ""
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    precision: str = ""
    ranks: Ranks = ALONE
    begun: bool = False

    def __post_init__(self) -> None:
        self.settings: StageConfig = self.config.stages[self.stage.number]
        self.precision = choose_precision(self.config.precision, self.model.device)
        self.clock = Clock(self.model.device)
        self.own = self.ranks.share(self.config.data.batch)
        self.players = {name: self._player(name) for name in self.stage.players}
        check_stages(self.cache, [self.stage.number], self.config, self.ranks)

    def _player(self, name: str) -> Player:
        network = self.model.networks[name]
        if self.stage.statistics:
            self.ranks.join_statistics(network)
        return Player.of(name, network, self.settings.weights[name], self.config.weight_decay, self.ranks)

    @property
    def losses(self) -> list[Loss]:
        """All losses of the stage."""
        return [loss for player in self.players.values() for loss in player.losses.values()]

    @property
    def reads(self) -> set[str]:
        """The datasets that they look at besides magnitudes and rolls."""
        return reads(self.losses)

    def stemmed(self, split: str) -> frozenset[int]:
        """Tracks whose stems the stage reads: none unless one of its losses looks at stems."""
        config = self.config
        if STEMS not in self.reads:
            return frozenset()
        return stemmed_tracks(self.cache, split, config.supervision, config.stems_fraction, config.seed)

    def generator(self, purpose: int, rank: int = 0) -> torch.Generator:
        """Random numbers that follow from seed, stage, step, purpose and rank alone."""
        origin = np.random.SeedSequence((self.config.seed, self.stage.number, self.step, purpose, rank))
        return torch.Generator().manual_seed(int(origin.generate_state(1, np.uint64)[0]) >> 1)


def player_weights(session: Session) -> dict[str, dict[str, Tensor]]:
    """A copy of the players' weights on the CPU."""
    return {
        name: {key: value.detach().cpu().clone() for key, value in player.network.state_dict().items()}
        for name, player in session.players.items()
    }


def save(session: Session, *, complete: bool) -> Checkpoint:
    """Write the stage's checkpoint; until it is complete, with all that is needed to go on."""
    resume = (
        {}
        if complete
        else {
            "optimisers": {name: player.optimiser.state_dict() for name, player in session.players.items()},
            "best": session.best,
            "precision": session.precision,
        }
    )
    checkpoint = Checkpoint(
        model=session.model,
        stage=session.stage.number,
        steps=session.step,
        complete=complete,
        config=session.config.to_dict(),
        cache=str(session.cache.path),
        cache_digest=session.cache.digest,
        parent=session.parent,
        history=session.history,
        resume=resume,
    )
    if session.ranks.first:
        save_checkpoint(session.path, checkpoint, keep=session.begun)
    session.begun = True
    return checkpoint


def restore(session: Session, checkpoint: Checkpoint) -> None:
    """Go on where an incomplete checkpoint stopped; `session.model` is the checkpoint's."""
    session.step, session.history = checkpoint.steps, checkpoint.history
    session.best, session.precision = checkpoint.resume["best"], checkpoint.resume["precision"]
    session.begun = True
    for name, player in session.players.items():
        player.optimiser.load_state_dict(checkpoint.resume["optimisers"][name])
