"""As many steps as fit into some minutes, for `scoresep train --minutes`.

The stages keep the proportions of the config's own steps. Each stage that is to be trained is tried for a moment, on
networks that are thrown away: how long its beginning, a step, a validation with its checkpoint and its end take. Then
the numbers of steps and of steps between validations are fixed and written down (`PACE_NAME`): the run is that of the
same config with these numbers, to the bit, and goes on with them after a stop (docs/explanation/training.md).
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scoresep.cache.reader import Cache
from scoresep.errors import InvalidValue
from scoresep.files import write_json
from scoresep.training.config import Config
from scoresep.training.log import RunLog
from scoresep.training.stages import STAGES
from scoresep.training.trainer import Trainer

if TYPE_CHECKING:
    from scoresep.training.run import Run

PACE_NAME = "pace.json"
"""In the folder of a run: the numbers that were fixed, what for, and what was measured."""
WARM_STEPS, LEAST_STEPS, MOST_STEPS = 3, 3, 40
"""Of a trial: what compiles and warms up is not counted; then so many at least, and at most."""
TRIAL_SHARE = 0.02
"""Share of the time that the steps of a trial take, at most, once there are `LEAST_STEPS`."""
VALIDATION_SHARE = 0.1
"""Share of the time that validations and their checkpoints take at most; where it is less, they are as many as the
config has."""
SPARE_SHARE = 0.03
"""Share of the time that is kept for what a forecast does not know."""
TUNED_TRACKS = 2
"""Tracks whose thresholds are tuned in a trial, in place of the whole validation split."""
TUNING_FACTOR = 3.0
"""Times as long takes tuning with a network that has learnt and finds notes, each decoded again and again."""


@dataclass(frozen=True)
class Cost:
    """Seconds that a stage takes.

    Attributes:
        begin: until steps take their usual time: networks, data that are held in memory, compiling.
        step: a step.
        validation: a validation and its checkpoint.
        end: tuning thresholds, the finished checkpoint.
    """

    begin: float
    step: float
    validation: float
    end: float


@dataclass(frozen=True)
class Pace:
    """What was fixed.

    Attributes:
        steps: of the stages that were planned, by number.
        validate_every: steps between validations, of all of them.
    """

    steps: dict[int, int]
    validate_every: int

    def __str__(self) -> str:
        return ", ".join(f"{count} steps of stage {number}" for number, count in self.steps.items())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Pace:
        """From plain values as `asdict` and JSON have them."""
        return cls({int(n): int(count) for n, count in values["steps"].items()}, int(values["validate_every"]))

    def applied(self, config: Config) -> Config:
        """The config with these numbers."""
        stages: Any = {f"stage{n}": replace(config.stages[n], steps=count) for n, count in self.steps.items()}
        return replace(config, validate_every=self.validate_every, **stages)


def recorded_steps(run: Run) -> Config | None:
    """The run's config with the steps that were fixed for it in its folder before; None where there are none.

    A run that trains its last stage anew has its steps fixed anew.
    """
    path = run.folder / PACE_NAME
    recorded = run.world.from_first(lambda: read_paces(path))
    if run.force:
        return None
    if purpose(run) in recorded:
        pace = Pace.from_dict(recorded[purpose(run)])
        run.log.note(f"{path}: {pace}, as they were fixed")
        return pace.applied(run.config)
    if recorded:
        others = " and ".join(dict.fromkeys(each.rpartition(",")[0] for each in recorded))
        run.log.note(f"{path} has numbers of steps for {others}, none for these minutes, settings and this cache")
    return None


def measured_steps(run: Run, numbers: Sequence[int]) -> Config:
    """The run's config with as many steps of the stages `numbers` as its minutes allow, written down in its folder.

    The others take no time and keep the config's steps.

    Raises:
        InvalidValue: the time is too short for a step of every stage.
    """
    assert run.minutes is not None
    seconds = 60.0 * run.minutes
    costs = {n: trial(run, n, TRIAL_SHARE * seconds) for n in numbers if run.config.stages[n].steps}
    if not costs:
        return run.config
    left = seconds - (time.monotonic() - run.began)
    pace = run.world.from_first(lambda: plan(run.config, costs, left))
    if run.world.is_first:
        path, measured = run.folder / PACE_NAME, {number: asdict(cost) for number, cost in costs.items()}
        write_json(path, {**read_paces(path), purpose(run): {**asdict(pace), "seconds": measured}})
    run.log.note(f"{run.minutes:g} minutes: {pace}")
    return pace.applied(run.config)


def plan(config: Config, costs: Mapping[int, Cost], seconds: float) -> Pace:
    """Steps of the stages of `costs` that end in `seconds`, in the proportions of the config's.

    Raises:
        InvalidValue: a stage would have no step.
    """
    wanted = {number: config.stages[number].steps for number in costs}
    left = (1 - SPARE_SHARE) * seconds - sum(cost.begin + cost.end for cost in costs.values())
    validating = sum(wanted[n] * cost.validation for n, cost in costs.items())
    every = max(config.validate_every, validating / max(VALIDATION_SHARE * left, 1e-9))  # in steps of the config
    working = left - sum(math.ceil(wanted[n] / every) * cost.validation for n, cost in costs.items())
    scale = working / sum(wanted[n] * cost.step for n, cost in costs.items())
    if scale * min(wanted.values()) < 1:
        least = sum(cost.begin + cost.end + cost.validation + cost.step for cost in costs.values())
        raise InvalidValue(
            f"--minutes: a step of every stage, with beginnings, validations and ends, takes {least:.1f} s, and "
            f"{max(seconds, 0.0):.1f} s are left",
            remedy="give more minutes, or a smaller config",
        )
    return Pace({n: int(scale * count) for n, count in wanted.items()}, max(1, round(scale * every)))


def trial(run: Run, number: int, seconds: float) -> Cost:
    """What a stage costs: some steps of about so many seconds on networks that are thrown away."""
    settings = replace(run.config.stages[number], steps=WARM_STEPS + MOST_STEPS + 1)
    stages: Any = {f"stage{number}": settings}
    times = [time.monotonic()]  # when the trial began, and when its steps ended
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = RunLog(folder if run.world.is_first else None, progress=lambda *_: times.append(time.monotonic()))
        config = replace(run.config, validate_every=settings.steps + 1, **stages)
        trainer = replace(run, config=config, folder=folder, log=log).make_trainer(STAGES[number], folder / "trial.pt")
        trainer.stop_wanted = lambda: enough(times, seconds)
        trainer.train()
        warm = times[WARM_STEPS]
        step = (times[-1] - warm) / (len(times) - 1 - WARM_STEPS)
        validations = [timed(trainer.validate) + timed(lambda: trainer.save(complete=False)) for _ in range(2)]
        end = timed(lambda: trainer.save(complete=True)) + run.world.from_first(lambda: tuning_seconds(trainer))
        log.close()
    return Cost(max(0.0, warm - times[0] - WARM_STEPS * step), step, validations[-1], end)


def enough(times: list[float], seconds: float) -> bool:
    """Whether a trial has made its steps; `times` are those at which they ended, after its beginning."""
    counted = len(times) - 1 - WARM_STEPS
    return counted >= MOST_STEPS or (counted >= LEAST_STEPS and times[-1] - times[WARM_STEPS] > seconds)


def tuning_seconds(trainer: Trainer) -> float:
    """Seconds in which a finished stage's thresholds are tuned, from those of a few tracks."""
    frames = trainer.cache.tracks["frames"][trainer.cache.rows("validation")].astype(np.int64)
    trainer.model.eval()
    seconds = timed(lambda: trainer.tune(TUNED_TRACKS))
    return TUNING_FACTOR * seconds * float(frames.sum() / max(1, frames[:TUNED_TRACKS].sum()))


def timed(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def purpose(run: Run) -> str:
    """What numbers of steps are for: the minutes, the last stage and what is trained on what."""
    return f"{run.minutes:g} minutes, stage {run.last}, {fingerprint(run.config, run.cache)}"


def fingerprint(config: Config, cache: Cache) -> str:
    """Identity of what is to be trained on what."""
    values = config.to_dict()
    values["data"] = {name: value for name, value in values["data"].items() if name != "workers"}
    return hashlib.sha256(f"{json.dumps(values, sort_keys=True)} {cache.digest}".encode()).hexdigest()[:16]


def read_paces(path: Path) -> dict[str, Any]:
    """What was fixed in a folder, by its purpose; nothing where there is no such file, or none of ours."""
    try:
        values = json.loads(path.read_text("utf-8"))
        return {name: value for name, value in values.items() if Pace.from_dict(value)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
