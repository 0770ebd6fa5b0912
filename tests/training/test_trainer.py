"""The loop: learning, stopping and going on, faults, schedule, what is never touched."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from scoresep.cache.reader import Cache
from scoresep.errors import Damaged, Failed
from scoresep.losses.table import LOSSES, Loss, datasets_of
from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model
from scoresep.training.log import TIMING_NAME, RunLog, read_log
from scoresep.training.precision import autocast, choose_precision
from scoresep.training.stages import STAGES, schedule
from scoresep.training.trainer import Trainer

pytestmark = pytest.mark.integration
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def state(model: Model) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, network in model.networks.items()
        for key, value in network.state_dict().items()
    }


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def begin(cache, tmp_path):
    """A function that makes a trainer of a stage in a folder of its own."""
    logs = []

    def make_trainer(
        number: int, config, name: str = "run", data: Cache = cache, model: Model | None = None
    ) -> Trainer:
        torch.manual_seed(config.seed)
        model = model or Model(data.grid, data.instruments, config.architecture, config.mask)
        log = RunLog(tmp_path / name)
        logs.append(log)
        return Trainer(STAGES[number], config, model, data, tmp_path / name / f"stage{number}.pt", log)

    yield make_trainer
    for log in logs:
        log.close()


LEARNING = (
    "validate_every=1000",
    "data.validation_clips=0",
    "data.transpose=0",
    "data.equalise=0.0",
    "network.channels=16",
    "stage1.steps=150",
    "stage1.learning_rate=0.01",
    "stage2.steps=100",
    "stage2.learning_rate=0.01",
)


def learn(trainer: Trainer) -> list[dict[str, float]]:
    """Train; the losses of every step."""
    seen: list[dict[str, float]] = []
    trainer.log.progress = lambda title, done, total, losses: seen.append(dict(losses))
    trainer.train()
    return seen


def fall(seen: list[dict[str, float]], name: str) -> float:
    """Mean loss of the last five steps over that of the first."""
    return float(np.mean([losses[name] for losses in seen[-5:]])) / seen[0][name]


def test_stages_1_and_2_learn(make, begin):
    """The separator learns from a critic that has learnt."""
    config = make.config(*LEARNING)
    first = begin(1, config)
    seen = learn(first)
    assert fall(seen, "transcriptor/score") < 0.25 and fall(seen, "transcriptor/onset") < 0.25
    first.model.architecture.inherit(first.model.separator, first.model.transcriptor)
    seen = learn(begin(2, config, model=first.model))
    assert fall(seen, "separator/transcription") < 0.75 and fall(seen, "separator/harmonic_mixture") < 0.2


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_stopped_and_continued_is_the_same_as_uninterrupted(make, begin, number, after):
    """Bit by bit, also where the stop falls on a step with a validation (every second one), with the best kept."""
    config = make.config(f"stage{number}.keep=best")
    whole = begin(number, config, "whole")
    assert whole.train()
    stopped = begin(number, config, "stopped")
    stopped.stop_wanted = lambda: stopped.step == after
    assert not stopped.train()
    assert stopped.step == after
    found = load_checkpoint(stopped.path)
    assert not found.complete and found.steps == after
    continued = begin(number, config, "stopped", model=found.model)
    continued.resume(found)
    assert continued.train()
    assert equal(state(continued.model), state(whole.model))
    assert continued.history == whole.history and [record["step"] for record in whole.history] == [2, 4]
    assert continued.best["step"] == whole.best["step"] and continued.best["loss"] == whole.best["loss"]
    for name, weights in whole.best["networks"].items():
        assert equal(continued.best["networks"][name], weights)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(make, begin):
    trainers = [begin(1, make.config(f"seed={seed}"), f"run{k}") for k, seed in enumerate((5, 5, 6))]
    for trainer in trainers:
        trainer.train()
    a, b, c = (state(trainer.model) for trainer in trainers)
    assert equal(a, b) and not equal(a, c)


def test_loader_workers_change_nothing(make, begin):
    trainers = [begin(1, make.config(f"data.workers={workers}"), f"run{workers}") for workers in (0, 1)]
    for trainer in trainers:
        trainer.train()
    assert equal(state(trainers[0].model), state(trainers[1].model))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_clips_that_are_not_finite_are_named_and_touch_nothing(make, begin, cache, number, read, refused):
    trainer = begin(number, make.config())
    batch = read(cache, [(0, 0), (1, 0), (2, 0), (0, 40)])
    batch.magnitude[1, 3, 4] = torch.nan
    before = state(trainer.model)
    with refused(Damaged, cache.path) as fault:
        trainer.train_step(batch)
    assert f"is not finite in step 1 of stage {number}" in str(fault.value)
    assert "Track00002 from 0.0 to 1.0 s" in str(fault.value) and "Track00001" not in str(fault.value)
    assert equal(state(trainer.model), before)


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (lambda step: step.rolls.onset.sum() * torch.inf, "loss transcriptor/onset"),
        (lambda step: (step.rolls.onset * 0.0).abs().sqrt().sum(), "the gradient of the transcriptor"),
    ],
    ids=["loss", "infinite slope at 0"],
)
def test_a_step_that_is_not_finite_is_refused_and_touches_nothing(
    make, begin, cache, monkeypatch, read, refused, broken, name
):
    monkeypatch.setitem(LOSSES["transcriptor"], "onset", Loss("onset", "transcriptor", broken))
    trainer = begin(1, make.config())
    before = state(trainer.model)
    with refused(Failed) as fault:
        trainer.train_step(read(cache, [(0, 0), (1, 40)]))
    assert f"{name} is not finite in step 1 of stage 1" in str(fault.value)
    assert "stage1.learning_rate" in fault.value.remedy
    assert equal(state(trainer.model), before)


def test_training_needs_neither_stems_nor_audio(make, begin, cache_copy):
    """Shards without them train as ever, to the same weights."""
    with_stems = begin(2, make.config(), "with", Cache(cache_copy))
    with_stems.train()
    with_stems.cache.close()
    for shard in cache_copy.with_name("cache.shards").glob("*.h5"):
        with h5py.File(shard, "a") as file:
            del file["stems"]
            del file["mixture"]
    without = begin(2, make.config(), "without", Cache(cache_copy))
    without.train()
    assert equal(state(without.model), state(with_stems.model))


def test_choice_of_weights_needs_no_stems(make, begin, cache_copy):
    for shard in cache_copy.with_name("cache.shards").glob("*.h5"):
        with h5py.File(shard, "a") as file:
            file["stems"][...] = np.iinfo(np.int16).max
    poisoned = begin(2, make.config("stage2.keep=best"), "poisoned", Cache(cache_copy))
    clean = begin(2, make.config("stage2.keep=best"), "clean")
    poisoned.train()
    clean.train()
    assert poisoned.history == clean.history and poisoned.best["step"] == clean.best["step"]


def test_validation_is_recorded_and_leaves_the_modes_as_they_were(make, begin, tmp_path):
    trainer = begin(1, make.config())
    trainer.train()
    records = [record for record in read_log(tmp_path / "run") if record["kind"] == "validation"]
    assert [record["step"] for record in records] == [2, 4]
    assert records[-1]["total"] == pytest.approx(
        records[-1]["transcriptor/score"] + records[-1]["transcriptor/onset"], rel=1e-5
    )
    assert trainer.model.transcriptor.training and not trainer.model.separator.training


def test_best_weights_are_those_of_the_lowest_validation_loss(make, begin):
    trainer = begin(1, make.config("stage1.keep=best", "stage1.steps=6"))
    trainer.train()
    lowest = min(trainer.history, key=lambda record: record["total"])
    assert trainer.best["loss"] == lowest["total"] and trainer.best["step"] == lowest["step"]


def test_weights_scale_the_losses_and_zero_switches_them_off(make, begin, cache, read):
    config = make.config("stage2.separator.clip_mixture=0", "stage2.separator.frame_mixture=0.5")
    trainer = begin(2, config)
    batch = read(cache, [(0, 0), (1, 0)])
    values = trainer.train_step(batch)
    assert set(values) == {"separator/transcription", "separator/frame_mixture", "separator/harmonic_mixture"}


def test_no_steps_leave_the_model_as_it_was(make, begin):
    trainer = begin(1, make.config("stage1.steps=0"))
    before = state(trainer.model)
    assert trainer.train() and equal(state(trainer.model), before)
    assert load_checkpoint(trainer.path).steps == 0


def test_finished_checkpoints_carry_no_optimisers(make, begin):
    trainer = begin(1, make.config())
    trainer.train()
    assert load_checkpoint(trainer.path).resume["optimisers"]
    trainer.save(complete=True)
    found = load_checkpoint(trainer.path)
    assert found.complete and found.resume == {} and found.cache_digest == trainer.cache.digest


def test_learning_rate_warms_up_holds_and_falls_to_zero():
    factors = [schedule(step, 100) for step in range(100)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert set(factors[5:68]) == {1.0}
    assert all(np.diff(factors[68:]) < 0) and np.allclose(np.diff(factors[69:], 2), 0) and 0 < factors[-1] < 0.04
    assert [schedule(0, 1), schedule(0, 2)] == [1.0, 1.0]


def test_progress_is_told_every_step(make, begin):
    trainer = begin(1, make.config())
    seen = []
    trainer.log.progress = lambda title, done, total, losses: seen.append((title, done, total, set(losses)))
    trainer.train()
    title = "the transcriptor learns from mixtures"
    assert seen == [(title, done, 4, {"transcriptor/score", "transcriptor/onset"}) for done in (1, 2, 3, 4)]


def test_times_are_written_beside_the_losses(make, begin, tmp_path):
    begin(3, make.config("stage3.steps=12", "validate_every=100")).train()
    entries = read_log(tmp_path / "run", TIMING_NAME)
    assert [(entry["stage"], entry["step"]) for entry in entries] == [(3, 10), (3, 12)]
    for entry in entries:
        assert 0 < entry["ms/waiting"] < entry["ms/step"]
        assert entry["waiting"] == pytest.approx(entry["ms/waiting"] / entry["ms/step"], abs=1e-3)
    assert not any("ms" in key for record in read_log(tmp_path / "run") for key in record)


def test_datasets_that_no_loss_looks_at_are_not_read():
    transcriptor, separator = LOSSES["transcriptor"], LOSSES["separator"]
    assert datasets_of([transcriptor["score"], transcriptor["onset"]]) == ["magnitude", "roll", "onset"]
    assert datasets_of([separator["harmonic_mixture"]]) == ["magnitude", "roll", "harmonic"]
    assert datasets_of([transcriptor["score"], separator["transcription"]]) == ["magnitude", "roll"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_is_held_in_memory_trains_to_the_same_weights(make, begin, number):
    trainers = [begin(number, make.config(), f"run{resident}") for resident in ("", "host", "device")]
    for trainer, resident in zip(trainers, ("", "host", "device"), strict=True):
        trainer.resident = resident
        trainer.train()
    first, *others = (state(trainer.model) for trainer in trainers)
    assert all(equal(first, other) for other in others)


@pytest.mark.parametrize("able", [True, False])
def test_auto_takes_bfloat16_on_cpus_that_multiply_it(monkeypatch, able):
    monkeypatch.setattr("scoresep.training.precision.multiplies_bfloat16", lambda: able)
    assert choose_precision("auto", CPU) == ("bfloat16" if able else "float32")
    assert choose_precision("auto", GPU) == "float32"
    assert choose_precision("float32", CPU) == "float32" and choose_precision("bfloat16", GPU) == "bfloat16"


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_networks_give_float32_near_to_the_exact_result(cache, make, wanted):
    config = make.config()
    torch.manual_seed(0)
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask).eval()
    x = torch.rand(2, cache.grid.bins, 16)
    exact = (model.transcriptor(x).frame, model.separator(x))
    with autocast(CPU, wanted):
        rounded = (model.transcriptor(x).frame, model.separator(x))
    for a, b in zip(rounded, exact, strict=True):
        assert a.dtype == torch.float32 and torch.allclose(a, b, atol=0.05)
        assert torch.equal(a, b) == (wanted == "float32")
    assert torch.allclose(rounded[1].sum(1), torch.ones(2, cache.grid.bins, 16), atol=1e-5), "shares still add up"
