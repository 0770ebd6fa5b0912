"""What the weights of the separator's losses are worth: each that is set halved and doubled, and all of them learnt.

    python tools/measure_weights.py cache.h5 --out weights --config mini --first 200 --steps 150 --split test

Stage 1 is trained once a seed, for `--first` steps; each row is stage 2 of the config from there, for `--steps`, all
from the same weights on the same clips. Rows: weights as they are set, all 1, and both of these learnt by uncertainty
(`weighting`); then one after another halved, doubled, and off. Prints the SI-SDR gained over the mixture in dB, by
instrument, the mean of the seeds; runs that are there already are not trained again. The cache needs stems.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

from scoresep.cache.reader import Cache  # before torch, whose threads it tells how to wait

# isort: split
import numpy as np
import torch
from gains import gains, with_mean
from measure_phase import evenly

from scoresep.models.checkpoint import load_checkpoint
from scoresep.separation.separate import separate_array
from scoresep.training.config_files import load_config
from scoresep.training.log import RunLog, read_log
from scoresep.training.run import Run, stage_path

WEIGHT = "stage2.separator."


def main() -> None:
    """Train the rows and print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cache", type=Path)
    options.add_argument("--out", type=Path, required=True, help="folder of runs and checkpoints")
    options.add_argument("--config", default="mini")
    options.add_argument("--set", action="append", default=[], help="a setting of all rows")
    options.add_argument("--seeds", default="0")
    options.add_argument("--first", type=int, default=150)
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("--split", default="test")
    options.add_argument("--tracks", type=int)
    given = options.parse_args()
    torch.set_num_threads(1)
    cache = Cache(given.cache)
    print(f"| weights | {' | '.join(cache.names)} | mean | learnt to |\n|{'---|' * (len(cache.names) + 3)}")
    for name, settings in rows(given):
        found = [row_gains(cache, given, name, settings, int(seed)) for seed in given.seeds.split(",")]
        values = " | ".join(f"{value:.2f}" for value in with_mean([each for each, _ in found]))
        print(f"| {name} | {values} | {found[0][1]} |", flush=True)


def rows(given: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Name and settings of each row."""
    weights = load_config(given.config, given.set).stage2.separator
    set_to = {name: weight for name, weight in weights.items() if weight}
    ones = [f"{WEIGHT}{name}=1.0" for name in set_to]
    yield "as set", []
    yield "all 1", ones
    yield "as set, learnt", ["weighting=uncertainty"]
    yield "all 1, learnt", [*ones, "weighting=uncertainty"]
    for name, weight in set_to.items():
        for factor in (0.5, 2.0, 0.0):
            yield f"{name} {factor * weight:g}", [f"{WEIGHT}{name}={factor * weight}"]


def row_gains(
    cache: Cache, given: argparse.Namespace, name: str, settings: list[str], seed: int
) -> tuple[np.ndarray, str]:
    """Gain of each instrument, dB (N,), and what the weights were learnt to, of one training."""
    wanted = [*given.set, f"seed={seed}", f"stage1.steps={given.first}", f"stage2.steps={given.steps}"]
    wanted += [f"validate_every={given.first + given.steps}", "data.validation_clips=0", "stage1.keep=last", *settings]
    first, folder = given.out / f"first-{seed}", given.out / f"{name.replace(' ', '-')}-{seed}"
    if not stage_path(first, 1).exists():
        train(cache, given.config, wanted, first, 1)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(stage_path(first, 1), stage_path(folder, 1))
    train(cache, given.config, wanted, folder, 2)
    model = load_checkpoint(folder / "out.pt").model
    found = []
    for row in evenly(cache, given.split, given.tracks):
        mixture, rate = cache.mixture(row), cache.grid.sample_rate
        stems = separate_array(mixture, rate, model)
        found.append(gains(mixture, cache.stems(row), [stems[each] for each in cache.names], rate))
    last = [entry for entry in read_log(folder) if entry["kind"] == "train"][-1]
    learnt = {key.split("/")[1]: value for key, value in last.items() if key.endswith("/weight")}
    return with_mean(found)[:-1], ", ".join(f"{loss} {value:.3g}" for loss, value in learnt.items())


def train(cache: Cache, config: str, settings: list[str], folder: Path, last: int) -> None:
    """Train a run up to a stage; what is there already stays."""
    log = RunLog(folder)
    Run(cache, load_config(config, settings), folder, folder / "out.pt", log, last=last).train()
    log.close()


if __name__ == "__main__":
    main()
