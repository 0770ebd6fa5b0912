"""The stop-watch: what it tells apart, and that it changes nothing."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from scoresep.training.timing import PARTS, Clock

CPU = torch.device("cpu")


@pytest.fixture
def ticking(monkeypatch):
    """Time that goes on when it is told to, in seconds."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_parts_are_added_up_over_steps(ticking):
    clock = Clock(CPU)
    for _ in range(2):
        for part, seconds in (("waiting", 1.0), ("losses", 2.0), ("optimiser", 4.0), ("losses", 0.5)):
            clock.enter(part)
            ticking[0] += seconds
        clock.step_done()
        ticking[0] += 100  # validation, say
    values = clock.read()
    assert values == dict.fromkeys(PARTS, 0.0) | {"waiting": 1000, "losses": 2500, "optimiser": 4000, "step": 7500}
    assert clock.read() == {}


def test_reading_in_between_loses_nothing(ticking):
    clock = Clock(CPU)
    for _ in range(3):
        clock.enter("waiting")
        ticking[0] += 1
        clock.step_done()
        assert clock.read()["waiting"] == 1000


class Slow(nn.Linear):
    """A layer that takes `cost` seconds forwards and ten times that backwards."""

    def __init__(self, ticking, cost):
        super().__init__(2, 2)
        self.ticking, self.cost = ticking, cost

    def forward(self, x):
        self.ticking[0] += self.cost
        out = super().forward(x)
        out.register_hook(lambda _: self.ticking.__setitem__(0, self.ticking[0] + 10 * self.cost))
        return out.view(2)  # so that the clock's hook comes first


def test_networks_are_told_apart_forwards_and_backwards(ticking):
    """A chain as in stage 2: separator, something, transcriptor, loss."""
    networks = {"separator": Slow(ticking, 1.0), "transcriptor": Slow(ticking, 2.0)}
    clock = Clock(CPU)
    with clock.watching(networks):
        clock.enter("losses")
        between = networks["separator"](torch.ones(2)) * 2.0
        between.register_hook(lambda _: ticking.__setitem__(0, ticking[0] + 5.0))
        networks["transcriptor"](between.clone()).sum().backward()
        clock.step_done()
    values = clock.read()
    assert values["separator"] == 11_000 and values["transcriptor"] == 22_000 and values["losses"] == 5_000


def test_watching_changes_no_gradient_and_ends(ticking):
    def gradients(watched: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        x = torch.rand(5, 3, requires_grad=True)
        if watched:
            clock = Clock(CPU)
            with clock.watching({"separator": network}):
                network(x).square().sum().backward()
            marks = len(clock._marks)
            network(x)
            assert len(clock._marks) == marks
        else:
            network(x).square().sum().backward()
        return [x.grad, *(p.grad for p in network.parameters())]

    assert all(torch.equal(a, b) for a, b in zip(gradients(True), gradients(False), strict=True))
