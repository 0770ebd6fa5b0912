"""Who learns in which stage, and what is frozen: parameters and the statistics of batch normalisation."""

from __future__ import annotations

import pytest
import torch

from scoresep.models.model import Model
from scoresep.training.log import RunLog
from scoresep.training.stages import STAGES
from scoresep.training.trainer import Trainer, set_modes, training_only

TRAINED = {1: {"transcriptor"}, 2: {"separator"}, 3: {"transcriptor", "separator"}}


def make_model(cache, config) -> Model:
    torch.manual_seed(config.seed)
    return Model(cache.grid, cache.instruments, config.architecture, config.mask)


def snapshot(tensors) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in tensors}


def moved(before: dict[str, torch.Tensor], tensors) -> set[str]:
    return {name for name, value in tensors if not torch.equal(before[name], value)}


def statistics(network):
    return [(n, b) for n, b in network.named_buffers() if "running" in n or "tracked" in n]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_is_trained_moves_and_the_frozen_network_does_not(cache, make, tmp_path, number):
    config = make.config(f"stage{number}.steps=3", "stage1.keep=last")
    model = make_model(cache, config)
    parameters = {name: snapshot(network.named_parameters()) for name, network in model.networks.items()}
    buffers = {name: snapshot(network.named_buffers()) for name, network in model.networks.items()}
    log = RunLog(tmp_path / "run")
    assert Trainer(STAGES[number], config, model, cache, tmp_path / "s.pt", log).train()
    log.close()
    for name, network in model.networks.items():
        changed = moved(parameters[name], network.named_parameters())
        drifted = moved(buffers[name], network.named_buffers())
        if name in TRAINED[number]:
            assert changed == set(parameters[name]), "every parameter learns"
        else:
            assert changed == set()
        if name in TRAINED[number] and number < 3:
            assert {key for key, _ in statistics(network)} == drifted and drifted
        else:
            assert drifted == set()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_modes_of_the_networks(cache, make, tmp_path, number):
    config = make.config()
    model = make_model(cache, config)
    set_modes(STAGES[number], model)
    for name, network in model.networks.items():
        assert network.training == (number < 3 and name in TRAINED[number])


def test_gradients_pass_through_the_frozen_network_but_not_into_it(cache, make):
    model = make_model(cache, make.config()).eval()
    magnitude = torch.rand(2, 1025, 8)
    with training_only(model, "separator") as network:
        assert network is model.separator
        track = model.separator(magnitude)[:, 0] * magnitude
        model.transcriptor(track).frame.sum().backward()
    assert all(p.grad is None for p in model.transcriptor.parameters())
    assert any(p.grad.any() for p in model.separator.parameters())
    assert all(p.requires_grad for network in model.networks.values() for p in network.parameters())


def test_frozen_networks_thaw_after_a_fault_unless_the_user_froze_them(cache, make):
    model = make_model(cache, make.config())
    mine = next(model.separator.parameters()).requires_grad_(False)
    with pytest.raises(RuntimeError), training_only(model, "transcriptor"):
        raise RuntimeError
    assert [p for p in model.separator.parameters() if not p.requires_grad] == [mine]
    assert all(p.requires_grad for p in model.transcriptor.parameters())


def test_the_separator_inherits_the_trunk_and_shares_nothing(cache, make):
    model = make_model(cache, make.config())
    assert model.architecture.inherit(model.separator, model.transcriptor)
    for mine, theirs in zip(model.separator.trunk.parameters(), model.transcriptor.trunk.parameters(), strict=True):
        assert torch.equal(mine, theirs) and mine is not theirs and mine.data_ptr() != theirs.data_ptr()
