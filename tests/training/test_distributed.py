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
from scoresep.training.distributed import ALONE, World
from scoresep.training.log import RunLog, read_log
from scoresep.training.stages import STAGES
from scoresep.training.trainer import Trainer

pytestmark = pytest.mark.integration

EXACT = (
    "data.batch_size=6",
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
    """A function that calls `work(world)` in two joined processes and returns what both return."""

    def run(work: Callable[[World], object], count: int = 2) -> list:
        store = tmp_path / f"store-{len(list(tmp_path.iterdir()))}"

        def body(rank: int) -> None:
            torch.set_num_threads(1)
            distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
            torch.save(work(World(rank, count, count)), tmp_path / f"{store.name}-{rank}.pt")
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


def trained(index: Path, make, folder: Path, number: int, world: World, *settings: str) -> dict:
    """State after a stage of four steps from fresh weights, and its validation records."""
    torch.set_num_threads(1)
    weights = ("stage3.transcriptor.adversarial_mixture=0.5", "stage2.separator.frame_mixture=0.5")
    config = make.config(*EXACT, *weights, *settings)
    cache = Cache(index)
    torch.manual_seed(0)
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask)
    trainer = Trainer(STAGES[number], config, model, cache, folder / f"s{world.size}.pt", RunLog(None), world=world)
    for optimiser in trainer.optimisers.values():
        optimiser.param_groups[0]["eps"] = EPSILON
    assert trainer.train()
    states = {f"{n}.{k}": v for n, network in model.networks.items() for k, v in network.state_dict().items()}
    moments = {
        f"{name}.{key}.{moment}": value
        for name, optimiser in trainer.optimisers.items()
        for key, state in optimiser.state_dict()["state"].items()
        for moment, value in state.items()
    }
    return {"states": states, "moments": moments, "history": trainer.history}


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Euclidean distance of all values."""
    assert a.keys() == b.keys()
    return sum(float((a[key].double() - b[key].double()).square().sum()) for key in a) ** 0.5


@pytest.mark.parametrize("number", [1, 2, 3])
def test_two_ranks_end_where_one_with_the_whole_batch_ends(together, prepared, make, tmp_path, number):
    start = trained(prepared, make, tmp_path, number, ALONE, f"stage{number}.steps=0")
    whole = trained(prepared, make, tmp_path, number, ALONE)
    pair = together(lambda world: trained(prepared, make, tmp_path, number, world))
    assert (moved := distance(whole["states"], start["states"])) > 0.01
    for part in pair:
        assert distance(part["states"], whole["states"]) < 1e-4 * moved
        zero = {key: torch.zeros_like(value) for key, value in whole["moments"].items() if "step" not in key}
        moments = [{key: found["moments"][key] for key in zero} for found in (part, whole)]
        assert distance(*moments) < 1e-3 * distance(moments[1], zero)
        for found, wanted in zip(part["history"], whole["history"], strict=True):
            assert found == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    assert all(torch.equal(pair[0]["states"][key], value) for key, value in pair[1]["states"].items())


@pytest.mark.parametrize(
    ("number", "settings"),
    [(2, ("supervision=semi", "stems_fraction=0.4")), (3, ("supervision=score+teacher",))],
    ids=["unequal shares of stems", "factors of unequal size"],
)
def test_two_ranks_with_unequal_parts_end_where_one_ends(together, prepared, make, tmp_path, number, settings):
    start = trained(prepared, make, tmp_path, number, ALONE, *settings, f"stage{number}.steps=0")
    whole = trained(prepared, make, tmp_path, number, ALONE, *settings)
    pair = together(lambda world: trained(prepared, make, tmp_path, number, world, *settings))
    moved = distance(whole["states"], start["states"])
    assert moved > 0.01 and all(distance(part["states"], whole["states"]) < 1e-4 * moved for part in pair)


def test_the_share_of_a_rank():
    assert [World(rank, 3).share(12) for rank in range(3)] == [slice(0, 4), slice(4, 8), slice(8, 12)]


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

    def norm_of(world: World) -> nn.BatchNorm1d:
        network = nn.Sequential(nn.BatchNorm1d(5))
        world.share_statistics(network)
        return network[0]

    whole = outcome(nn.BatchNorm1d(5), slice(0, 6))
    halves = together(lambda world: outcome(norm_of(world), world.share(6)))
    for place in (0, 1):
        assert torch.allclose(torch.cat([half[place] for half in halves]), whole[place], atol=1e-5)
    assert torch.allclose(halves[0][2] + halves[1][2], whole[2], atol=1e-4)
    assert all(torch.allclose(half[k], whole[k], atol=1e-5) for half in halves for k in (3, 4))


def test_gathered_clips_pass_gradients_back(together):
    def work(world: World) -> tuple[list[float], float]:
        x = torch.tensor([float(world.rank + 2)], requires_grad=True)
        clips = world.gather_clips(x)
        (clips * (world.rank + 1)).sum().backward()
        return clips.tolist(), float(x.grad)

    assert together(work) == [([2.0, 3.0], 3.0), ([2.0, 3.0], 3.0)]


def test_gradients_are_averaged_and_parameters_start_equal(together):
    def work(world: World) -> list[list[float]]:
        torch.manual_seed(world.rank)
        network = nn.Linear(2, 3)
        world.share_start(network)
        network.weight.grad, network.bias.grad = (torch.full_like(p, world.rank + 1.0) for p in network.parameters())
        world.average_gradients(network.parameters())
        return [values.flatten().tolist() for values in (network.weight, network.weight.grad, network.bias.grad)]

    first, second = together(work)
    assert first == second and first[1:] == [[1.5] * 6, [1.5] * 3]


def test_what_the_first_rank_finds_or_fails_at_reaches_all(together):
    def work(world: World) -> list:
        found = world.from_first(lambda: {"rank": world.rank})
        try:
            world.from_first(lambda: (_ for _ in ()).throw(ScoresepError("no such file")))
        except ScoresepError as fault:
            return [found, str(fault), world.any(world.rank == 1), world.any(False), world.gather_objects(world.rank)]
        return []

    assert together(work) == [[{"rank": 0}, "no such file", True, False, [0, 1]]] * 2


def test_a_fault_on_one_rank_is_named_on_all_and_steps_nowhere(together, prepared, make, tmp_path, read):
    def work(world: World) -> tuple[str, bool]:
        config = make.config(*EXACT)
        cache = Cache(prepared)
        torch.manual_seed(0)
        model = Model(cache.grid, cache.instruments, config.architecture, config.mask)
        trainer = Trainer(STAGES[1], config, model, cache, tmp_path / "x.pt", RunLog(None), world=world)
        batch = read(cache, [(world.rank, 0), (2, 10), (0, 20)])
        if world.rank == 1:
            batch.magnitude[0] = torch.inf
        before = {key: value.clone() for key, value in model.transcriptor.state_dict().items()}
        try:
            trainer.train_step(batch)
        except ScoresepError as fault:
            same = all(torch.equal(before[key], value) for key, value in model.transcriptor.state_dict().items())
            return str(fault), same
        return "", False

    for message, untouched in together(work):
        assert "loss transcriptor/score is not finite in step 1 of stage 1" in message
        assert "Track00002 from 0.0" in message
        assert untouched


def test_torchrun_trains_all_stages_and_one_process_writes(prepared, tmp_path):
    """The real command, two steps a stage; what it writes is one run's, and one process can go on with it."""
    settings = (
        "network.channels=8 network.hidden=16 network.blocks=2 data.clip_frames=32 data.batch_size=6 data.workers=1"
    )
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
