"""Weights in eight bits: how far they may be off, and what does not fit."""

from __future__ import annotations

import pytest
import torch

from scoresep.errors import Damaged
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.models import checkpoint as checkpoints
from scoresep.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from scoresep.models.compact import compact, expand
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (7, 63), (4, 7)])
def test_a_weight_is_off_by_half_a_step_of_its_channel_at_most(bits, largest):
    torch.manual_seed(1)
    weight = torch.randn(5, 7, 3) * torch.tensor([1e-4, 0.1, 1.0, 30.0, 1e4]).view(-1, 1, 1)
    found = expand(compact({"w": weight}, bits))["w"]
    half = weight.abs().amax((1, 2), keepdim=True) / largest / 2
    assert found.dtype == torch.float32 and ((found - weight).abs() <= half * 1.001).all()
    assert ((found - weight).abs() > half * 0.5).any(), "rounded, not kept"
    assert torch.allclose(expand(compact({"w": found}, bits))["w"], found, rtol=1e-6), "done twice is done once"


def test_silent_channels_and_what_is_small_stay_as_they_are():
    state = {"zero": torch.zeros(2, 3), "bias": torch.randn(4), "count": torch.tensor(7)}
    found = expand(compact(state))
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in state.items())


@pytest.fixture
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    model = Model(
        Grid(8000, 256, 64), choose(["bass", "organ"]), Architecture.both(TCNSettings(64, 64, 3, 1)), "softmax"
    )
    return Checkpoint(model.eval(), 2, 17, True, {}, "", "")


def test_a_small_checkpoint_is_read_like_any_other(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "whole.pt", checkpoint)
    save_checkpoint(tmp_path / "small.pt", checkpoint, small=True)
    whole, small = (load_checkpoint(tmp_path / f"{name}.pt").model for name in ("whole", "small"))
    assert (tmp_path / "small.pt").stat().st_size < 0.4 * (tmp_path / "whole.pt").stat().st_size
    magnitude = torch.rand(1, whole.grid.bins, 40)
    with torch.no_grad():
        expected, found = whole.separator(magnitude), small.separator(magnitude)
    assert not torch.equal(expected, found)
    assert (expected - found).abs().max() < 0.02


@pytest.mark.parametrize(
    "change",
    [
        lambda packed: packed.update(step=packed["step"][:-1]),
        lambda packed: packed.update(step=packed["step"].double()),
        lambda packed: packed.update(counts=packed["counts"].int()),
        lambda packed: packed.update(counts=packed["counts"].flatten()),
        lambda packed: packed.pop("step"),
    ],
)
def test_a_small_checkpoint_that_does_not_fit_is_refused(tmp_path, checkpoint, monkeypatch, refused, change):
    def damaged(weights):
        packed = compact(weights)
        change(next(value for value in packed.values() if isinstance(value, dict)))
        return packed

    monkeypatch.setattr(checkpoints, "compact", damaged)
    save_checkpoint(tmp_path / "small.pt", checkpoint, small=True)
    with refused(Damaged, tmp_path / "small.pt"):
        load_checkpoint(tmp_path / "small.pt")
