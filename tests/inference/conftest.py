"""Small models for tests of inference: a random one, and ones whose masks are known beforehand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings

INSTRUMENTS = choose(["piano", "guitar", "bass"])


def build(mask: str) -> Model:
    torch.manual_seed(0)
    model = Model(Grid(), INSTRUMENTS, Architecture.both(TCNSettings(16, 32, 3, 1)), mask).eval()
    with torch.no_grad():  # spread the outputs: masks near 1/3, and rolls without a note, would show little
        model.separator.head.weight.mul_(3)
        model.transcriptor.head.weight.mul_(8)
    return model


@pytest.fixture(scope="session")
def model() -> Model:
    return build("softmax")


@pytest.fixture(scope="session")
def sigmoid_model() -> Model:
    return build("sigmoid")


@pytest.fixture(scope="session")
def constant_model() -> Callable[[tuple[float, ...]], Model]:
    """A function from three shares to a model whose softmax masks are these shares in every bin."""

    def make(shares: tuple[float, ...]) -> Model:
        made = build("softmax")
        with torch.no_grad():
            made.separator.head.weight.zero_()
            made.separator.head.bias.copy_(torch.tensor(shares).log().repeat_interleave(made.grid.bins))
        return made

    return make
