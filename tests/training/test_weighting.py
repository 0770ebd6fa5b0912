"""Weights of losses that are learnt: the published objective, where it settles, and every loss of the table."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from scoresep.losses.table import LOSSES
from scoresep.models.checkpoint import load_checkpoint, save_checkpoint
from scoresep.training.log import read_log
from scoresep.training.run import Run, RunLog, stage_path
from scoresep.training.weighting import LARGEST, RATE, LossWeights


@pytest.mark.parametrize("loss", [0.2, 0.9, 1.3])
def test_a_step_descends_the_published_objective(loss: float) -> None:
    weights = LossWeights({"separator": {"stem": 1.4}}, "uncertainty")
    for _ in range(5):
        value = torch.tensor(weights.log_variances["separator"]["stem"], dtype=torch.float64, requires_grad=True)
        (torch.exp(-value) * 1.4 * loss + value).backward()
        assert value.grad is not None
        weights.step("separator", {"stem": loss})
        expected = float(value.detach()) - RATE * float(value.grad.clamp(-1, 1))
        assert weights.log_variances["separator"]["stem"] == pytest.approx(expected, abs=1e-12)


def test_every_loss_of_the_table_settles_at_one_part_of_the_sum() -> None:
    """However large it is, and whatever its weight was set to."""
    sizes = {network: {name: 10.0 ** (n % 5 - 2) for n, name in enumerate(rows)} for network, rows in LOSSES.items()}
    set_to = {network: {name: 3.0 + n for n, name in enumerate(rows)} for network, rows in LOSSES.items()}
    weights = LossWeights(set_to, "uncertainty")
    for network, losses in sizes.items():
        for _ in range(800):
            weights.step(network, losses)
        for name, weight in weights.of(network).items():
            assert weight * losses[name] == pytest.approx(1.0, abs=0.03)


def test_a_loss_that_is_nothing_does_not_drive_out_the_others() -> None:
    weights = LossWeights({"separator": {"stem": 1.0, "teacher": 1.0}}, "uncertainty")
    for _ in range(2000):
        weights.step("separator", {"stem": 0.0, "teacher": 1e9})
    assert weights.of("separator") == pytest.approx({"stem": math.exp(LARGEST), "teacher": math.exp(-LARGEST)})


def test_fixed_weights_are_those_that_are_set() -> None:
    weights = LossWeights({"separator": {"stem": 0.3}}, "fixed")
    weights.step("separator", {"stem": 7.0})
    assert weights.of("separator") == {"stem": 0.3} and weights.record() == {}


@pytest.mark.integration
@pytest.mark.parametrize("supervision", ["score+teacher", "semi"])
def test_a_run_learns_the_weights_of_its_losses_and_goes_on_from_older_checkpoints(
    make: Any, cache: Any, tmp_path: Any, supervision: str
) -> None:
    steps = ("stage1.steps=2", "stage2.steps=10", "stage3.steps=0", "stems_fraction=0.4")
    config = make.config(*steps, f"supervision={supervision}", "weighting=uncertainty", "stage2.keep=last")
    journal = RunLog(tmp_path)
    Run(cache, config, tmp_path, tmp_path / "out.pt", journal, last=2).train()
    journal.close()
    (record,) = [each for each in read_log(tmp_path) if each["kind"] == "train" and each["stage"] == 2]
    set_to = {name: weight for name, weight in config.stage2.separator.items() if weight}
    for name, weight in set_to.items():
        change = math.log(record[f"separator/{name}/weight"] / weight)
        assert 0 < abs(change) <= 10 * RATE + 1e-9
    path = stage_path(tmp_path, 2)
    older = load_checkpoint(path)
    del older.config["weighting"]
    save_checkpoint(path, older)
    journal = RunLog(tmp_path)
    fixed = make.config(*steps, f"supervision={supervision}")
    assert Run(cache, fixed, tmp_path, tmp_path / "out.pt", journal, last=2).train().steps == 10
    journal.close()
