"""Memory does not grow with the length of a recording: peaks of fresh processes as a ratio between lengths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.models.checkpoint import Checkpoint, save_checkpoint
from scoresep.models.model import Model

RATE = 44100
SHORT, LONG = 10, 60
"""Seconds: blocks of two and pieces of four fill several times over in both."""

WORK = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from scoresep.separation.score_prior import read_score_prior
from scoresep.separation.separate import Options, separate_file
from scoresep.transcription.transcribe import transcribe_file
from scoresep.separation.writing import choose_format
from scoresep.models.checkpoint import load_checkpoint

job, song, ckpt, score, out = sys.argv[1:]
model = load_checkpoint(ckpt).model
if job == "separate":
    prior = read_score_prior(score, model.instruments, model.grid)
    options = Options(("piano", "bass"), prior, block_seconds=2.0, piece_seconds=4.0)
    separate_file(song, model, out, options, choose_format("wav", "16"))
else:
    transcribe_file(song, model, Path(out) / "song.mid", 2.0, signal="separated")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
LAUNCH = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', *sys.argv[1:]]).returncode)"
"""A small process has to start the work, since Linux counts the memory of who starts a process as its own."""


@pytest.fixture(scope="module")
def checkpoint(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("memory") / "ckpt.pt"
    save_checkpoint(path, Checkpoint(model, stage=3, steps=1, complete=True, config={}, cache="", cache_digest=""))
    return path


def peak(job: str, seconds: int, checkpoint: Path, folder: Path, make: type) -> int:
    """Peak KiB of a process that separates or transcribes so many seconds of noise."""
    song, score = folder / f"{seconds}.wav", folder / f"{seconds}.mid"
    with soundfile.SoundFile(song, "w", RATE, 2, "PCM_16") as file:
        for second in range(seconds):
            file.write(np.random.default_rng(second).normal(0, 0.1, (RATE, 2)))
    make.midi(score, [(t, t + 0.5, 60) for t in range(seconds)])
    arguments = [job, song, checkpoint, score, folder / f"out-{seconds}"]
    command = [sys.executable, "-c", LAUNCH, WORK, *map(str, arguments)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.integration
@pytest.mark.parametrize("job", ["separate", "transcribe"])
def test_six_times_the_length_takes_the_same_memory(job: str, checkpoint: Path, tmp_path: Path, make: type) -> None:
    short, long = (peak(job, seconds, checkpoint, tmp_path, make) for seconds in (SHORT, LONG))
    three = 3 * (LONG - SHORT) * RATE * 2 * 4 / 1024  # one stem, residual and mixture as float32, if they were held
    assert three > 0.1 * short, "the samples weigh too little for this test to tell anything"
    assert long < 1.05 * short
