"""Networks and losses of a package outside of the project, by entry points alone: those of the how-to pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"
FILES = [
    file
    for page in ("network.md", "loss.md")
    for file in re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", (HOW_TO / page).read_text("utf-8"), re.DOTALL)
]
"""Name and text of each file that the pages show."""
BLOCKS = {name: text for name, text in FILES if name != "pyproject.toml"}
POINTS = "".join(
    f"[{group}]\n{name} = {value}\n"
    for file, text in FILES
    if file == "pyproject.toml"
    for group, entries in tomllib.loads(text)["project"]["entry-points"].items()
    for name, value in entries.items()
)
TINY = ("transcriptor.channels=8", "transcriptor.hidden=16", "data.clip_frames=32", "data.batch_size=4")


@pytest.fixture
def outside(tmp_path):
    """A function that runs `scoresep` with a package installed beside it, whose entry points are given."""

    def run(*words: str | Path, points: str = POINTS) -> subprocess.CompletedProcess[str]:
        site = tmp_path / "site"
        info = site / "outside-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
        for name, text in BLOCKS.items():
            (site / name).write_text(text)
        path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-m", "scoresep", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.integration
def test_they_train_and_are_used_by_name(outside, cache, tmp_path):
    loss = tomllib.loads(BLOCKS["sparse.toml"])["stage2"]["separator"]
    settings = [*TINY, *(f"stage2.separator.{name}={weight}" for name, weight in loss.items())]
    tiny = [word for setting in settings for word in ("--set", setting)]
    line = ["train", "--stage", "2", "--cache", cache.path, "--config", "site/small.toml", "--steps", "2", *tiny]
    ended = outside(*line)
    assert ended.returncode == 0, ended.stderr
    assert '"separator/sparsity"' in (tmp_path / "run" / "log.jsonl").read_text()
    told = outside("info", "ckpt.pt")
    assert "small: channels 6" in told.stdout and "tcn: channels 8" in told.stdout
    ended = outside("evaluate", "ckpt.pt", "--references", "none", "--jobs", "1")
    assert ended.returncode == 0, ended.stderr
    alone = outside("info", "ckpt.pt", points="")
    assert alone.returncode == 2 and "ckpt.pt" in alone.stderr and "small" in alone.stderr


@pytest.mark.parametrize(
    "points",
    [
        "[scoresep.losses]\nbroken = outside_gone:X\n",
        "[scoresep.losses]\nbroken = outside_network:SMALL\n",
        "[scoresep.networks]\nbroken = outside_loss:sparsity\n",
    ],
)
def test_a_broken_one_is_named_with_its_package(outside, cache, points):
    ended = outside("train", "--cache", cache.path, "--steps", "1", points=points)
    assert ended.returncode == 2, ended.stderr
    assert len(ended.stderr.splitlines()) == 1 and "broken" in ended.stderr and "outside" in ended.stderr
