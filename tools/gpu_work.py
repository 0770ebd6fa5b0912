"""What the phases of `gpu.py run` share: how much of everything, and figures that are on disk as they come."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GROUPS = "piano,guitar,bass"
Figure = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes:
        settings: of the config.
        precisions: in which steps are timed.
        rounds, steps: of each comparison of steps.
        songs, seconds: of the small corpus, which figures are measured on.
        corpus: what decides the corpus of the training.
        matrix: side of the matrices that measure the peak.
        teacher: songs and seconds of each for the teacher.
        minutes: of a recording to separate.
        every: of the tests, only so manieth.
        training: share of the time that is left for it, at most.
    """

    settings: tuple[str, ...]
    precisions: tuple[str, ...]
    rounds: int
    steps: int
    songs: int
    seconds: float
    corpus: str
    matrix: int
    teacher: tuple[int, float]
    minutes: float
    every: int
    training: float


FULL = Size(
    ("data.workers=6",), ("bfloat16", "float32"), 4, 10, 24, 20.0, "--seconds 60", 8192, (8, 120.0), 4.0, 1, 1.0
)
SMALL = Size(
    (
        "network.channels=16",
        "network.hidden=16",
        "network.blocks=2",
        "network.repeats=1",
        "data.batch_size=4",
        "data.clip_frames=32",
        "data.validation_clips=8",
        "data.workers=0",
    ),
    ("float32",),
    1,
    5,
    5,
    4.0,
    "--songs 5 --seconds 4",
    256,
    (2, 4.0),
    0.05,
    8,
    0.15,
)
CONFIG = "paper"
MOST_BYTES = 16_000_000
"""Of the model that is sent back."""
SMALL_CACHE, CACHE = "small/cache.h5", "whole/cache.h5"


class Findings:
    """The figures of a phase, on disk as they come.

    Args:
        path: the JSON file.
        seconds: after which no further figure is begun.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.until, self.values, self.faults = path, time.monotonic() + seconds, {}, 0

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def add(self, name: str, work: Callable[[], Figure]) -> Figure:
        """Measure and write down; {} where that failed or there is no time."""
        try:
            found = work() if self.left > 0 else {"error": "no time was left"}
        except Exception:
            found = {"error": traceback.format_exc()}
        self.faults += "error" in found
        self.values[name] = found
        temporary = self.path.with_suffix(".part")
        temporary.write_text(json.dumps(self.values, indent=1) + "\n", "utf-8")
        temporary.replace(self.path)
        print(f"{name}: {found}", flush=True)
        return {} if "error" in found else found


def cores() -> int:
    return len(os.sched_getaffinity(0))


def scoresep(given: argparse.Namespace, line: str, seconds: float | None = None, *, may_stop: bool = False) -> Figure:
    """Run a command of scoresep in the working folder; after so many seconds it is asked to save and stop.

    Raises:
        RuntimeError: it failed, or its time was over unless it `may_stop`.
    """
    began = time.monotonic()
    print(f"$ scoresep {line}", flush=True)
    child = subprocess.Popen([sys.executable, "-m", "scoresep", *shlex.split(line)], cwd=given.work)
    try:
        status, stopped = child.wait(seconds), False
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGTERM)
        status, stopped = child.wait(), True
    if status and not (stopped and may_stop):
        raise RuntimeError(f"scoresep {line}: {'its time was over' if stopped else f'exit status {status}'}")
    return {"s": time.monotonic() - began, **({"stopped": True} if stopped else {})}


def awaited(path: Path, findings: Findings) -> Path:
    """A file that the phase `corpus` makes.

    Raises:
        RuntimeError: it failed to make it, or not in time.
    """
    while not path.exists():
        made = findings.path.with_name("corpus.json")
        if findings.left < 1 or (made.exists() and "error" in made.read_text("utf-8")):
            raise RuntimeError(f"{path.name} was not made in time; see corpus.txt")
        time.sleep(0.2)
    return path
