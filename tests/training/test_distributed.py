"""Several processes: two with gloo end where one with the whole batch ends, in all stages, and who writes what."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import distributed, nn

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model
from scoresep.training.distributed import ALONE, Ranks, SharedNorm, SumOverRanks
from scoresep.training.log import NoLog, read_log
from scoresep.training.stages import STAGES
from scoresep.training.state import Session
from scoresep.training.trainer import train_stage, train_step

EXACT = (
    "data.batch=6",
    "data.transpose=0",
    "data.equalise=0.0",
    "precision=float32",
    "mask=sigmoid",
    "validate_every=2",
)
"""Clips as they are: each rank draws variations for its own clips, which one process draws otherwise. And masks that do
not add up to 1: the sign of what is missing in the mixture would be that of a rounding error."""
EPSILON = 0.01
"""AdamW's: its usual 1e-8 turns a gradient that is zero but for rounding into a step of full length, either way."""


@pytest.fixture
def together(tmp_path) -> Callable[..., list]:
    """A function that calls `work(ranks)` in two joined processes and returns what both return."""

    def run(work: Callable[[Ranks], object], count: int = 2) -> list:
        store = tmp_path / f"store-{len(list(tmp_path.iterdir()))}"

        def body(rank: int) -> None:
            torch.set_num_threads(1)
            distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
            torch.save(work(Ranks(rank, count, count)), tmp_path / f"{store.name}-{rank}.pt")
            distributed.destroy_process_group()

        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=body, args=(rank,)) for rank in range(count)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(100)
        assert [process.exitcode for process in processes] == [0] * count
        return [torch.load(tmp_path / f"{store.name}-{rank}.pt", weights_only=False) for rank in range(count)]

    return run


def trained(index: Path, make, folder: Path, number: int, ranks: Ranks, *settings: str) -> dict:
    """State after a stage of four steps from fresh weights, and its validation records."""
    torch.set_num_threads(1)
    weights = ("stage3.transcriptor.adversarial_mixture=0.5", "stage2.separator.frame_mixture=0.5")
    config = make.config(*EXACT, *weights, *settings)
    cache = Cache(index)
    torch.manual_seed(0)
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask)
    session = Session(STAGES[number], config, model, cache, folder / f"s{ranks.count}.pt", NoLog(), ranks=ranks)
    for player in session.players.values():
        player.optimiser.param_groups[0]["eps"] = EPSILON
    assert train_stage(session)
    states = {f"{n}.{k}": v for n, network in model.networks.items() for k, v in network.state_dict().items()}
    moments = {
        f"{name}.{key}.{moment}": value
        for name, player in session.players.items()
        for key, state in player.optimiser.state_dict()["state"].items()
        for moment, value in state.items()
    }
    return {"states": states, "moments": moments, "history": session.history}


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Euclidean distance of all values."""
    assert a.keys() == b.keys()
    return sum(float((a[key].double() - b[key].double()).square().sum()) for key in a) ** 0.5


@pytest.mark.parametrize("number", [1, 2, 3])
def test_two_ranks_end_where_one_with_the_whole_batch_ends(together, prepared, make, tmp_path, number):
    start = trained(prepared, make, tmp_path, number, ALONE, f"stage{number}.steps=0")
    whole = trained(prepared, make, tmp_path, number, ALONE)
    pair = together(lambda ranks: trained(prepared, make, tmp_path, number, ranks))
    assert (moved := distance(whole["states"], start["states"])) > 0.01
    for part in pair:
        assert distance(part["states"], whole["states"]) < 1e-4 * moved
        zero = {key: torch.zeros_like(value) for key, value in whole["moments"].items() if "step" not in key}
        moments = [{key: found["moments"][key] for key in zero} for found in (part, whole)]
        assert distance(*moments) < 1e-3 * distance(moments[1], zero)
        for found, wanted in zip(part["history"], whole["history"], strict=True):
            assert found == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    assert all(torch.equal(pair[0]["states"][key], value) for key, value in pair[1]["states"].items())


OTHER_SUPERVISIONS = {
    "unequal shares of stems": ("supervision=semi", "stems_fraction=0.4"),
    "factors of unequal size": ("supervision=score+teacher",),
}


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("settings", OTHER_SUPERVISIONS.values(), ids=OTHER_SUPERVISIONS.keys())
def test_two_ranks_with_unequal_parts_end_where_one_ends(together, prepared, make, tmp_path, number, settings):
    start = trained(prepared, make, tmp_path, number, ALONE, *settings, f"stage{number}.steps=0")
    whole = trained(prepared, make, tmp_path, number, ALONE, *settings)
    pair = together(lambda ranks: trained(prepared, make, tmp_path, number, ranks, *settings))
    moved = distance(whole["states"], start["states"])
    assert moved > 0.01 and all(distance(part["states"], whole["states"]) < 1e-4 * moved for part in pair)


def test_the_share_of_a_rank():
    assert [Ranks(rank, 3).share(12) for rank in range(3)] == [slice(0, 4), slice(4, 8), slice(8, 12)]
    with pytest.raises(ScoresepError, match=r"data\.batch is 10, which 3 processes cannot share evenly"):
        Ranks(0, 3).share(10)


def test_batch_normalisation_sees_the_whole_batch(together):
    """Output, gradients and statistics of two halves against those of torch's own layer on the whole."""
    torch.manual_seed(0)
    x, upstream = torch.randn(6, 5, 7) * 3 + 1, torch.randn(6, 5, 7)

    def outcome(norm: nn.BatchNorm1d, part: slice) -> list[torch.Tensor]:
        with torch.no_grad():
            norm.weight.copy_(torch.arange(1.0, 6.0))
        values = x[part].clone().requires_grad_()
        out = norm(values)
        (out * upstream[part]).sum().backward()
        return [out.detach(), values.grad, norm.weight.grad, norm.running_mean, norm.running_var]

    whole = outcome(nn.BatchNorm1d(5), slice(0, 6))
    halves = together(lambda ranks: outcome(SharedNorm.like(nn.BatchNorm1d(5), ranks), ranks.share(6)))
    for place in (0, 1):
        assert torch.allclose(torch.cat([half[place] for half in halves]), whole[place], atol=1e-5)
    assert torch.allclose(halves[0][2] + halves[1][2], whole[2], atol=1e-4)
    assert all(torch.allclose(half[k], whole[k], atol=1e-5) for half in halves for k in (3, 4))


