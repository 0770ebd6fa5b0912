"""The memory of `scoresep prepare` follows from its workers and the length of a track, not from how many there are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.robustness
RATE, SECONDS = 44100, 60.0

MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs a command; prints the peak of the largest of its processes. A small process has to start it, since Linux
counts the memory of who starts a process as its own."""


def copies(track: Path, root: Path, count: int) -> Path:
    """A corpus of links to one track."""
    for n in range(1, count + 1):
        folder = root / ("train", "validation", "test")[n % 3] / f"Track{n:05d}"
        shutil.copytree(track, folder, copy_function=os.link)
    return root


def peak(corpus: Path, out: Path) -> int:
    """Peak memory of preparing a corpus in one process; KiB on Linux."""
    command = [str(Path(sys.executable).with_name("scoresep")), "prepare", "slakh", str(corpus), "--out", str(out)]
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *command, "--jobs", "1"], capture_output=True, text=True, check=True
    )
    return int(measured.stdout)


@pytest.fixture(scope="module")
def track(tmp_path_factory, make) -> Path:
    """A minute of three instruments at 44.1 kHz, in which arrays outweigh the program."""
    notes = {0: [(0.1, 50.0, 60)], 25: [(5.0, 55.0, 52)], 33: [(10.0, 59.0, 40)]}
    stems = {f"S0{n}": make.stem(program, played) for n, (program, played) in enumerate(notes.items())}
    folder = make.track(tmp_path_factory.mktemp("long") / "Track00001", stems, 1.0)
    time = np.arange(round(SECONDS * RATE)) / RATE
    for n, played in enumerate(notes.values()):
        samples = 0.2 * np.sin(2 * np.pi * 440 * 2 ** ((played[0][2] - 69) / 12) * time)
        soundfile.write(folder / "stems" / f"S0{n}.flac", samples, RATE, subtype="PCM_16")
    return folder


def test_sixteen_tracks_take_the_memory_of_four(tmp_path, track):
    few, many = (peak(copies(track, tmp_path / f"slakh{count}", count), tmp_path / f"c{count}.h5") for count in (4, 16))
    assert few > 150 * 1024, "the arrays of one track weigh too little for this test to tell anything"
    assert abs(many - few) < 0.1 * few
