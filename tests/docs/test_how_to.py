"""The files that the how-to pages on datasets and instrument groups show do what the pages say."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from shown import ROOT

from scoresep.cache.reader import Cache
from scoresep.grid import Grid
from scoresep.instruments import group_of, read_instruments
from scoresep.score.parts import part_from_notes


def page(name: str) -> str:
    """The text of a how-to page."""
    return (ROOT / "docs" / "how-to" / name).read_text("utf-8")


def files_of(name: str, folder: Path) -> Path:
    """Write the files that a page shows, each of which begins with its name, to a folder."""
    shown = re.findall(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", page(name), re.DOTALL | re.MULTILINE)
    for file, content in shown:
        (folder / file).write_text(content, "utf-8")
    return folder


def install(folder: Path) -> None:
    """Lay beside a folder's modules what an installer makes of its `pyproject.toml`."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", "utf-8"
    )
    points = [
        line
        for group, rows in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in rows.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(points), "utf-8")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, whose packages it sees."""
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


def test_groups_of_ones_own(tmp_path: Path) -> None:
    groups = read_instruments(files_of("instruments.md", tmp_path) / "groups.toml")
    names = [group.name for group in groups]
    assert names == ["keys", "bowed", "bass", "drums", "mallets", "other"]
    assert [group.kind for group in groups[3:]] == ["percussive", "percussive", "other"] and groups[0].midi_program == 4
    parts = {
        (16, False, ""): "keys",
        (73, False, "VIOLIN 1"): "bowed",
        (0, True, ""): "drums",
        (60, False, ""): "other",
    }
    for (program, drum, name), group in parts.items():
        assert names[group_of(program, drum, groups, name)] == group


def test_a_mask_of_ones_own(tmp_path: Path) -> None:
    folder = files_of("instruments.md", tmp_path)
    install(folder)
    line = "from scoresep.masks.table import MASKS; print(list(MASKS))"
    assert "'low'" in run(folder, sys.executable, "-c", line).stdout
    mask = runpy.run_path(str(folder / "scoresep_low.py"))["LOW"]
    groups = read_instruments(folder / "low.toml")
    assert [group.mask for group in groups] == ["low", ""]
    grid, part = Grid(), part_from_notes([(0.0, 1.0, 60, 90)])
    bits = np.unpackbits(mask.make([part], grid, 40, mask.settings()), axis=1, bitorder="little")[:, : grid.bins]
    frequencies = np.arange(grid.bins) * grid.sample_rate / grid.n_fft
    assert np.array_equal(bits[0].astype(bool), frequencies < 2000) and not bits[-1].any()


@pytest.mark.integration
def test_a_dataset_of_ones_own(tmp_path: Path, make) -> None:
    folder = files_of("dataset.md", tmp_path)
    install(folder)
    data = tmp_path / "mydata"
    data.mkdir()
    for number in range(6):
        notes = [(1600, 8000, 65 + number), (8000, 14400, 64)]
        lines = [f"{start},{end},{33 * (pitch == 64)},{pitch}" for start, end, pitch in notes]
        (data / f"take{number}.csv").write_text("\n".join(["start,end,program,pitch", *lines]))
        played = [(start / 16000, end / 16000, pitch) for start, end, pitch in notes]
        soundfile.write(data / f"take{number}.wav", make.play(played, 1.0), make.rate)
    soundfile.write(data / "unlabelled.wav", np.zeros(make.rate), make.rate)
    (line,) = re.findall(r"^```text\n(scoresep .*)\n```$", page("dataset.md"), re.MULTILINE)
    words = line.replace("~/mydata", "mydata").split()
    ended = run(folder, sys.executable, "-m", *words, "--jobs", "1")
    assert ended.returncode == 0, ended.stderr
    assert "no unlabelled.csv" in ended.stdout
    cache = Cache(tmp_path / "cache.h5")
    assert cache.names == ("piano", "bass") and not cache.has_stems and cache.split_set == "hashed2"
    assert sum(len(cache.rows(split)) for split in ("train", "validation", "test")) == 6
    row = cache.tracks["id"].tolist().index("take3")
    assert np.allclose([note[:3] for note in cache.notes(row).tolist()], [(0.1, 0.5, 68), (0.5, 0.9, 64)])
