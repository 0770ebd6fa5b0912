"""Pipelines that are `scoresep` commands one after the other: their steps, and running them. Called by `demo` and
`shipped/run`. Standard library only, so that a pipeline may start before there is an environment."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """What is done: for people, about how many minutes it takes on two cores, and the words after `scoresep`."""

    title: str
    minutes: float
    words: str


def run_steps(steps: Sequence[Step], python: str | Path, folder: Path, fill: Callable[[str], str]) -> int:
    """Run `steps` in `folder`, each to its end; exit status of the first that fails, else 0.

    Args:
        python: interpreter that has scoresep.
        fill: what a word stands for when its step begins; most stand for themselves.
    """
    began = time.monotonic()
    for number, step in enumerate(steps, start=1):
        left = sum(later.minutes for later in steps[number - 1 :])
        elapsed = (time.monotonic() - began) / 60
        say(f"[{number}/{len(steps)}] {step.title}   ({elapsed:.1f} minutes so far, up to about {left:.0f} to go)")
        if status := call([python, "-m", "scoresep", *map(fill, step.words.split())], folder):
            say(f"'{step.title}' stopped with status {status}; the same command goes on from here")
            return status
    return 0


def call(command: Sequence[str | Path], folder: Path) -> int:
    """Run a command to its end; Ctrl-C reaches it too, and it is given the time to save."""
    process = subprocess.Popen(command, cwd=folder)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def show_results(results: Mapping[str, Path]) -> None:
    """A line for each thing to look at or listen to."""
    for what, path in results.items():
        print(f"  {what:<12} {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def say(text: str) -> None:
    print(f"== {text}", flush=True)
