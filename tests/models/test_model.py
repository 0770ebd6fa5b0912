"""A model rebuilds itself from plain values, and refuses values that are not a model's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from scoresep.errors import ScoresepError
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.models import checkpoint as checkpoints
from scoresep.models.checkpoint import activation, model_from_dict, model_to_dict
from scoresep.models.model import Model, identity
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings

GRID = Grid(8000, 256, 64)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    made = Model(GRID, choose(["bass", "organ"]), Architecture.both(TCNSettings(8, 16, 2, 1)), "sigmoid")
    made.threshold = [0.25, 0.75]
    return made.eval()


def test_a_model_of_its_values_is_the_same(model):
    again = model_from_dict(model_to_dict(model)).eval()
    mixture = torch.rand(2, GRID.bins, 20)
    assert identity(again) == identity(model) and again.threshold == model.threshold
    assert torch.equal(again.separator(mixture), model.separator(mixture))
    assert torch.equal(again.transcriptor(mixture).onset, model.transcriptor(mixture).onset)


def test_any_weight_tells_two_models_apart(model):
    before = identity(model)
    with torch.no_grad():
        model.separator.head.bias[-1] += 1e-6
    assert identity(model) != before


@pytest.mark.parametrize(
    "change",
    [{"threshold": [0.5]}, {"threshold": [0.5, 1.5]}, {"mask": "sum"}, {"critic": "nobody"}, {"instruments": []}],
)
def test_values_that_do_not_fit_are_refused(model, change: dict[str, Any]):
    with pytest.raises((ValueError, KeyError, ScoresepError)):
        model_from_dict({**model_to_dict(model), **change})


def test_a_model_beyond_measure_takes_no_memory(model, monkeypatch):
    monkeypatch.setattr(checkpoints, "MAX_ACTIVATION", activation(model) - 1)
    monkeypatch.setattr(checkpoints, "expand", lambda weights: pytest.fail("its weights were looked at"))
    with pytest.raises(ValueError, match="more memory"):
        model_from_dict(model_to_dict(model))
