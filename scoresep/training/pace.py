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
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.files import write_json
from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model
from scoresep.training.config import Config
from scoresep.training.distributed import ALONE, Ranks
from scoresep.training.log import NoLog, RunLog
from scoresep.training.stages import STAGES
from scoresep.training.state import Session, save
from scoresep.training.supervision import SUPERVISIONS
from scoresep.training.trainer import train_stage, validate

PACE_NAME = "pace.json"
"""In the folder of a run: the numbers that were fixed, what for, and what was measured."""
WARM_STEPS, LEAST_STEPS, MOST_STEPS = 3, 3, 40
"""Of a trial: what compiles and warms up is not counted; then so many at least, and at most."""
TRIAL = 0.02
"""Share of the time that the steps of a trial take, at most, once there are `LEAST_STEPS`."""
CHECKS = 0.1
"""Share of the time that validations and their checkpoints take at most; where it is less, they are as many as the
config has."""
SPARE = 0.03
"""Share of the time that is kept for what a forecast does not know."""
TUNED_TRACKS = 2
"""Tracks whose thresholds are tuned in a trial, in place of the whole validation split."""
LEARNT = 3.0
"""Times as long takes tuning with a network that has learnt and finds notes, each decoded again and again."""


@dataclass(frozen=True)
class Cost:
    """Seconds that a stage takes.

    Attributes:
        begin: until steps take their usual time: networks, data that are held in memory, compiling.
        step: a step.
        check: a validation and its checkpoint.
        end: tuning thresholds, the finished checkpoint.
    """

    begin: float
    step: float
    check: float
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

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Pace:
        """From plain values as `asdict` and JSON have them."""
        return cls({int(n): int(count) for n, count in values["steps"].items()}, int(values["validate_every"]))

    def applied(self, config: Config) -> Config:
        """The config with these numbers."""
        stages = {f"stage{n}": replace(config.stages[n], steps=count) for n, count in self.steps.items()}
        return replace(config, validate_every=self.validate_every, **stages)


@dataclass(frozen=True)
class Wish:
    """What `--minutes` asks for.

    Attributes:
        minutes: in which stages up to `last` are to end.
        began: when they began to count, by `time.monotonic`.
        last: the stage to end with.
        force: whether that one is trained anew.
        resident: as for a session.
    """

    minutes: float
    began: float
    last: int
    force: bool = False
    resident: str = ""


def paced(
    config: Config,
    measure: bool,
    wish: Wish,
    cache: Cache,
    device: torch.device,
    folder: Path,
    log: RunLog,
    ranks: Ranks = ALONE,
) -> Config:
    """The config with as many steps as the time allows: those written down in `folder` for this wish, else new ones.

    Where they are not written down, and are not to be measured yet, it is the config as it is.
    Stages that lie finished in `folder` and are not the last one take no time and keep the config's steps.

    Raises:
        ScoresepError: the time is too short for a step of every stage.
    """
    path, name = folder / PACE_NAME, f"{wish.minutes:g} minutes, stage {wish.last}, {fingerprint(config, cache)}"
    plans = ranks.from_first(lambda: written(path))
    if name in plans and not wish.force:
        found = Pace.of(plans[name])
        if not measure:
            log.note(f"{path}: {words(found)}, as they were fixed")
        return found.applied(config)
    if not measure:
        if plans and not wish.force:
            others = " and ".join(dict.fromkeys(each.rpartition(",")[0] for each in plans))
            log.note(f"{path} has numbers of steps for {others}, none for these minutes, settings and this cache")
        return config
    numbers = ranks.from_first(lambda: unfinished(folder, wish.last))
    numbers = [number for number in numbers if config.stages[number].steps]
    if not numbers:
        return config
    seconds = 60.0 * wish.minutes
    costs = {n: trial(n, config, cache, device, wish.resident, TRIAL * seconds, ranks) for n in numbers}
    left = seconds - (time.monotonic() - wish.began)
    pace = ranks.from_first(lambda: plan(config, costs, left))
    if ranks.first:
        measured = {number: asdict(cost) for number, cost in costs.items()}
        write_json(path, {**plans, name: {**asdict(pace), "seconds": measured}})
    log.note(f"{wish.minutes:g} minutes: {words(pace)}")
    return pace.applied(config)


def words(pace: Pace) -> str:
    """The numbers in a line."""
    return ", ".join(f"{count} steps of stage {number}" for number, count in pace.steps.items())


