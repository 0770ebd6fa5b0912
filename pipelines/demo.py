"""From nothing to listening, in one command: `python3 pipelines/demo.py`.

Sets up the environment, renders a corpus, prepares it, trains the three stages, separates and transcribes one test
song, evaluates on new songs played by new sounds and by known ones, and says where to look and listen. What is done is
reused: a stopped run goes on, a second run prints the results again. Standard library only; all work is done by the
`scoresep` command.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from environment import ROOT, ensure
from steps import Step, run_steps, say, show_results

SET_UP_MINUTES = 1.0
MUSIC = "--seconds 20 --groups piano,guitar,bass"
STEPS = (
    Step("render", 1.3, f"render corpus --songs 240 --seed 0 {MUSIC}"),
    Step("prepare", 0.3, "prepare slakh corpus --out cache.h5"),
    Step("train", 5, "train --stage 3 --config taught"),
    Step("separate", 0.1, "separate {song} --ckpt ckpt.pt --refine --out stems --force"),
    Step("transcribe", 0.1, "transcribe {song} --ckpt ckpt.pt --out scores --force"),
    Step("evaluate: new songs, new sounds", 0.3, "evaluate ckpt.pt --refine --plot picture.png"),
    Step("render other songs", 0.4, f"render others --songs 60 --seed 111 {MUSIC}"),
    Step("prepare them", 0.1, "prepare slakh others --out others.h5 --teacher none"),
    Step(
        "evaluate: new songs, known sounds",
        0.3,
        "evaluate ckpt.pt --refine --cache others.h5 --split train --out metrics-others.json",
    ),
)
"""All steps, in the demonstration's folder. Seed 111 is one of those that hold out the same test sounds as
seed 0, so its `train` songs are new compositions played by the sounds of training."""


def main() -> int:
    """Run all steps; exit status of the first that fails, else 0."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=ROOT / "demo", help="folder for everything it makes")
    out = options.parse_args().out.resolve()
    began = time.monotonic()
    minutes = SET_UP_MINUTES + sum(step.minutes for step in STEPS)
    say(f"setting up, rendering, training and evaluating: about {minutes:.0f} minutes")
    python = ensure()
    out.mkdir(parents=True, exist_ok=True)
    if status := run_steps(STEPS, python, out, lambda word: first_test_song(out).name if word == "{song}" else word):
        return status
    say(f"done in {(time.monotonic() - began) / 60:.1f} minutes; look and listen:")
    show_results(results(out, first_test_song(out)))
    return 0


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
        "others'": out / "metrics-others.json",
        "checkpoint": out / "ckpt.pt",
        "losses": out / "run" / "log.jsonl",
    }


if __name__ == "__main__":
    sys.exit(main())
