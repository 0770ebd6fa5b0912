"""Which networks collect statistics, and which one learns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from scoresep.models.model import Model
from scoresep.training.stages import Stage


def set_modes(stage: Stage, model: Model) -> None:
    """Put the networks into the modes of a stage."""
    for name, network in model.networks.items():
        network.train(stage.statistics and name in stage.trains)


@contextmanager
def training_only(model: Model, name: str) -> Iterator[nn.Module]:
    """Freeze the other network than `name`: gradients pass through it, its parameters get none."""
    others = [network for other, network in model.networks.items() if other != name]
    frozen = [parameter for network in others for parameter in network.parameters() if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield model.networks[name]
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
