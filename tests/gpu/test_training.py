"""Steps, stopping and going on, several devices: on the device as on the CPU, with no more waiting than declared."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model
from scoresep.training.log import RunLog
from scoresep.training.stages import STAGES
from scoresep.training.trainer import Trainer, set_modes

CPU = torch.device("cpu")
EPSILON = 0.01
"""AdamW's: its usual 1e-8 turns a gradient that is zero but for rounding into a step of full length, either way."""
SUPERVISIONS = ("score", "score+teacher", "stems")
MOST_WAITS = 1
"""Times that a step waits for the device, for each network that learns: for its losses and its gradient's norm, before
the optimiser may step. A transfer from memory that is not pinned waits, too."""


@pytest.fixture
def begin(cache, make, tmp_path) -> Callable[..., Trainer]:
    """A function that makes a trainer of a stage with fresh weights."""

    def trainer(
        number: int,
        where: torch.device,
        *settings: str,
        resident: str = "",
        name: str = "stage",
        model: Model | None = None,
    ) -> Trainer:
        config = make.config("mask=sigmoid", "network.channels=16", "validate_every=2", "precision=float32", *settings)
        torch.manual_seed(0)
        model = (model or Model(cache.grid, cache.instruments, config.architecture, config.mask)).to(where)
        path = tmp_path / f"{name}-{where.type}.pt"
        made = Trainer(STAGES[number], config, model, cache, path, RunLog(None), resident=resident)
        for optimiser in made.optimisers.values():
            optimiser.param_groups[0]["eps"] = EPSILON
        return made

    return trainer


def weights(trainer: Trainer) -> torch.Tensor:
    """All parameters and statistics."""
    states = [network.state_dict().values() for network in trainer.model.networks.values()]
    return torch.cat([value.detach().cpu().double().flatten() for state in states for value in state])


def stepped(trainer: Trainer, steps: int = 1) -> list[dict[str, float]]:
    """The losses of some steps, all on the same clips."""
    crops = [(0, 0), (1, 5), (2, 9), (0, 40)]
    set_modes(trainer.stage, trainer.model)
    found = []
    for batch in trainer.read_clips("train", [crops] * steps):
        found.append(trainer.train_step(batch))
        trainer.step += 1
    return found


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("supervision", SUPERVISIONS)
@pytest.mark.parametrize("number", STAGES)
def test_a_step(begin, device, number, supervision, precision):
    """Two steps: the second sees what the first one made of parameters, statistics and moments."""
    settings = [f"supervision={supervision}"]
    start = weights(begin(number, CPU, *settings))
    there, here = begin(number, device, *settings, f"precision={precision}"), begin(number, CPU, *settings)
    share = {"float32": 2e-3, "bfloat16": 0.1}[precision]
    for found, expected in zip(stepped(there, 2), stepped(here, 2), strict=True):
        assert found == pytest.approx(expected, rel=share)
    moved = (weights(here) - start).norm()
    assert moved > 0
    assert (weights(there) - weights(here)).norm() < {"float32": 0.01, "bfloat16": 0.3}[precision] * moved


@pytest.mark.parametrize("supervision", SUPERVISIONS)
@pytest.mark.parametrize("number", STAGES)
def test_a_step_waits_for_the_device_no_more_than_declared(begin, device, number, supervision):
    if device.type != "cuda":
        pytest.skip("only a GPU is waited for")
    trainer = begin(number, device, f"supervision={supervision}")
    stepped(trainer)  # libraries and constants are set up
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            stepped(trainer)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [f"{Path(each.filename).name}:{each.lineno}" for each in seen if "synchronizing" in str(each.message)]
    assert len(waits) <= MOST_WAITS * len(trainer.optimisers), waits


@pytest.mark.parametrize("number", STAGES)
def test_stopped_and_gone_on(begin, device, number):
    whole = begin(number, device, name="whole")
    assert whole.train()
    first = begin(number, device)
    first.stop_wanted = lambda: first.step >= 2
    assert not first.train()
    found = load_checkpoint(first.path)
    second = begin(number, device, model=found.model)
    second.resume(found)
    assert second.step == 2 and second.train()
    start = weights(begin(number, device))
    moved = (weights(whole) - start).norm()
    assert (weights(second) - weights(whole)).norm() < 1e-2 * moved


@pytest.mark.parametrize("resident", ["host", "device"])
def test_resident(begin, device, resident):
    plain, held = begin(1, device, name="plain"), begin(1, device, resident=resident, name=resident)
    start = weights(plain)
    assert plain.train() and held.train()
    assert (weights(plain) - weights(held)).norm() < 1e-2 * (weights(plain) - start).norm()


def test_validation(begin, device):
    there, here = begin(1, device), begin(1, CPU)
    assert there.train() and here.train()
    for found, expected in zip(there.history, here.history, strict=True):
        assert found == pytest.approx(expected, rel=1e-2)


def test_another_device_than_the_current_one(begin, device):
    if device.type != "cuda" or torch.cuda.device_count() < 2:
        pytest.skip("there are not two GPUs")
    assert begin(1, torch.device("cuda", 1)).train()


def test_two_ranks(prepared, device, tmp_path):
    """A device each, against one process with the whole batch."""
    if device.type != "cuda" or torch.cuda.device_count() < 2:
        pytest.skip("there are not two GPUs (tests/training/test_distributed.py has two processes on a CPU)")
    sizes = ("network.channels=16", "network.hidden=16", "network.blocks=2", "network.repeats=1", "mask=sigmoid")
    data = ("data.clip_frames=32", "data.batch_size=4", "data.transpose=0", "data.equalise=0.0", "precision=float32")
    sets = [word for setting in (*sizes, *data) for word in ("--set", setting)]
    losses = {}
    for name, launcher in (
        ("one", [sys.executable, "-m"]),
        ("two", [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]),
    ):
        line = [*launcher, "scoresep", "train", "--stage", "3", "--config", "mini", "--steps", "4", "--device", "auto"]
        line += ["--cache", str(prepared), *sets, "--run", str(tmp_path / name), "--out", str(tmp_path / f"{name}.pt")]
        subprocess.run(line, check=True, capture_output=True)
        losses[name] = load_checkpoint(tmp_path / f"{name}.pt").history
    for found, expected in zip(losses["two"], losses["one"], strict=True):
        assert found == pytest.approx(expected, rel=0.02)
