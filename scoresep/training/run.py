"""A training run: the stages in order, each from its checkpoint if there is one."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from scoresep.cache.reader import Cache
from scoresep.cache.schema import difference
from scoresep.errors import ScoresepError
from scoresep.files import replacing
from scoresep.losses.table import LOSSES
from scoresep.models.checkpoint import Checkpoint, load_checkpoint, load_newest, previous
from scoresep.models.model import Model, identity
from scoresep.training.checks import check_resident, check_run, check_stages
from scoresep.training.config import Config
from scoresep.training.config_files import overlay
from scoresep.training.distributed import ALONE, Ranks
from scoresep.training.log import RunLog
from scoresep.training.stages import STAGES, SUPERVISIONS, Stage
from scoresep.training.state import Session, restore, save
from scoresep.training.trainer import train_stage

CPU_CONFIG, GPU_CONFIG = "mini", "paper"


class Stopped(Exception):
    """The user asked to stop; everything is saved."""


def default_config(device: torch.device) -> str:
    """Name of the config used when none is given."""
    return GPU_CONFIG if device.type == "cuda" else CPU_CONFIG


def train(
    cache: Cache,
    last: int,
    config: Config,
    device: torch.device,
    folder: Path,
    out: Path,
    log: RunLog,
    force: bool,
    resident: str = "",
    ranks: Ranks = ALONE,
    plan: Callable[[Config, bool], Config] = lambda config, measure: config,
) -> Checkpoint:
    """Train stages up to `last` and copy the last one's checkpoint to `out`.

    `resident` says where the training split is held (`stream.RESIDENT`), `ranks` who trains along; the first rank alone
    reads and writes checkpoints. `plan` may fix the config's numbers of steps (`pace.paced`): as they were fixed before
    at first, by looking how long steps take when all else is known to be right.

    Stages before it are trained only where their checkpoints are missing from `folder`; the last one is left as it is
    if it was trained with the same settings.

    Raises:
        ScoresepError: a checkpoint in `folder` belongs to other data or settings, or training failed.
        Stopped: the user interrupted; the run goes on from `folder` with the same command.
    """
    checkpoint: Checkpoint | None = None
    parent = ""
    ranks.from_first(lambda: tidy(folder))
    given = config
    config = plan(given, False)
    there = find_stages(cache, last, config, folder, log.note, force, ranks)
    left = [number for number in range(1, last + 1) if not (there[number] and there[number].complete)]
    check_stages(cache, left, config, ranks)
    kept = [stage_path(folder, number) for number in range(1, last)]
    if resident:
        check_resident(cache, left, config, device if resident == "device" else torch.device("cpu"))
    ranks.from_first(lambda: check_run(cache, left, config, out, kept, log.note))
    if left:
        config = plan(given, True)
    with stop_signals() as stopped:
        for number in range(1, last + 1):
            stage, path, found = STAGES[number], stage_path(folder, number), there[number]
            check_parent(found, parent, path)
            if found and found.complete:
                log.note(f"stage {number}: {path} is there")
                checkpoint, parent = found, identity(found.model)
                continue
            if number < last:
                log.note(f"stage {number}: {path} is missing or not finished, so it is trained first")
            session = begin(stage, path, found, checkpoint, cache, config, device, log, ranks)
            session.stopped, session.parent, session.resident = stopped, parent, resident
            if not train_stage(session):
                raise Stopped(f"stopped after {session.step} of {session.settings.steps} steps of stage {number}")
            checkpoint = ranks.from_first(lambda session=session: end(session))
            parent = identity(checkpoint.model)
    assert checkpoint is not None
    ranks.from_first(lambda: publish(stage_path(folder, last), out))
    return checkpoint


def publish(path: Path, out: Path) -> None:
    """Copy a finished checkpoint to where the user wants it."""
    with replacing(out) as temporary:
        shutil.copyfile(path, temporary)


def stage_path(folder: Path, number: int) -> Path:
    """Checkpoint of a stage in a run's folder."""
    return folder / f"stage{number}.pt"


def tidy(folder: Path) -> None:
    """Remove half-written files that a killed run left behind."""
    for leftover in folder.glob(".*.tmp.*"):
        leftover.unlink(missing_ok=True)


def find_stages(
    cache: Cache,
    last: int,
    config: Config,
    folder: Path,
    note: Callable[[str], None],
    force: bool,
    ranks: Ranks,
) -> dict[int, Checkpoint | None]:
    """The checkpoint of each stage up to `last`, None where there is none or, by `force`, the last is not wanted.

    Raises:
        ScoresepError: one is of other data, networks or, where it is to be gone on from, settings.
    """
    there: dict[int, Checkpoint | None] = {}
    for number in range(1, last + 1):
        stage, path = STAGES[number], stage_path(folder, number)
        there[number] = found = (
            None if force and number == last else find_stage(stage, path, cache, config, note, ranks)
        )
        if found and (number == last or not found.complete):
            check_settings(found, config, stage, path, may_force=number == last)
    return there


