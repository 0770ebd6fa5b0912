"""The loop: learning, stopping and going on, faults, schedule, what is never touched."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.losses.table import LOSSES, Loss
from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model
from scoresep.training.log import TIMING_NAME, RunLog, read_log
from scoresep.training.optimisation import schedule
from scoresep.training.stages import STAGES, datasets
from scoresep.training.state import Session, restore, save
from scoresep.training.timing import PARTS
from scoresep.training.trainer import train_stage, train_step


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
    """A function that makes a session of a stage in a folder of its own."""
    logs = []

    def make_session(
        number: int, config, name: str = "run", data: Cache = cache, model: Model | None = None
    ) -> Session:
        torch.manual_seed(config.seed)
        model = model or Model(data.grid, data.instruments, config.architecture, config.mask)
        log = RunLog(tmp_path / name)
        logs.append(log)
        return Session(STAGES[number], config, model, data, tmp_path / name / f"stage{number}.pt", log)

    yield make_session
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


def learn(session: Session) -> list[dict[str, float]]:
    """Train; the losses of every step."""
    seen: list[dict[str, float]] = []
    session.log.progress = lambda title, done, total, losses: seen.append(dict(losses))
    train_stage(session)
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
    assert train_stage(whole)
    stopped = begin(number, config, "stopped")
    stopped.stopped = lambda: stopped.step == after
    assert not train_stage(stopped)
    assert stopped.step == after
    found = load_checkpoint(stopped.path)
    assert not found.complete and found.steps == after
    continued = begin(number, config, "stopped", model=found.model)
    restore(continued, found)
    assert train_stage(continued)
    assert equal(state(continued.model), state(whole.model))
    assert continued.history == whole.history and [record["step"] for record in whole.history] == [2, 4]
    assert continued.best["step"] == whole.best["step"] and continued.best["loss"] == whole.best["loss"]
    for player, weights in whole.best["networks"].items():
        assert equal(continued.best["networks"][player], weights)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(make, begin):
    sessions = [begin(1, make.config(f"seed={seed}"), f"run{k}") for k, seed in enumerate((5, 5, 6))]
    for session in sessions:
        train_stage(session)
    a, b, c = (state(session.model) for session in sessions)
    assert equal(a, b) and not equal(a, c)


def test_loader_workers_change_nothing(make, begin):
    sessions = [begin(1, make.config(f"data.workers={workers}"), f"run{workers}") for workers in (0, 1)]
    for session in sessions:
        train_stage(session)
    assert equal(state(sessions[0].model), state(sessions[1].model))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_loss_that_is_no_number_is_refused_and_touches_nothing(make, begin, cache, number, read):
    session = begin(number, make.config())
    batch = read(cache, [(0, 0), (1, 0), (2, 0), (0, 40)])
    batch.magnitude[1, 3, 4] = torch.nan
    before = state(session.model)
    with pytest.raises(
        ScoresepError, match=r"loss .* is not finite in step 1 of stage .*, clip Track00002 from 0\.0 to 1\.0 s; "
    ) as fault:
        train_step(session, batch)
    assert "learning_rate" in str(fault.value) and "\n" not in str(fault.value)
    assert equal(state(session.model), before)


def test_a_gradient_that_is_no_number_is_refused_and_touches_nothing(make, begin, cache, monkeypatch, read):
    """The loss of the second clip alone has an infinite slope at its value 0."""
    batch = read(cache, [(0, 0), (1, 40)])

    def root(view):
        guilty = torch.tensor([[[[float(crop == (1, 40))]]] for crop in view.batch.crops])
        return (view.rolls.onset * 0.0 * guilty + (1 - guilty)).abs().sqrt().sum()

    monkeypatch.setitem(LOSSES["transcriptor"], "onset", Loss("onset", "transcriptor", root))
    session = begin(1, make.config())
    before = state(session.model)
    message = (
        r"the gradient of loss transcriptor/onset is not finite in step 1 of stage 1, clip Track00002 from 1.3 to 2.3 s"
    )
    with pytest.raises(ScoresepError, match=message):
        train_step(session, batch)
    assert equal(state(session.model), before)


def test_a_fault_of_no_single_clip_is_laid_on_the_batch(make, begin, cache, monkeypatch, read):
    endless = Loss("score", "transcriptor", lambda v: v.rolls.frame.sum() / (2 - len(v.rolls[0])))
    monkeypatch.setitem(LOSSES["transcriptor"], "score", endless)
    session = begin(1, make.config())
    with pytest.raises(ScoresepError, match=r"loss transcriptor/score is not finite .* clip of the whole batch; "):
        train_step(session, read(cache, [(0, 0), (1, 0)]))


def test_training_needs_neither_stems_nor_audio(make, begin, cache_copy):
    """Shards without them train as ever, to the same weights."""
    with_stems = begin(2, make.config(), "with", Cache(cache_copy))
    train_stage(with_stems)
    with_stems.cache.close()
    for shard in cache_copy.with_name("cache.shards").glob("*.h5"):
        with h5py.File(shard, "a") as file:
            del file["stems"]
            del file["mixture"]
    without = begin(2, make.config(), "without", Cache(cache_copy))
    train_stage(without)
    assert equal(state(without.model), state(with_stems.model))


def test_choice_of_weights_needs_no_stems(make, begin, cache_copy):
    for shard in cache_copy.with_name("cache.shards").glob("*.h5"):
        with h5py.File(shard, "a") as file:
            file["stems"][...] = np.iinfo(np.int16).max
    poisoned = begin(2, make.config("stage2.keep=best"), "poisoned", Cache(cache_copy))
    clean = begin(2, make.config("stage2.keep=best"), "clean")
    train_stage(poisoned)
    train_stage(clean)
    assert poisoned.history == clean.history and poisoned.best["step"] == clean.best["step"]


def test_validation_is_recorded_and_leaves_the_modes_as_they_were(make, begin, tmp_path):
    session = begin(1, make.config())
    train_stage(session)
    records = [record for record in read_log(tmp_path / "run") if record["kind"] == "validation"]
    assert [record["step"] for record in records] == [2, 4]
    assert records[-1]["total"] == pytest.approx(
        records[-1]["transcriptor/score"] + records[-1]["transcriptor/onset"], rel=1e-5
    )
    assert session.model.transcriptor.training and not session.model.separator.training


def test_best_weights_are_those_of_the_lowest_validation_loss(make, begin):
    session = begin(1, make.config("stage1.keep=best", "stage1.steps=6"))
    train_stage(session)
    lowest = min(session.history, key=lambda record: record["total"])
    assert session.best["loss"] == lowest["total"] and session.best["step"] == lowest["step"]


def test_weights_scale_the_losses_and_zero_switches_them_off(make, begin, cache, read):
    config = make.config("stage2.separator.clip_mixture=0", "stage2.separator.frame_mixture=0.5")
    session = begin(2, config)
    batch = read(cache, [(0, 0), (1, 0)])
    values = train_step(session, batch)
    assert set(values) == {"separator/transcription", "separator/frame_mixture", "separator/harmonic_mixture"}


def test_a_stage_without_losses_is_refused(make, begin):
    zeros = [f"stage2.separator.{name}=0" for name in ("transcription", "clip_mixture", "harmonic_mixture")]
    with pytest.raises(ScoresepError, match=r"stage2\.separator has no loss with a weight above 0"):
        begin(2, make.config(*zeros))


def test_no_steps_leave_the_model_as_it_was(make, begin):
    session = begin(1, make.config("stage1.steps=0"))
    before = state(session.model)
    assert train_stage(session) and equal(state(session.model), before)
    assert load_checkpoint(session.path).steps == 0


def test_finished_checkpoints_carry_no_optimisers(make, begin):
    session = begin(1, make.config())
    train_stage(session)
    assert load_checkpoint(session.path).resume["optimisers"]
    save(session, complete=True)
    found = load_checkpoint(session.path)
    assert found.complete and found.resume == {} and found.cache_digest == session.cache.digest


def test_learning_rate_warms_up_holds_and_falls_to_zero():
    factors = [schedule(step, 100) for step in range(100)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert set(factors[5:68]) == {1.0}
    assert all(np.diff(factors[68:]) < 0) and np.allclose(np.diff(factors[69:], 2), 0) and 0 < factors[-1] < 0.04
    assert [schedule(0, 1), schedule(0, 2)] == [1.0, 1.0]


def test_progress_is_told_every_step(make, begin):
    session = begin(1, make.config())
    seen = []
    session.log.progress = lambda title, done, total, losses: seen.append((title, done, total, set(losses)))
    train_stage(session)
    title = "the transcriptor learns from mixtures"
    assert seen == [(title, done, 4, {"transcriptor/score", "transcriptor/onset"}) for done in (1, 2, 3, 4)]


def test_times_are_written_beside_the_losses_and_add_up(make, begin, tmp_path):
    train_stage(begin(3, make.config("stage3.steps=12", "validate_every=100")))
    entries = read_log(tmp_path / "run", TIMING_NAME)
    assert [(entry["stage"], entry["step"]) for entry in entries] == [(3, 10), (3, 12)]
    for entry in entries:
        assert all(entry[f"ms/{part}"] > 0 for part in PARTS)
        assert sum(entry[f"ms/{part}"] for part in PARTS) == pytest.approx(entry["ms/step"], abs=0.01)
        assert entry["waiting"] == pytest.approx(entry["ms/waiting"] / entry["ms/step"], abs=1e-3)
    assert not any("ms" in key for record in read_log(tmp_path / "run") for key in record)


def test_datasets_that_no_loss_looks_at_are_not_read():
    transcriptor, separator = LOSSES["transcriptor"], LOSSES["separator"]
    assert datasets(transcriptor["score"].reads | transcriptor["onset"].reads) == ["magnitude", "roll", "onset"]
    assert datasets(separator["harmonic_mixture"].reads) == ["magnitude", "roll", "harmonic"]
    assert datasets(transcriptor["score"].reads) == datasets(separator["transcription"].reads) == ["magnitude", "roll"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_is_held_in_memory_trains_to_the_same_weights(make, begin, number):
    sessions = [begin(number, make.config(), f"run{resident}") for resident in ("", "host", "device")]
    for session, resident in zip(sessions, ("", "host", "device"), strict=True):
        session.resident = resident
        train_stage(session)
    first, *others = (state(session.model) for session in sessions)
    assert all(equal(first, other) for other in others)


def test_an_unknown_precision_is_refused(make):
    with pytest.raises(ScoresepError, match="precision 'float23' is unknown; did you mean 'float32'"):
        make.config("precision=float23")
