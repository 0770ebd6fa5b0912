"""`--minutes`: how many steps fit, and that a run with them is the run of a config that says so."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from scoresep.errors import InvalidValue, Mismatch
from scoresep.models.checkpoint import load_checkpoint
from scoresep.training import pace as pacing
from scoresep.training.log import LOG_NAME, RunLog, read_log
from scoresep.training.pace import PACE_NAME, SPARE_SHARE, VALIDATION_SHARE, Cost, measured_steps, plan
from scoresep.training.run import Run, stage_path
from scoresep.training.stages import STAGES
from scoresep.training.trainer import Trainer

pytestmark = pytest.mark.integration

MINUTES = 1.0
"""Of the runs below: by `SLOW`, three steps of each stage."""
SLOW = Cost(begin=0.5, step=5.0, validation=1.0, end=0.5)
COSTS = {1: Cost(5.0, 0.01, 1.0, 20.0), 2: Cost(1.0, 0.05, 2.0, 1.0), 3: Cost(1.0, 0.2, 3.0, 10.0)}


def seconds_of(found: pacing.Pace, costs: dict[int, Cost]) -> float:
    """What a run with these numbers takes by the costs."""
    checks = {n: math.ceil(count / found.validate_every) for n, count in found.steps.items()}
    each = (
        cost.begin + found.steps[n] * cost.step + checks[n] * cost.validation + cost.end for n, cost in costs.items()
    )
    return sum(each)


@pytest.mark.parametrize("minutes", [2, 8, 60, 6000])
@pytest.mark.parametrize("numbers", [(1, 2, 3), (2, 3), (3,)])
def test_the_steps_fill_the_time_in_the_configs_proportions(make, minutes, numbers):
    config = make.config("stage1.steps=6000", "stage2.steps=4000", "stage3.steps=2000", "validate_every=200")
    costs = {n: COSTS[n] for n in numbers}
    found = plan(config, costs, 60.0 * minutes)
    assert 0.9 * 60 * minutes < seconds_of(found, costs) < (1 - SPARE_SHARE / 2) * 60 * minutes
    shares = [found.steps[n] / config.stages[n].steps for n in numbers]
    assert max(shares) - min(shares) < 1 / min(config.stages[n].steps for n in numbers)
    checking = sum(math.ceil(found.steps[n] / found.validate_every) * costs[n].validation for n in numbers)
    assert checking < VALIDATION_SHARE * 60 * minutes + sum(2 * cost.validation for cost in costs.values())
    assert found.applied(config).validate_every == found.validate_every


def test_with_time_enough_there_are_as_many_validations_as_the_config_has(make):
    config = make.config("stage1.steps=6000", "stage2.steps=4000", "stage3.steps=2000", "validate_every=200")
    found = plan(config, COSTS, 100 * 3600.0)
    for number, steps in found.steps.items():
        assert steps / found.validate_every == pytest.approx(config.stages[number].steps / 200, rel=0.01)


def test_too_little_time_is_refused(make, cache, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(pacing, "trial", lambda *given: SLOW)
    log = RunLog(tmp_path)
    with refused(InvalidValue) as fault:
        measured_steps(Run(cache, make.config(), tmp_path, tmp_path / "out.pt", log, minutes=0.001), [1, 2, 3])
    log.close()
    assert "--minutes" in fault.value.problem and not (tmp_path / PACE_NAME).exists()


@pytest.mark.parametrize("number", STAGES)
def test_a_trial_measures_a_stage_and_leaves_nothing(make, cache, tmp_path, number):
    log = RunLog(tmp_path / "run")
    cost = pacing.trial(Run(cache, make.config(), tmp_path / "run", tmp_path / "out.pt", log), number, 0.0)
    log.close()
    assert min(cost.step, cost.validation, cost.end) > 0 <= cost.begin
    assert not list((tmp_path / "run").glob("*.pt")) and not read_log(tmp_path / "run")


@pytest.fixture
def go(cache, make, tmp_path, monkeypatch):
    """A function that trains up to a stage in so many minutes, or by a config; returns the folder and what was said.

    All stages cost what `SLOW` says, so that few steps fit.
    """
    monkeypatch.setattr(pacing, "trial", lambda *given: SLOW)

    def run(name: str, last: int = 3, minutes: float | None = None, config=None, force: bool = False, said=None):
        said = [] if said is None else said
        log = RunLog(tmp_path / name, note=said.append)
        config = config or make.config("precision=float32")
        try:
            out = tmp_path / "out.pt"
            Run(cache, config, tmp_path / name, out, log, last=last, force=force, minutes=minutes).train()
        finally:
            log.close()
        return tmp_path / name, said

    return run


def fixed(folder) -> dict[int, int]:
    """The steps in the latest entry of a run's file."""
    *_, latest = json.loads((folder / PACE_NAME).read_text()).values()
    return {int(number): steps for number, steps in latest["steps"].items()}


