"""Moving averages of weights and gradients clipped by quantile: the formulas, and that a stop changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scoresep.cache.reader import Cache
from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model
from scoresep.training.average import MovingAverage
from scoresep.training.clipping import LEAST, clip_gradient
from scoresep.training.log import RunLog
from scoresep.training.stages import STAGES
from scoresep.training.trainer import Trainer


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def changed(net: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Other weights and statistics, as a step makes them."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for value in net.state_dict().values():
            value.copy_(torch.rand(value.shape) * 9)
    return {name: value.clone() for name, value in net.state_dict().items()}


def test_the_average_is_the_formula() -> None:
    net = network()
    average = MovingAverage({"net": net}, 0.6)
    expected = {name: value.clone() for name, value in net.state_dict().items()}
    for step in range(8):
        new = changed(net, step)
        decay = min(0.6, (step + 1) / (step + 10))
        for name, value in expected.items():
            floats = value.is_floating_point()
            expected[name] = decay * value + (1 - decay) * new[name] if floats else new[name]
        average.update()
    with average.applied():
        for name, value in net.state_dict().items():
            torch.testing.assert_close(value, expected[name])
    for name, value in net.state_dict().items():  # and afterwards they are what they were
        assert torch.equal(value, new[name])
    average.take()
    torch.testing.assert_close(net.state_dict()["0.weight"], expected["0.weight"])


def gradient(size: float) -> list[nn.Parameter]:
    parameter = nn.Parameter(torch.zeros(4))
    parameter.grad = torch.full((4,), size / 2)  # of norm `size`
    return [parameter]


@pytest.mark.parametrize(
    ("norms", "quantile", "limit"),
    [
        ([1.0] * LEAST, 1.0, 5.0),
        ([1.0] * (LEAST - 1), 0.5, 5.0),
        (np.linspace(0, 1, 101).tolist(), 0.1, 0.1),
        ([100.0] * LEAST, 0.5, 5.0),
    ],
)
def test_gradients_are_clipped_to_the_lower_of_both_limits(norms: list[float], quantile: float, limit: float) -> None:
    for size in (0.01, 8.0):
        parameters = gradient(size)
        assert float(clip_gradient(parameters, norms, 5.0, quantile)) == pytest.approx(size)
        assert parameters[0].grad is not None
        assert float(parameters[0].grad.norm()) == pytest.approx(min(size, limit), rel=1e-4)


@pytest.fixture
def trainer(cache: Cache, tmp_path: Path) -> Iterator[Any]:
    """A function that makes a trainer of a stage in a folder of its own."""
    logs = []

    def begin(number: int, config: Any, name: str, model: Model | None = None) -> Trainer:
        torch.manual_seed(0)
        model = model or Model(cache.grid, cache.instruments, config.architecture, config.mask)
        logs.append(RunLog(tmp_path / name))
        return Trainer(STAGES[number], config, model, cache, tmp_path / name / "stage.pt", logs[-1])

    yield begin
    for log in logs:
        log.close()


@pytest.mark.integration
@pytest.mark.parametrize("stage", [1, 3])
@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_stop_changes_nothing(make: Any, trainer: Any, stage: int, keep: str) -> None:
    steps = f"stage{stage}.steps=14"
    config = make.config(
        "average=0.7",
        "gradient_quantile=0.5",
        "presence=0.5",
        "weighting=uncertainty",
        steps,
        f"stage{stage}.keep={keep}",
        "validate_every=3",
    )
    whole = trainer(stage, config, "whole")
    whole.train()
    stopped = trainer(stage, config, "stopped")
    stopped.stop_wanted = lambda: stopped.step == 11
    assert not stopped.train()
    saved = load_checkpoint(stopped.path)
    again = trainer(stage, config, "stopped", saved.model)
    again.resume(saved)
    assert again.norms and all(again.weighting.record().values()) and again.train()
    assert again.weighting.log_variances == whole.weighting.log_variances != stopped.weighting.log_variances
    assert again.history == whole.history
    ends = [each.finish().model.networks for each in (whole, again)]
    for name in whole.weights:
        first, second = (end[name].state_dict() for end in ends)
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.integration
def test_what_is_validated_and_kept_is_the_average(make: Any, trainer: Any) -> None:
    config = make.config("average=0.9", "stage1.steps=4", "stage1.keep=last", "validate_every=4")
    averaged = trainer(1, config, "run")
    averaged.train()
    last = {name: value.clone() for name, value in averaged.model.transcriptor.state_dict().items()}
    loss = averaged.history[-1]["total"]
    averaged.validate()
    assert averaged.history[-1]["total"] != loss  # that of the last weights
    kept = averaged.finish().model.transcriptor.state_dict()
    assert not torch.equal(kept["head.weight"], last["head.weight"])
    averaged.validate()
    assert averaged.history[-1]["total"] == pytest.approx(loss, rel=1e-6)