def plan(config: Config, costs: Mapping[int, Cost], seconds: float) -> Pace:
    """Steps of the stages of `costs` that end in `seconds`, in the proportions of the config's.

    Raises:
        ScoresepError: a stage would have no step.
    """
    wanted = {number: config.stages[number].steps for number in costs}
    left = (1 - SPARE) * seconds - sum(cost.begin + cost.end for cost in costs.values())
    checking = sum(wanted[n] * cost.check for n, cost in costs.items())
    every = max(config.validate_every, checking / max(CHECKS * left, 1e-9))  # in steps of the config
    working = left - sum(math.ceil(wanted[n] / every) * cost.check for n, cost in costs.items())
    scale = working / sum(wanted[n] * cost.step for n, cost in costs.items())
    if scale * min(wanted.values()) < 1:
        least = sum(cost.begin + cost.end + cost.check + cost.step for cost in costs.values())
        raise ScoresepError(
            f"--minutes: a step of every stage, with beginnings, validations and ends, takes {least:.1f} s, and "
            f"{max(seconds, 0.0):.1f} s are left; give more minutes, or a smaller config"
        )
    return Pace({n: int(scale * count) for n, count in wanted.items()}, max(1, round(scale * every)))


def trial(
    number: int, config: Config, cache: Cache, device: torch.device, resident: str, seconds: float, ranks: Ranks
) -> Cost:
    """What a stage costs: some steps of about so many seconds on networks that are thrown away."""
    steps = replace(config.stages[number], steps=WARM_STEPS + MOST_STEPS + 1)
    tried = replace(config, validate_every=steps.steps + 1, **{f"stage{number}": steps})
    times = [time.monotonic()]
    critic = SUPERVISIONS[config.supervision].critic
    with tempfile.TemporaryDirectory() as folder:
        log = RunLog(Path(folder)) if ranks.first else NoLog()
        log.progress = lambda *_: times.append(time.monotonic())
        model = Model(cache.grid, cache.instruments, config.architecture, config.mask, critic).to(device)
        path = Path(folder) / "trial.pt"
        session = Session(STAGES[number], tried, model, cache, path, log, resident=resident, ranks=ranks)
        session.stopped = lambda: enough(times, seconds)
        train_stage(session)
        warm, counted = times[WARM_STEPS], len(times) - 1 - WARM_STEPS
        step = (times[-1] - warm) / counted
        checks = [timed(lambda: (validate(session), save(session, complete=False))) for _ in range(2)]
        end = timed(lambda: save(session, complete=True)) + ranks.from_first(lambda: tuning(session))
        log.close()
    return Cost(max(0.0, warm - times[0] - WARM_STEPS * step), step, checks[-1], end)


def enough(times: list[float], seconds: float) -> bool:
    """Whether a trial has made its steps; `times` are those at which they ended, after its beginning."""
    counted = len(times) - 1 - WARM_STEPS
    return counted >= MOST_STEPS or (counted >= LEAST_STEPS and times[-1] - times[WARM_STEPS] > seconds)


def tuning(session: Session) -> float:
    """Seconds in which a finished stage's thresholds are tuned, from those of a few tracks."""
    from scoresep.transcription.thresholds import tune_thresholds

    model, cache = session.model, session.cache
    rows = cache.rows("validation")
    if not (model.transcribes and "transcriptor" in session.stage.players and len(rows)):
        return 0.0
    frames = cache.tracks["frames"].astype(np.int64)[rows]
    model.eval()
    took = timed(lambda: tune_thresholds(model, cache, "validation", tracks=TUNED_TRACKS))
    return LEARNT * took * float(frames.sum() / frames[:TUNED_TRACKS].sum())


def timed(work: Any) -> float:
    """Seconds of a call."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def unfinished(folder: Path, last: int) -> list[int]:
    """Stages up to `last` that will be trained."""
    return [number for number in range(1, last + 1) if number == last or not finished(folder / f"stage{number}.pt")]


def finished(path: Path) -> bool:
    """Whether a stage's checkpoint is there and complete; what is wrong with it, if anything, training will say."""
    try:
        return path.exists() and load_checkpoint(path).complete
    except ScoresepError:
        return False


def fingerprint(config: Config, cache: Cache) -> str:
    """Identity of what is to be trained on what."""
    values = config.to_dict()
    values["data"] = {name: value for name, value in values["data"].items() if name != "workers"}
    return hashlib.sha256(f"{json.dumps(values, sort_keys=True)} {cache.digest}".encode()).hexdigest()[:16]


def written(path: Path) -> dict[str, Any]:
    """What was fixed in a folder, by what for; nothing where there is no such file, or none that was written here."""
    try:
        values = json.loads(path.read_text("utf-8"))
        return {name: value for name, value in values.items() if Pace.of(value)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