def test_a_run_of_minutes_is_the_run_of_its_steps(go, make):
    """To the bit; and the same wish again takes the same steps, however long steps take now."""
    folder, _ = go("timed", minutes=MINUTES)
    steps = fixed(folder)
    assert steps.keys() == STAGES.keys() and set(steps.values()) == {3}
    values = load_checkpoint(stage_path(folder, 3)).config
    assert {n: values[f"stage{n}"]["steps"] for n in steps} == steps
    sets = [f"stage{n}.steps={count}" for n, count in steps.items()]
    config = make.config("precision=float32", *sets, f"validate_every={values['validate_every']}")
    by_hand, _ = go("by hand", config=config)
    for number in STAGES:
        assert stage_path(folder, number).read_bytes() == stage_path(by_hand, number).read_bytes()
    assert (folder / LOG_NAME).read_bytes() == (by_hand / LOG_NAME).read_bytes()
    before = stage_path(folder, 3).read_bytes()
    _, said = go("timed", minutes=MINUTES)
    assert any("as they were fixed" in line for line in said) and stage_path(folder, 3).read_bytes() == before


def test_a_stopped_run_goes_on_with_the_steps_that_were_fixed(go, monkeypatch):
    real = Trainer.log_step

    def die(trainer, losses):
        real(trainer, losses)
        if trainer.stage.number == 2 and trainer.step == 2 and "trial" not in trainer.path.name:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "log_step", die)
    with pytest.raises(KeyboardInterrupt):
        go("run", minutes=MINUTES)
    monkeypatch.setattr(Trainer, "log_step", real)
    monkeypatch.setattr(pacing, "trial", lambda *given: pytest.fail("the steps are fixed already"))
    folder, _ = go("run", minutes=MINUTES)
    assert {n: load_checkpoint(stage_path(folder, n)).steps for n in STAGES} == fixed(folder)


def test_finished_stages_take_no_time_of_the_others(go, refused):
    folder, _ = go("run", last=1, minutes=0.5)
    first = fixed(folder)
    go("run", last=2, minutes=0.6)
    assert fixed(folder).keys() == {2}
    assert load_checkpoint(stage_path(folder, 1)).steps == first[1]
    _, said = go("run", last=1, minutes=0.5)
    assert any("as they were fixed" in line for line in said), "an earlier wish is remembered"
    said.clear()
    with refused(Mismatch, stage_path(folder, 1)):
        go("run", last=1, minutes=0.4, said=said)
    assert any("0.5 minutes, stage 1" in line and "0.6 minutes, stage 2" in line for line in said)


def test_force_fixes_the_last_stage_anew(go, make):
    config = make.config("stage1.steps=0")
    go("run", last=2, minutes=0.5, config=config)
    folder, _ = go("run", last=2, minutes=0.5, config=config, force=True)
    assert fixed(folder).keys() == {2}
    assert load_checkpoint(stage_path(folder, 2)).steps == fixed(folder)[2]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"a": {"steps": {"x": 1}, "validate_every": 1}}'])
def test_a_file_that_says_nothing_is_as_good_as_none(tmp_path, content):
    (tmp_path / PACE_NAME).write_text(content)
    assert pacing.read_paces(tmp_path / PACE_NAME) == {}


@pytest.mark.parametrize("change", ["seed=1", "stage1.steps=5", "data.batch_size=8"])
def test_another_config_is_another_wish(cache, make, change):
    assert pacing.fingerprint(make.config(), cache) != pacing.fingerprint(make.config(change), cache)
    config = make.config()
    other = replace(config, data=replace(config.data, workers=3))
    assert pacing.fingerprint(config, cache) == pacing.fingerprint(other, cache), "which changes no result"
