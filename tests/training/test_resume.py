"""Killed at any moment and started again: the result is that of an uninterrupted run, to the last bit."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from scoresep.cache.reader import Cache
from scoresep.errors import WrongFormat
from scoresep.models import checkpoint as checkpoints
from scoresep.models import storage
from scoresep.models.checkpoint import load_checkpoint, previous
from scoresep.training import trainer as trainer_module
from scoresep.training.config import Config
from scoresep.training.config_files import load_config
from scoresep.training.log import LOG_NAME, RunLog
from scoresep.training.run import Run, stage_path
from scoresep.training.trainer import Trainer

pytestmark = pytest.mark.robustness

TINY = ("network.channels=8", "network.hidden=16", "network.blocks=2", "data.clip_frames=32", "data.batch_size=4")
CONFIG = ("stage1.keep=best", "validate_every=2", "stage1.steps=5", "stage2.steps=5", "stage3.steps=5")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(stage: int, step: int) -> None:
    """Die after a step is recorded, before it is validated or saved."""
    real = Trainer.log_step

    def log_step(trainer, losses):
        real(trainer, losses)
        if (trainer.stage.number, trainer.step) == (stage, step):
            kill()

    Trainer.log_step = log_step


def within_save(stage: int, step: int, *, complete: bool = False) -> None:
    """Die in the middle of writing a checkpoint."""
    real = storage.write

    def write(path, version, content):
        real(path, version, content)
        if (content["stage"], content["steps"], content["complete"]) == (stage, step, complete):
            os.truncate(path, path.stat().st_size // 2)
            kill()

    storage.write = write


def between_moves(stage: int, step: int) -> None:
    """Die when the last checkpoint has become the one before, and the new one is not in its place yet."""
    real = checkpoints.save_checkpoint

    def save(path, checkpoint, **how):
        if (checkpoint.stage, checkpoint.steps) == (stage, step):
            move = Path.replace
            Path.replace = lambda self, target: (move(self, target), kill())[0]
        real(path, checkpoint, **how)

    trainer_module.save_checkpoint = save


def within_tuning() -> None:
    """Die at the end of a stage, when its thresholds are tuned and its finished checkpoint is not written yet."""
    real = Trainer.tune

    def tune(trainer):
        real(trainer)
        kill()

    Trainer.tune = tune


DEATHS: dict[str, Callable[[], None]] = {
    "before the first checkpoint": lambda: at_step(1, 1),
    "where a validation is due": lambda: at_step(1, 2),
    "while a checkpoint is written": lambda: within_save(1, 4),
    "while thresholds are tuned": within_tuning,
    "while a finished checkpoint is written": lambda: within_save(1, 5, complete=True),
    "in stage 2": lambda: at_step(2, 3),
    "between the moves of checkpoints": lambda: between_moves(2, 4),
    "at the last step of stage 2": lambda: at_step(2, 5),
    "in stage 3": lambda: at_step(3, 3),
    "while stage 3 is saved": lambda: within_save(3, 5),
}


def trained(index: Path, config: Config, folder: Path, death: Callable[[], None] = lambda: None) -> int | None:
    """Train three stages in a process of its own, prepared to die; returns its exit code."""

    def body() -> None:
        death()
        log = RunLog(folder)
        Run(Cache(index), config, folder, folder.with_name("out.pt"), log).train()
        log.close()
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    process.join(120)
    return process.exitcode


@pytest.fixture
def start(prepared, make):
    """A function that trains in a folder, prepared to die; returns the exit code."""
    return partial(trained, prepared, make.config(*CONFIG))


@pytest.fixture(scope="module")
def whole(prepared, make, tmp_path_factory) -> Path:
    """The folder of a run that nothing disturbed. Read only."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert trained(prepared, make.config(*CONFIG), folder) == 0
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    """All that a run leaves: both checkpoints of each stage, optimisers and history included, and the log."""
    files = {path.name: path for n in (1, 2, 3) for path in (stage_path(folder, n), previous(stage_path(folder, n)))}
    return {**{name: path.read_bytes() for name, path in files.items()}, LOG_NAME: (folder / LOG_NAME).read_bytes()}


def test_killed_again_and_again_ends_as_if_never_killed(start, whole, tmp_path):
    for name, death in DEATHS.items():
        assert start(tmp_path / "killed", death) == -signal.SIGKILL, name
    assert start(tmp_path / "killed") == 0
    assert everything(tmp_path / "killed") == everything(whole)
    last = load_checkpoint(previous(stage_path(whole, 3)))
    assert last.steps == 5 and last.resume["optimisers"].keys() == {"separator", "transcriptor"}
    assert not list((tmp_path / "killed").glob(".*")), "no half-written file is left"


def test_a_damaged_checkpoint_is_skipped_for_the_one_before(start, whole, tmp_path):
    """Of the finished stage 1 and of an unfinished stage 3."""
    assert start(tmp_path / "run", lambda: at_step(3, 5)) == -signal.SIGKILL
    for number in (1, 3):
        path = stage_path(tmp_path / "run", number)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        said: list[str] = []
        found = checkpoints.load_newest(path, said.append)
        assert (found.stage, found.complete) == (number, False)
        (line,) = said
        assert str(path) in line and str(previous(path)) in line and "\n" not in line
        assert path.with_suffix(".damaged.pt").exists() and not path.exists()
    assert start(tmp_path / "run") == 0
    assert everything(tmp_path / "run") == everything(whole)


def test_the_command_line_goes_on_after_kill_9(prepared, make, tmp_path):
    """A real command, killed from outside as soon as its log shows step 10 of stage 1, then run again."""
    settings = [*TINY, "validate_every=4", "stage1.steps=20"]
    sets = [word for setting in settings for word in ("--set", setting)]
    line = [sys.executable, "-m", "scoresep", "train", "--stage", "1", "--config", "mini", "--cache", str(prepared)]
    line += [*sets, "--run", str(tmp_path / "run"), "--out", str(tmp_path / "out.pt")]

    def alone() -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # threads that wait for one another are slow

    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, preexec_fn=alone)
    log = tmp_path / "run" / LOG_NAME
    deadline = time.monotonic() + 100
    while not (log.exists() and '"step": 10' in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    again = subprocess.run(line, capture_output=True, text=True, check=True, preexec_fn=alone)
    assert "stage 1: goes on after step" in again.stdout

    log = RunLog(tmp_path / "whole")
    Run(Cache(prepared), load_config("mini", settings), log.folder, tmp_path / "out.pt", log, last=1).train()
    log.close()
    for name in ("stage1.pt", LOG_NAME):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_where_both_are_damaged_the_file_is_named(start, tmp_path, refused):
    assert start(tmp_path / "run", lambda: at_step(1, 5)) == -signal.SIGKILL
    path = stage_path(tmp_path / "run", 1)
    for file in (path, previous(path)):
        file.write_bytes(b"PK")
    with refused(WrongFormat, previous(path)):
        checkpoints.load_newest(path, print)
    assert path.exists(), "nothing is put aside where nothing takes its place"


def test_a_training_anew_forgets_the_checkpoint_before(whole, prepared, make, tmp_path):
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    log = RunLog(folder)
    config = make.config(*CONFIG, "stage3.steps=1")
    Run(Cache(prepared), config, folder, tmp_path / "o.pt", log, force=True).train()
    log.close()
    assert load_checkpoint(stage_path(folder, 3)).steps == load_checkpoint(previous(stage_path(folder, 3))).steps == 1