def test_sums_over_ranks_pass_gradients_to_all(together):
    def work(ranks: Ranks) -> tuple[float, float]:
        x = torch.tensor(float(ranks.rank + 2), requires_grad=True)
        total = SumOverRanks.apply(x)
        (total * (ranks.rank + 1)).backward()
        return float(total), float(x.grad)

    assert together(work) == [(5.0, 3.0), (5.0, 3.0)]


def test_what_the_first_rank_finds_or_fails_at_reaches_all(together):
    def work(ranks: Ranks) -> list:
        found = ranks.from_first(lambda: {"rank": ranks.rank})
        try:
            ranks.from_first(lambda: (_ for _ in ()).throw(ScoresepError("no such file")))
        except ScoresepError as fault:
            return [found, str(fault), ranks.any(ranks.rank == 1), ranks.any(False), ranks.gather(ranks.rank)]
        return []

    assert together(work) == [[{"rank": 0}, "no such file", True, False, [0, 1]]] * 2


def test_a_fault_on_one_rank_is_named_on_all_and_steps_nowhere(together, prepared, make, tmp_path, read):
    def work(ranks: Ranks) -> tuple[str, bool]:
        config = make.config(*EXACT)
        cache = Cache(prepared)
        torch.manual_seed(0)
        model = Model(cache.grid, cache.instruments, config.architecture, config.mask)
        session = Session(STAGES[1], config, model, cache, tmp_path / "x.pt", NoLog(), ranks=ranks)
        batch = read(cache, [(ranks.rank, 0), (2, 10), (0, 20)])
        if ranks.rank == 1:
            batch.magnitude[0] = torch.inf
        before = {key: value.clone() for key, value in model.transcriptor.state_dict().items()}
        try:
            train_step(session, batch)
        except ScoresepError as fault:
            same = all(torch.equal(before[key], value) for key, value in model.transcriptor.state_dict().items())
            return str(fault), same
        return "", False

    for message, untouched in together(work):
        assert "loss transcriptor/score is not finite in step 1 of stage 1, clip Track00002 from 0.0" in message
        assert untouched


def test_torchrun_trains_all_stages_and_one_process_writes(prepared, tmp_path):
    """The real command, two steps a stage; what it writes is one run's, and one process can go on with it."""
    settings = "network.channels=8 network.hidden=16 network.blocks=2 data.clip_frames=32 data.batch=6 data.workers=1"
    sets = [word for setting in settings.split() for word in ("--set", setting)]
    runner = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line = ["-m", "scoresep", "train", "--cache", str(prepared), "--config", "mini", "--steps", "2", *sets]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    ended = subprocess.run([*runner, *line], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("ckpt.pt: stage 3") == 1
    assert load_checkpoint(tmp_path / "ckpt.pt").stage == 3
    records = [(record["kind"], record["stage"]) for record in read_log(tmp_path / "run")]
    assert sorted(records) == [(kind, stage) for kind in ("train", "validation") for stage in (1, 2, 3)]
