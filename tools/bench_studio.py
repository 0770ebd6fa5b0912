"""Time what a person waits for in the studio, beside the length of the music.

    python tools/bench_studio.py SONG [--seconds 180] [--span 10] [--threads 2] [--ckpt ckpt.pt]

The song is repeated, or cut, to that length, in stereo. First sound: the recording is decoded, and plays. Stems and
notes: both networks have run, all stems are written. Again: a span, and the whole song, separated by its notes, weight
0.85. A short project is made before, so that no compiling of kernels is timed.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

from scoresep import load
from scoresep.models.model import Model
from scoresep.studio.project import Project


def main() -> None:
    """Print a table of what is waited for."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("song", type=Path)
    options.add_argument("--seconds", type=float, default=180.0)
    options.add_argument("--span", type=float, default=10.0)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--ckpt", type=Path)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    model = load(given.ckpt, "cpu").model
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        opened(given.song, min(given.seconds, 6.0), model, place / "warm").prepare()
        Project(place / "warm", model).separate(span=(1.0, 2.0))
        project = opened(given.song, given.seconds, model, place / "timed")
        print(f"| {given.threads} threads, {given.seconds:g} s of music | s | of the music's length |\n|---|---|---|")
        show("first sound", project.decode, given.seconds)
        show("stems and notes", project.prepare, given.seconds)
        start = given.seconds / 3
        span = (start, start + given.span)
        show(f"again, {given.span:g} s of it", lambda: project.separate(span=span), given.span)
        show("again, all", lambda: project.separate(), given.seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"\npeak memory, with pages of files: {peak} MB")


def opened(song: Path, seconds: float, model: Model, folder: Path) -> Project:
    """A project with the song at that length, in stereo."""
    sound, rate = soundfile.read(song, always_2d=True)
    mono = np.resize(sound.mean(axis=1), round(seconds * rate))
    file = folder.with_suffix(".wav")
    soundfile.write(file, np.stack([mono, 0.7 * mono], axis=1), rate)
    project = Project(folder, model)
    project.take(file, file.name)
    return project


def show(what: str, work: Callable[[], object], seconds: float) -> None:
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    print(f"| {what} | {took:.1f} | {took / seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
