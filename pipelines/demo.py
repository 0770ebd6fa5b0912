"""From nothing to listening, in one command: `python3 pipelines/demo.py`.

Sets up the environment, renders a corpus, prepares it, trains the three stages, separates and transcribes one test
song, evaluates, and says where to look and listen. What is done is reused: a stopped run goes on, a second run prints
the result again. Standard library only; all work is done by the `scoresep` command.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from environment import ROOT, ensure

SONGS, SECONDS, SEED = 240, 20, 0
SET_UP_MINUTES = 1.0
STEPS = {"render": 1.3, "prepare": 0.3, "train": 6.5, "separate": 0.1, "transcribe": 0.1, "evaluate": 0.3}
"""What is done and about how many minutes it takes on two cores."""


def main() -> int:
    """Run all steps; exit status of the first that fails, else 0."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=ROOT / "demo", help="folder for everything it makes")
    out = options.parse_args().out.resolve()
    began = time.monotonic()
    say(f"setting up, rendering, training and evaluating: about {SET_UP_MINUTES + sum(STEPS.values()):.0f} minutes")
    python = ensure()
    out.mkdir(parents=True, exist_ok=True)
    song = None
    for number, step in enumerate(STEPS, start=1):
        left = sum(list(STEPS.values())[number - 1 :])
        elapsed = (time.monotonic() - began) / 60
        say(f"[{number}/{len(STEPS)}] {step}   ({elapsed:.1f} minutes so far, up to about {left:.0f} to go)")
        if step == "separate":
            song = first_test_song(out)
        status = call([python, "-m", "scoresep", *arguments(step, song)], out)
        if status:
            say(f"'{step}' stopped with status {status}; the same command goes on from here")
            return status
    assert song is not None
    say(f"done in {(time.monotonic() - began) / 60:.1f} minutes; look and listen:")
    for what, path in results(out, song).items():
        print(f"  {what:<12} {display(path)}")
    return 0


def call(command: list[str | Path], folder: Path) -> int:
    """Run a step to its end; Ctrl-C reaches it too, and it is given the time to save."""
    process = subprocess.Popen(command, cwd=folder)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def arguments(step: str, song: Path | None) -> list[str]:
    """What `scoresep` is called with; paths are relative to the demo's folder."""
    return {
        "render": (
            f"render corpus --songs {SONGS} --seconds {SECONDS} --seed {SEED} --groups piano,guitar,bass".split()
        ),
        "prepare": ["prepare", "slakh", "corpus", "--out", "cache.h5"],
        "train": ["train", "--stage", "3", "--recipe", "taught"],
        "separate": ["separate", str(song), "--ckpt", "ckpt.pt", "--out", "stems", "--force"],
        "transcribe": ["transcribe", str(song), "--ckpt", "ckpt.pt", "--out", "scores", "--force"],
        "evaluate": ["evaluate", "ckpt.pt", "--plot", "picture.png"],
    }[step]


def first_test_song(out: Path) -> Path:
    """The mixture of the first test song, under its track's name: every Slakh mixture is called `mix.flac`."""
    track = min((out / "corpus" / "test").glob("Track*"))
    song = out / f"{track.name}.flac"
    if not song.exists():
        shutil.copyfile(track / "mix.flac", song)
    return song


def results(out: Path, song: Path) -> dict[str, Path]:
    """What to look at and listen to."""
    return {
        "mixture": song,
        "stems": out / "stems" / song.stem,
        "MIDI": out / "scores" / f"{song.stem}.mid",
        "picture": out / "picture.png",
        "figures": out / "metrics.json",
        "checkpoint": out / "ckpt.pt",
        "losses": out / "run" / "log.jsonl",
    }


def display(path: Path) -> Path:
    """`path` relative to the working folder if it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def say(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
