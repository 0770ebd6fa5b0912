"""Measure what recordings with weak labels are worth beside few with scores: by the same songs, labelled in other ways.

    scoresep prepare slakh corpus --out corpus.h5 --instruments piano,guitar,bass,drums
    python tools/measure_weak_labels.py corpus.h5 --scored 6 --out weak [--config mini] [--set stage1.steps=400]

The training songs of a cache with stems become pairs: the first `--scored` with their notes, the others not at all
(`few`), with who plays when (`present`), with the notes of bars (`sets`), or with theirs (`all`). Each of these is
prepared, trained up to stage 2 and evaluated on test songs. A stopped run goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from scoresep.cache.reader import Cache
from scoresep.files import write_rows
from scoresep.grid import LOWEST_PITCH, PITCHES
from scoresep.score.midi_writing import midi_bytes
from scoresep.transcription.notation import parts_of

CONDITIONS = ("few", "present", "sets", "all")
FIGURES = ("si_sdr_improvement", "frame_f1", "note_f1")
WEIGHTS = ("stage1.transcriptor.note_set=0.2", "stage2.separator.absence=1")
"""Of the losses that learn from weak labels, which are off by default."""
KEYS = range(LOWEST_PITCH, LOWEST_PITCH + PITCHES)
GAP = 1.0
"""Seconds of rest that end a stretch of playing."""


def main() -> None:
    """Train and evaluate each condition; print a line for each."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cache", type=Path, help="with stems")
    options.add_argument("--out", type=Path, default=Path("weak"))
    options.add_argument("--scored", type=int, default=6, help="training songs that keep their notes")
    options.add_argument("--bar", type=float, default=2.0, help="seconds of a bar of `sets`")
    options.add_argument("--conditions", default=",".join(CONDITIONS), help="by comma (default: %(default)s)")
    options.add_argument("--judge", type=Path, help="cache whose test songs judge (default: the same)")
    options.add_argument("--config", default="mini")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
    chosen = options.parse_args()
    cache = Cache(chosen.cache)
    for condition in chosen.conditions.split(","):
        folder = chosen.out / condition
        if not (folder / "metrics.json").exists():
            write_songs(cache, folder / "songs", condition, chosen.scored, chosen.bar)
            train_and_evaluate(chosen, cache, folder)
        mean = json.loads((folder / "metrics.json").read_text("utf-8"))["summary"]["mean"]
        figures = {**mean["separation"], **mean["transcription"]}
        print(f"{condition}: {', '.join(f'{name} {figures[name]:.3f}' for name in FIGURES)}", flush=True)


def write_songs(cache: Cache, folder: Path, condition: str, scored: int, bar: float) -> None:
    """The songs of the training and validation splits as pairs, and `splits.csv` beside their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    training = cache.rows("train").tolist()
    splits = []
    for row in [*training, *cache.rows("validation").tolist()]:
        name, audio, notes = str(cache.tracks["id"][row]), cache.mixture(row), cache.notes(row)
        seconds = len(audio) / cache.grid.sample_rate
        if row not in training[scored:] or condition == "all":
            own = {name: notes[notes[:, 4] == n, :4] for n, name in enumerate(cache.names)}
            (folder / f"{name}.mid").write_bytes(midi_bytes(parts_of(own, cache.instruments), seconds))
        elif condition != "few":
            stretches = (
                playing(notes, cache.names) if condition == "present" else bars(notes, cache.names, bar, seconds)
            )
            write_rows(folder / f"{name}.csv", ("start", "end", "instrument", "notes"), stretches)
        else:
            continue
        soundfile.write(folder / f"{name}.wav", audio / max(1.0, np.abs(audio).max()), cache.grid.sample_rate)
        splits.append((name, cache.tracks["split"][row]))
    write_rows(folder.with_name("splits.csv"), ("name", "split"), splits)


def playing(notes: np.ndarray, names: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    """Stretches in which instruments play, from notes (K, 5) ordered by onset."""
    for n, name in enumerate(names):
        begin = end = -np.inf
        for onset, offset in notes[notes[:, 4] == n, :2].tolist():
            if onset > end + GAP:
                if end > 0:
                    yield f"{begin:.2f}", f"{end:.2f}", name, ""
                begin = onset
            end = max(end, offset)
        if end > 0:
            yield f"{begin:.2f}", f"{end:.2f}", name, ""


def bars(notes: np.ndarray, names: tuple[str, ...], length: float, seconds: float) -> Iterator[tuple[object, ...]]:
    """The notes that sound in each bar of so many seconds."""
    for n, name in enumerate(names):
        own = notes[notes[:, 4] == n]
        for begin in np.arange(0.0, seconds, length):
            sounding = own[(own[:, 0] < begin + length) & (own[:, 1] > begin)]
            pitches = " ".join(str(int(pitch)) for pitch in np.unique(sounding[:, 2]) if pitch in KEYS)
            if pitches:
                yield f"{begin:.2f}", f"{begin + length:.2f}", name, pitches


def train_and_evaluate(chosen: argparse.Namespace, cache: Cache, folder: Path) -> None:
    """Prepare the songs of `folder`, train, and judge by the test songs of `cache`."""
    songs, own = [folder / "songs", "--splits", folder / "splits.csv"], folder / "cache.h5"
    settings = [word for setting in (*WEIGHTS, *chosen.set) for word in ("--set", setting)]
    train = ["train", "--stage", "2", "--cache", own, "--config", chosen.config, "--run", folder / "run", *settings]
    judge = ["evaluate", folder / "ckpt.pt", "--cache", chosen.judge or cache.path, "--references", "none"]
    for words in (
        ["prepare", "pairs", *songs, "--out", own, "--instruments", ",".join(cache.names), "--no-unwritten"],
        [*train, "--out", folder / "ckpt.pt"],
        [*judge, "--out", folder / "metrics.json"],
    ):
        subprocess.run([sys.executable, "-m", "scoresep", *map(str, words)], check=True)


if __name__ == "__main__":
    main()
