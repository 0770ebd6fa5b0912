"""Time what a person waits for in the studio, beside the length of the music, or measure its memory beside `separate`.

    python tools/bench_studio.py SONG [--seconds 180] [--span 10] [--threads 2] [--ckpt ckpt.pt] [--memory]

The song is repeated, or cut, to that length, in stereo. First sound: the recording is decoded, and plays. Stems and
notes: both networks have run, all stems are written. Again: a span, and the whole song, separated by its notes, weight
0.85. A short project is made before, so that no compiling of kernels is timed.

With --memory the peak of what each step holds is printed, in MB: first without pages of files, which the system may
take back at any time, then with those that are mapped. `separate`, without and with the notes as a score, runs in a
process of its own, as the studio does. Linux alone tells these figures.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

from scoresep import load
from scoresep.models.model import Model
from scoresep.separation.score_prior import read_score_prior
from scoresep.separation.separate import Options, separate_file
from scoresep.studio.exports import KINDS, export
from scoresep.studio.project import Project

SAMPLED = 0.02
"""Seconds between looks at the memory."""


def main() -> None:
    """Print a table of what is waited for, or held."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("song", type=Path)
    options.add_argument("--seconds", type=float, default=180.0)
    options.add_argument("--span", type=float, default=10.0)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--ckpt", type=Path)
    options.add_argument("--memory", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.memory:
            show_memory(given, Path(folder))
        else:
            show_times(given, Path(folder))


def show_times(given: argparse.Namespace, place: Path) -> None:
    """Print seconds, and their share of the music's length."""
    model = loaded(given)
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


def show_memory(given: argparse.Namespace, place: Path) -> None:
    """Print what each step of the studio and of `separate` holds."""
    print(
        f"| {given.threads} threads, {given.seconds:g} s of music | MB | with mapped files |\n|---|---|---|", flush=True
    )
    for work in (studio_memory, separate_memory, score_memory):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(work, (given, place))


def studio_memory(given: argparse.Namespace, place: Path) -> None:
    model = loaded(given)
    project = opened(given.song, given.seconds, model, place / "project")
    start = given.seconds / 3
    show_peak("studio: stems and notes", project.prepare)
    show_peak(f"studio: again, {given.span:g} s", lambda: project.separate(span=(start, start + given.span)))
    show_peak("studio: again, all", lambda: project.separate())
    for kind in KINDS:
        with tempfile.TemporaryDirectory(dir=place) as out:
            show_peak(f"studio: export, {kind}", lambda kind=kind, out=out: export(project, Path(out), kind))
    project.write_midi(place / "notes.mid")


def separate_memory(given: argparse.Namespace, place: Path) -> None:
    model = loaded(given)
    show_peak("`separate`", lambda: separate_file(place / "project.wav", model, place / "stems"))


def score_memory(given: argparse.Namespace, place: Path) -> None:
    model = loaded(given)
    prior = read_score_prior(place / "notes.mid", model.instruments, model.grid)
    work = lambda: separate_file(place / "project.wav", model, place / "by_score", Options(score=prior))  # noqa: E731
    show_peak("`separate --score`", work)


def loaded(given: argparse.Namespace) -> Model:
    torch.set_num_threads(given.threads)
    return load(given.ckpt, "cpu").model


def opened(song: Path, seconds: float, model: Model, folder: Path) -> Project:
    """A project with the song at that length, in stereo."""
    sound, rate = soundfile.read(song, always_2d=True)
    mono, left = sound.mean(axis=1), round(seconds * rate)
    file = folder.with_suffix(".wav")
    with soundfile.SoundFile(file, "w", rate, 2) as out:
        while left:
            part = mono[:left]
            out.write(np.stack([part, 0.7 * part], axis=1))
            left -= len(part)
    project = Project(folder, model)
    project.take(file, file.name)
    return project


def show(what: str, work: Callable[[], object], seconds: float) -> None:
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    print(f"| {what} | {took:.1f} | {took / seconds:.2f} |", flush=True)


def show_peak(what: str, work: Callable[[], object]) -> None:
    ended, peaks = threading.Event(), {"RssAnon": 0, "VmRSS": 0}

    def watch() -> None:
        while not ended.wait(SAMPLED):
            text = Path("/proc/self/status").read_text()
            for name in peaks:
                found = re.search(rf"{name}:\s+(\d+) kB", text)
                peaks[name] = max(peaks[name], int(found[1]) if found else 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    ended.set()
    watcher.join()
    print(f"| {what} | {peaks['RssAnon'] // 1000} | {peaks['VmRSS'] // 1000} |", flush=True)


if __name__ == "__main__":
    main()
