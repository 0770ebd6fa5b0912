"""The table of datasets: a package outside of the project adds one, whose labels are CSV, by an entry point alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.cache.reader import Cache

MODULE = '''
"""Recordings as NAME.wav, with their notes as NAME.csv: onset and offset in samples, MIDI program, pitch."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Annotated

from scoresep.datasets.base import Corpus, Dataset, Track
from scoresep.datasets.splits import assign_splits
from scoresep.score.parts import Part, part_from_notes


def read_labels(path: Path) -> list[Part]:
    notes = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            onset, offset = int(row["start"]) / 16000, int(row["end"]) / 16000
            notes[int(row["program"])].append((onset, offset, int(row["pitch"]), 80))
    return [part_from_notes(rows, program=program) for program, rows in notes.items()]


def open_mydata(root: str | Path, salt: Annotated[str, "Of the splits."] = "") -> Corpus:
    tracks = [
        Track(path.stem, "", mixture=path, score=path.with_suffix(".csv"), read_score=read_labels)
        for path in sorted(Path(root).absolute().glob("*.wav"))
    ]
    return Corpus("mydata", Path(root), f"hashed{salt}", (), assign_splits(tracks, salt), has_stems=False)


MYDATA = Dataset(
    open_mydata,
    about="Compile my data.\\n\\nExample: scoresep prepare mydata ~/mydata",
    folder="Folder with NAME.wav and NAME.csv.",
    environment="MYDATA_ROOT",
    instruments=("piano", "bass"),
    has_stems=False,
)
'''
NOTES = {"a": [(0, 8000, 0, 60), (8000, 15000, 33, 40)], "b": [(1600, 9600, 33, 38), (3200, 12000, 0, 64)]}


@pytest.fixture
def run(tmp_path, make):
    """A function that runs `scoresep` in a folder with the data, beside a package with the given entry point."""
    for name, notes in NOTES.items():
        (tmp_path / "mydata").mkdir(exist_ok=True)
        lines = [f"{start},{end},{program},{pitch}" for start, end, program, pitch in notes]
        (tmp_path / "mydata" / f"{name}.csv").write_text("\n".join(["start,end,program,pitch", *lines]))
        played = [(start / 16000, end / 16000, pitch) for start, end, _, pitch in notes]
        soundfile.write(tmp_path / "mydata" / f"{name}.wav", make.play(played, 1.0), make.rate)

    def scoresep(*words: str, point: str = "outside_data:MYDATA", **environment: str):
        site = tmp_path / "site"
        info = site / "outside-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[scoresep.datasets]\nmydata = {point}\n")
        (site / "outside_data.py").write_text(MODULE)
        path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-m", "scoresep", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
        )

    return scoresep


def check(index: Path) -> None:
    cache = Cache(index)
    assert (cache.corpus, cache.names, cache.has_stems) == ("mydata", ("piano", "bass"), False)
    for row, name in enumerate(NOTES):
        found = [(on, off, program, pitch) for on, off, pitch, _, program in cache.notes(row).tolist()]
        expected = [(a / 16000, b / 16000, program // 33, pitch) for a, b, program, pitch in NOTES[name]]
        assert cache.tracks["id"][row] == name and np.allclose(found, expected)


@pytest.mark.integration
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_it_is_compiled_by_its_name(run, tmp_path, jobs):
    ended = run("prepare", "mydata", "mydata", "--out", "c.h5", "--salt", "x", "--jobs", jobs)
    assert ended.returncode == 0, ended.stderr
    check(tmp_path / "c.h5")
    assert Cache(tmp_path / "c.h5").split_set == "hashedx"


@pytest.mark.integration
def test_its_folder_may_come_from_the_environment(run, tmp_path):
    ended = run("prepare", "mydata", "--out", "c.h5", "--jobs", "1", MYDATA_ROOT="mydata")
    assert ended.returncode == 0, ended.stderr
    check(tmp_path / "c.h5")


def test_it_is_listed_with_its_options(run):
    assert "mydata" in run("prepare", "--help").stdout
    shown = run("prepare", "mydata", "--help").stdout
    assert "--salt" in shown and "Of the splits." in shown and "--score-check" not in shown


def test_a_broken_one_is_named_and_stops_no_other(run, corpus):
    ended = run("prepare", "mydata", point="outside_gone:X")
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1 and "outside" in ended.stderr
    ended = run("prepare", "slakh", "nowhere", point="outside_gone:X")
    assert ended.returncode == 2 and "nowhere" in ended.stderr and "outside" not in ended.stderr


def test_labels_that_its_reader_does_not_expect_leave_out_their_track(run, tmp_path):
    data = tmp_path / "mydata"
    (data / "a.csv").write_text("start,end,program,pitch\na,b,c,d\n")
    ended = run("prepare", "mydata", "mydata", "--out", "c.h5", "--jobs", "1")
    assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended
    assert "a.csv" in (tmp_path / "c.report.csv").read_text()
