"""Commands as users type them, in an empty working folder; and what all refusals have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from scoresep.cache.reader import Cache
from scoresep.training.log import RunLog
from scoresep.training.run import Run


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, which is the home folder too, without SLAKH_ROOT."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SLAKH_ROOT", raising=False)
    return tmp_path


@pytest.fixture
def command(here: Path, command: Callable[[str], tuple[int, str, str]]) -> Callable[[str], Ended]:
    """A function that runs a line within this process, which saves importing torch for each."""
    return lambda line: Ended(*command(line))


Refuses = Callable[..., None]


@pytest.fixture
def refuses() -> Refuses:
    """See that a command failed with one line on standard error, which names things and, by default, a remedy."""

    def check(ended: Ended, *names: str, remedy: bool = True) -> None:
        assert ended.status == 2, ended
        lines = ended.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), ended.err
        assert all(name in lines[0] for name in names), lines[0]
        assert "; " in lines[0] or not remedy, f"no remedy: {lines[0]}"
        assert "Traceback" not in ended.out

    return check


@pytest.fixture
def rejects() -> Refuses:
    """See that the command line itself refused the value of an option, and said which are known."""

    def check(ended: Ended, option: str, *choices: str) -> None:
        assert (ended.status, ended.out) == (2, ""), ended
        assert "Usage:" in ended.err and option in ended.err and "Traceback" not in ended.err
        assert all(choice in ended.err for choice in choices)

    return check


@pytest.fixture(scope="session")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory, make) -> Path:
    """A checkpoint of stage 3 on the cache."""
    folder = tmp_path_factory.mktemp("trained")
    log = RunLog(folder / "run")
    config = make.config("stage1.steps=2", "stage2.steps=2", "stage3.steps=2")
    Run(Cache(prepared), config, folder / "run", folder / "ckpt.pt", log).train()
    log.close()
    return folder / "ckpt.pt"


@pytest.fixture
def music(here: Path) -> Path:
    """A folder of three songs in it and below it, one file that is broken and one that is no audio; returns it."""
    folder = here / "music"
    (folder / "album").mkdir(parents=True)
    samples = np.random.default_rng(0).normal(0, 0.1, (4000, 2))
    for name in ("one.wav", "two.mp3", "album/three.flac", "album/.hidden.wav"):
        soundfile.write(folder / name, samples, 16000)
    (folder / "broken.ogg").write_text("hello")
    (folder / "cover.txt").write_text("not meant")
    return folder
