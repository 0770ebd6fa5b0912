"""Which clip broke a step."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresep.cache.reader import Cache
from scoresep.losses.formulas import Objective, cross_entropy
from scoresep.losses.table import LOSSES, Pass
from scoresep.models.model import Model
from scoresep.training.loader import Batch
from scoresep.training.stages import only


def describe(cache: Cache, batch: Batch, found: list[tuple[str, int]], frames: int) -> tuple[list[str], list[str]]:
    """The losses of `found`, and its clips as 'Track00001 from 12.3 to 14.3 s'; each once, in order."""
    rate = cache.grid.frame_rate
    clips = []
    for row, first in (batch.crops[place] for place in sorted({place for _, place in found})):
        clips.append(f"{cache.tracks['id'][row]} from {first / rate:.1f} to {(first + frames) / rate:.1f} s")
    return list(dict.fromkeys(name for name, _ in found)), clips


def guilty(
    model: Model, batch: Batch, player: str, losses: list[str], objective: Objective = cross_entropy
) -> list[tuple[str, int]]:
    """(loss, place in the batch) of the clips that by themselves have a loss or a gradient that is not finite.

    Networks run in evaluation mode, so nothing is counted into their statistics, and no other rank is needed.
    Parameters' gradients are lost.
    """
    modes = {name: network.training for name, network in model.networks.items()}
    model.eval()
    found = [
        (name, place)
        for name in losses
        for place in range(len(batch.crops))
        if not _sound(model, _alone(batch, place), player, name, objective)
    ]
    for name, network in model.networks.items():
        network.train(modes[name])
    return found


def _sound(model: Model, clip: Batch, player: str, loss: str, objective: Objective) -> bool:
    """Whether a loss of one clip and its gradient are finite."""
    if not _finite([values for values in clip.tensors().values() if values.is_floating_point()]):
        return False
    with only(model, player) as network:
        network.zero_grad(set_to_none=True)
        shifts = torch.zeros(len(model.instruments), dtype=torch.int64)
        value = LOSSES[player][loss].function(Pass(model, clip, shifts, objective=objective))
        value.backward()
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        network.zero_grad(set_to_none=True)
    return _finite([value.detach(), *gradients])


def _finite(values: list[Tensor]) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in values)


def _alone(batch: Batch, place: int) -> Batch:
    one = slice(place, place + 1)
    return Batch(**{name: values[one] for name, values in batch.tensors().items()}, crops=[batch.crops[place]])
