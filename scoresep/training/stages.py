"""The three stages, as rows: who learns, whose normalisation statistics move, what it starts from.

Losses and their weights are the config's.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from scoresep.models.model import Model
from scoresep.training.clip_dataset import DATASETS, STEMS
from scoresep.training.teacher import TEACHER


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        number: 1, 2 or 3.
        title: for people.
        players: the networks that learn, in the order in which they step.
        statistics: whether batch normalisation of the players goes on collecting statistics. In joint fine-tuning it
            does not: the transcriptor sees mixtures, tracks and cross-clip mixtures by turns, and none of them may
            shift what it expects of the others.
    """

    number: int
    title: str
    players: tuple[str, ...]
    statistics: bool


STAGES: dict[int, Stage] = {
    stage.number: stage
    for stage in (
        Stage(1, "the transcriptor learns from mixtures", ("transcriptor",), statistics=True),
        Stage(2, "the separator learns, the transcriptor is frozen", ("separator",), statistics=True),
        Stage(3, "both learn against each other", ("separator", "transcriptor"), statistics=False),
    )
}


ALWAYS = {"magnitude", "roll"}
"""Datasets that every stage reads."""


def datasets(reads: Set[str]) -> list[str]:
    """The datasets that a stage reads whose losses look at `reads`, in the order in which they are stored."""
    return [name for name in (*DATASETS, STEMS, TEACHER) if name in ALWAYS | reads]


def enter(stage: Stage, model: Model) -> None:
    """Put the networks into the modes of the stage."""
    for name, network in model.networks.items():
        network.train(stage.statistics and name in stage.players)


@contextmanager
def only(model: Model, player: str) -> Iterator[nn.Module]:
    """Let `player` learn and freeze the other network: gradients pass through it, its parameters get none."""
    for name, network in model.networks.items():
        network.requires_grad_(name == player)
    try:
        yield model.networks[player]
    finally:
        for network in model.networks.values():
            network.requires_grad_(True)