def find_stage(
    stage: Stage, path: Path, cache: Cache, config: Config, note: Callable[[str], None], ranks: Ranks
) -> Checkpoint | None:
    """The checkpoint of a stage, or None if there is none; refuses one of other data or networks."""
    found = ranks.from_first(lambda: load_newest(path, note))
    if found is None:
        return None
    if found.cache_digest != cache.digest:
        raise ScoresepError(f"{path} was trained on another cache ({found.cache}); give another --run")
    model = found.model
    wanted = {**config.architecture.to_dict(), "mask": config.mask, "critic": SUPERVISIONS[config.supervision].critic}
    there = {**model.architecture.to_dict(), "mask": model.mask, "critic": model.critic}
    if "separator" not in stage.players:  # so it has learnt nothing, and any other may take its place
        del wanted["separator"], there["separator"]
    if changed := difference(there, wanted):
        raise ScoresepError(f"{path} holds networks of another kind: {changed}; give another --run")
    return found


def check_parent(found: Checkpoint | None, parent: str, path: Path) -> None:
    """Refuse a checkpoint that did not begin from the stage before it, whose model has the identity `parent`."""
    if found and found.parent != parent:
        raise ScoresepError(f"{path} began from another stage before it; delete it or give another --run")


def check_settings(found: Checkpoint, config: Config, stage: Stage, path: Path, *, may_force: bool) -> None:
    """Refuse a stage that was trained with other settings than those asked for; `--force` is for the last one alone."""
    if changed := difference(relevant(found.config, stage), relevant(config.to_dict(), stage)):
        remedy = "give another --run, or --force" if may_force else f"give another --run, or delete {path}"
        raise ScoresepError(f"{path} was trained with other settings: {changed}; {remedy}")


def relevant(config: dict[str, Any], stage: Stage) -> dict[str, Any]:
    """The settings that decide what comes out of a stage, given what went in.

    The supervision decides on stage 1 by the kind of its critic alone, so rows with the same critic share it.
    """
    config = overlay(Config().to_dict(), config)  # one of before there was a setting had what is now its default
    own = f"stage{stage.number}"
    ignored = {f"stage{number}" for number in STAGES} - {own}
    row = SUPERVISIONS[config["supervision"]]
    if stage.number == 1 or row.stems != "some":
        ignored.add("stems_fraction")
    kept = {name: value for name, value in config.items() if name not in ignored}
    for player in LOSSES:  # a loss that is off is as good as one that there was not
        kept[own][player] = {name: weight for name, weight in kept[own][player].items() if weight}
    if stage.number == 1:
        kept["supervision"] = row.critic
        del kept["separator"]
    return {**kept, "data": {name: value for name, value in kept["data"].items() if name != "workers"}}


def begin(
    stage: Stage,
    path: Path,
    found: Checkpoint | None,
    before: Checkpoint | None,
    cache: Cache,
    config: Config,
    device: torch.device,
    log: RunLog,
    ranks: Ranks,
) -> Session:
    """A session that goes on from `found`, else starts from the stage before, else from fresh weights."""
    if found and not found.complete:
        session = Session(stage, config, found.model.to(device), cache, path, log, ranks=ranks)
        restore(session, found)
        log.note(f"stage {stage.number}: goes on after step {session.step}")
    else:
        ranks.from_first(lambda: previous(path).unlink(missing_ok=True))  # of a training that this one replaces
        model = starting_model(stage, before, cache, config).to(device)
        session = Session(stage, config, model, cache, path, log, ranks=ranks)
    log.rewind(stage.number, session.step)
    return session


def starting_model(stage: Stage, before: Checkpoint | None, cache: Cache, config: Config) -> Model:
    """The model that a stage starts from."""
    torch.manual_seed(config.seed)
    if before is not None and stage.number > 2:
        return before.model
    critic = SUPERVISIONS[config.supervision].critic
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask, critic)
    if before is not None:
        model.transcriptor.load_state_dict(before.model.transcriptor.state_dict())
        model.threshold, model.onset_threshold = before.model.threshold, before.model.onset_threshold
        if config.share_trunk:
            config.architecture.inherit(model.separator, model.transcriptor)
    return model


def end(session: Session) -> Checkpoint:
    """Take the best weights if asked for, tune thresholds on validation scores, write the finished checkpoint."""
    from scoresep.transcription.thresholds import tune_thresholds

    for player, weights in session.best.get("networks", {}).items():
        session.model.networks[player].load_state_dict(weights)
    session.model.eval()
    notes = session.model.transcribes and "transcriptor" in session.stage.players
    if notes and len(session.cache.rows("validation")):
        tune_thresholds(session.model, session.cache, split="validation")
    save(session, complete=True)
    return load_checkpoint(session.path)


@contextmanager
def stop_signals() -> Iterator[Any]:
    """Turn the first Ctrl-C or SIGTERM into a wish to stop after the current step; a second one stops at once."""
    wished: list[int] = []

    def wish(number: int, frame: FrameType | None) -> None:
        if wished:
            raise KeyboardInterrupt
        wished.append(number)

    try:
        before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller's own business
        before = {}
    try:
        yield lambda: bool(wished)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
