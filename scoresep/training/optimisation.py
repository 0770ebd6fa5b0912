"""The networks that learn in a stage, each with its losses and its optimiser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scoresep.losses.table import LOSSES, Loss, Pass
from scoresep.training.distributed import Ranks

WARM_UP = 0.05
"""Share of a stage's steps in which the learning rate rises from zero."""


class Objective(nn.Module):
    """A player's losses as a function of its network alone: one call a step, whatever the losses ask of it."""

    def __init__(self, network: nn.Module, losses: Iterable[Loss]) -> None:
        super().__init__()
        self.network, self.losses = network, tuple(losses)

    def forward(self, view: Pass) -> dict[str, Tensor]:
        """The losses, unweighted, by name."""
        return {loss.name: loss.function(view) for loss in self.losses}


@dataclass
class Player:
    """A network that learns.

    Attributes:
        name: `transcriptor` or `separator`.
        network: the network.
        losses: its losses by name.
        weights: their weights by name, none of them 0.
        objective: its losses; over several ranks, with gradients averaged.
        optimiser: of its parameters.
    """

    name: str
    network: nn.Module
    losses: dict[str, Loss]
    weights: dict[str, float]
    objective: nn.Module
    optimiser: torch.optim.Optimizer

    @classmethod
    def of(
        cls, name: str, network: nn.Module, weights: Mapping[str, float], weight_decay: float, ranks: Ranks
    ) -> Player:
        """A player with a fresh optimiser; the learning rate is set at every step."""
        chosen = {loss: weight for loss, weight in weights.items() if weight}
        losses = {loss: LOSSES[name][loss] for loss in chosen}
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=weight_decay, fused=True)
        objective = Objective(network, losses.values())
        return cls(name, network, losses, chosen, ranks.spread(objective) if chosen else objective, optimiser)

    def total(self, values: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum that the player minimises."""
        return sum((values[name] * weight for name, weight in self.weights.items()), torch.zeros(()))

    def values(self, view: Pass, share: Tensor) -> dict[str, Tensor]:
        """The losses' values by name, unweighted, such that their mean over the ranks is that of the whole batch.

        Args:
            view: the rank's clips.
            share: the rank's part of the whole batch's magnitude, times the number of ranks.
        """
        found = self.objective(view)
        return {name: value * share if self.losses[name].by_magnitude else value for name, value in found.items()}

    def gradient(self, total: Tensor, largest: float) -> Tensor:
        """Set the gradient of `total`, clipped to the norm `largest`; returns the norm that it had."""
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        return nn.utils.clip_grad_norm_(self.network.parameters(), largest)

    def step(self, learning_rate: float) -> None:
        """One step of the optimiser down the gradient."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.step()


def schedule(step: int, steps: int) -> float:
    """Factor of the learning rate at `step`: a linear warm-up, one, a linear fall to zero over the last third."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return min(1.0, 3 * (steps - step) / max(1, steps - warm))
