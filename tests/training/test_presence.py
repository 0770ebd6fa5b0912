"""The separator is told who plays: of which clips, what it makes of it, and how that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scoresep.cache.reader import Cache
from scoresep.losses.table import StepContext
from scoresep.models.checkpoint import Checkpoint, load_checkpoint, model_from_dict, model_to_dict, save_checkpoint
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.scnet import SCNetSettings
from scoresep.models.tcn import TCNSettings
from scoresep.models.unet import UNetSettings
from scoresep.separation.separate import Options, separate_array
from scoresep.training.log import RunLog
from scoresep.training.presence import told
from scoresep.training.run import Run

TCN = TCNSettings(8, 16, 2, 1)
NETWORKS = [TCN, UNetSettings(4, 8, 1, 8, 16, 1), SCNetSettings(4, 2, 8, 16, 1)]


def made(cache: Cache, separator: Any = TCN, mask: str = "softmax") -> Model:
    """A model that is told who plays, whose separator heeds it."""
    torch.manual_seed(0)
    architecture = Architecture(TCN, separator)
    return Model(cache.grid, cache.instruments, architecture, mask, conditioned=True).eval()


def test_the_song_says_who_plays(cache: Cache) -> None:
    cache.tracks.active[:] = True
    cache.tracks.active[1] = [True, False, False]
    cache.tracks.active[2] = False  # nobody plays
    crops = [(0, 0), (1, 5), (2, 9), (1, 70)]
    generator = torch.Generator().manual_seed(0)
    alone, every = [True, False, False], [True] * 3
    assert told(cache, crops, 1.0, generator).tolist() == [every, alone, every, alone]
    assert told(cache, crops, 0.0, generator).all()
    many = told(cache, [(1, k) for k in range(2000)], 0.3, generator)
    assert many[:, 0].all() and torch.equal(many[:, 1], many[:, 2])
    assert (~many[:, 1]).float().mean() == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("settings", NETWORKS, ids=["tcn", "unet", "scnet"])
def test_a_network_hears_who_plays(cache: Cache, settings: Any) -> None:
    """The absent get nothing; among the others more than a new sum changes. That all may play is what is not known."""
    network, x = made(cache, settings).separator, torch.rand(2, cache.grid.bins, 6)
    unknown = network(x)
    assert unknown.shape == (2, 3, cache.grid.bins, 6)
    assert torch.equal(network(x, torch.ones(2, 3, dtype=torch.bool)), unknown)
    present = torch.tensor([[True, True, True], [False, True, True]])
    found = network(x, present)
    torch.testing.assert_close(found[0], unknown[0])
    assert not found[1, 0].any()
    torch.testing.assert_close(found.sum(1), torch.ones_like(x))
    scaled = unknown[1, 1:] / unknown[1, 1:].sum(0)
    assert (found[1, 1:] - scaled).abs().max() > 1e-3


def test_what_is_told_has_no_effect_in_an_inherited_trunk_at_first(cache: Cache) -> None:
    model = made(cache)
    assert model.architecture.inherit(model.separator, model.transcriptor)
    x = torch.rand(1, cache.grid.bins, 6)
    rows = torch.cat([x, torch.ones(1, 3, 6)], dim=1)
    torch.testing.assert_close(model.separator.trunk(rows), model.transcriptor.trunk(x))


def test_losses_see_it(cache: Cache, read: Any) -> None:
    model, batch = made(cache), read(cache, [(0, 0), (1, 0)])
    present = torch.tensor([[True, True, True], [False, True, False]])
    step = StepContext(model, batch, torch.arange(3), present=present)
    assert not step.separated[1, [0, 2]].any()
    torch.testing.assert_close(step.separated[1, 1], batch.magnitude[1])
    assert step.detached().present is present


def test_a_checkpoint_keeps_it_and_older_ones_have_it_not(cache: Cache, tmp_path: Path, make: Any) -> None:
    model = made(cache)
    save_checkpoint(tmp_path / "c.pt", Checkpoint(model, 2, 1, True, {}, "", ""))
    again = load_checkpoint(tmp_path / "c.pt").model
    assert again.conditioned and again.separator.conditioned
    x, present = torch.rand(1, cache.grid.bins, 6), torch.tensor([True, False, True])
    assert torch.equal(again.separator(x, present), model.separator(x, present))
    plain = load_checkpoint(make.checkpoint(tmp_path / "plain.pt", cache)).model
    values = model_to_dict(plain)
    del values["conditioned"]
    assert not model_from_dict(values).conditioned
    with pytest.raises(ValueError, match="weights"):
        model_from_dict({**values, "conditioned": True})


def test_separation_tells_it(cache: Cache) -> None:
    model, mixture = made(cache), np.random.default_rng(0).normal(0, 0.1, 30000).astype(np.float32)
    whole = separate_array(mixture, 16000, model, Options(present=("piano", "bass")))
    blocks = separate_array(mixture, 16000, model, Options(present=("piano", "bass"), block_seconds=0.4))
    assert list(whole) == ["piano", "bass"]
    np.testing.assert_allclose(sum(whole.values()), mixture, atol=1e-6)
    for name, stem in whole.items():
        np.testing.assert_allclose(blocks[name], stem, atol=1e-6)


@pytest.mark.integration
def test_a_run_with_it_leaves_the_first_stage_alone(cache: Cache, tmp_path: Path, make: Any) -> None:
    """Told half of the time: stage 1 is shared with a run without, stages 2 and 3 are trained."""
    with_it = make.config("presence=0.5")
    for config, last in ((make.config(), 1), (with_it, 3)):
        log = RunLog(tmp_path / "run")
        checkpoint = Run(cache, config, tmp_path / "run", tmp_path / "out.pt", log, last=last).train()
        log.close()
    assert checkpoint.model.conditioned and checkpoint.stage == 3
