"""Train networks for equal time of one core on one cache, from scores alone, and tabulate what came of it.

    python tools/compare_networks.py cache.h5 --stage 1 --rows tcn,hppnet --minutes 6 --out compared
    python tools/compare_networks.py cache.h5 --stage 2 --rows tcn,unet,scnet --minutes 10 --out compared
    python tools/compare_networks.py cache.h5 --row "large:separator.network=unet separator.channels=32" --out compared

Stage 1 compares transcriptors; stage 2 compares separators that all begin after one and the same transcriptor, that of
the first stage of the config (`--out`/first-SEED.pt, trained for `--minutes` where it is missing). A row is the config
with settings on top. Time is that of the processor, so that other work on the machine counts little: each row's step is
timed, the rows in turn, and a row gets as many steps as fit into the minutes. Multiply-adds are those of convolutions
and matrix products. `--then` is a command that is run on each checkpoint, written {ckpt}; its last line is shown.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scoresep.cache.reader import Cache  # before torch, whose threads it tells how to wait

# isort: split
import torch
from torch.utils.flop_counter import FlopCounterMode

from scoresep.evaluation.tables import NOTHING
from scoresep.machine import keep_freed_memory
from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model
from scoresep.training.config_files import load_config
from scoresep.training.log import RunLog
from scoresep.training.run import Run, stage_path, starting_model
from scoresep.training.stages import STAGES
from scoresep.training.trainer import Trainer

ROWS = {
    "tcn": (),
    "unet": ("separator.network=unet",),
    "scnet": ("separator.network=scnet",),
    "hppnet": ("transcriptor.network=hppnet",),
}
"""Settings on top of the config, by the row's name."""
NETWORK = {1: "transcriptor", 2: "separator"}
"""What a stage compares."""
WARM, ROUNDS, TIMED = 2, 2, 4
"""Steps of a trial that are not counted, how often each row is tried, and steps that are timed each time."""
VALIDATIONS = 5
"""Of a row's training."""
SECONDS = 10.0
"""Audio of which multiply-adds are counted."""
FIRST = "first"
"""Name of the transcriptor that all separators start after."""


def main() -> None:
    """Train the rows and print the table, growing as they end."""
    given = arguments()
    torch.set_num_threads(1)
    keep_freed_memory()
    cache = Cache(given.cache)
    rows = {name: list(ROWS[name]) for name in given.rows.split(",") if name}
    rows |= {name: settings.split() for name, _, settings in (row.partition(":") for row in given.row)}
    rows = {name: [*given.set, f"seed={given.seed}", *more] for name, more in rows.items()}
    start = given.out / f"{FIRST}-{given.seed}.pt"
    if given.stage == 2 and not start.exists():
        common = [*given.set, f"seed={given.seed}"]
        trained(cache, given, 1, FIRST, common, step_time(cache, given.config, common, 1))
    steps = dict.fromkeys(rows, float("inf"))
    for _ in range(ROUNDS):  # in turn, so that other work hinders all alike
        for name, settings in rows.items():
            steps[name] = min(steps[name], step_time(cache, given.config, settings, given.stage))
    table = []
    for name, settings in rows.items():
        ckpt = trained(cache, given, given.stage, name, settings, steps[name])
        checkpoint = load_checkpoint(ckpt)
        rate = {"steps": f"{checkpoint.steps}", "steps a second": f"{1 / steps[name]:.2f}"}
        loss = {"validation loss": f"{checkpoint.history[-1]['total']:.4f}"} if checkpoint.history else {}
        table.append({"row": name, **size_of(checkpoint.model, given.stage), **rate, **loss})
        table[-1] |= {} if given.only_losses else evaluated(given, ckpt, checkpoint.model)
        show(table, given)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cache", type=Path)
    options.add_argument("--out", type=Path, required=True, help="folder of runs, checkpoints and figures")
    options.add_argument("--stage", type=int, choices=(1, 2), default=2)
    options.add_argument("--rows", default="", help=f"by comma, of {', '.join(ROWS)}")
    options.add_argument("--row", action="append", default=[], metavar="NAME:SETTINGS", help="one more row")
    options.add_argument("--config", default="taught")
    options.add_argument("--set", action="append", default=[], help="a setting of all rows")
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only-losses", action="store_true", help="do without figures of the test split")
    options.add_argument("--then", default="", metavar="COMMAND")
    return options.parse_args()


def trained(cache: Cache, given: argparse.Namespace, stage: int, name: str, settings: list[str], step: float) -> Path:
    """The checkpoint of a row whose step takes so many seconds, trained if it is not there."""
    out, folder = given.out / f"{name}-{given.seed}.pt", given.out / f"{name}-{given.seed}"
    if out.exists():
        return out
    count = max(1, round(60 * given.minutes / step))
    pace = [f"stage{stage}.steps={count}", f"validate_every={-(-count // VALIDATIONS)}"]
    note(f"{name}: {count} steps of {step:.3f} s")
    log = RunLog(folder, note=note)
    if stage == 2:
        shutil.copy(given.out / f"{FIRST}-{given.seed}.pt", stage_path(folder, 1))
    Run(cache, load_config(given.config, [*settings, *pace]), folder, out, log, last=stage).train()
    log.close()
    return out


def step_time(cache: Cache, config: str, settings: list[str], stage: int) -> float:
    """Processor seconds of a training step, once it is warm."""
    wanted = load_config(config, [*settings, f"stage{stage}.steps={WARM + TIMED}", "data.validation_clips=0"])
    model = starting_model(STAGES[stage], None, cache, wanted)
    at: list[float] = []
    log = RunLog(None, lambda title, done, total, losses: at.append(time.process_time()))
    with tempfile.TemporaryDirectory() as folder:
        Trainer(STAGES[stage], wanted, model, cache, Path(folder) / "trial.pt", log).train()
    return (at[-1] - at[WARM - 1]) / TIMED


def size_of(model: Model, stage: int) -> dict[str, str]:
    """Parameters, and multiply-adds a second of audio, of the network that a stage compares."""
    network = model.networks[NETWORK[stage]]
    frames = model.grid.frames_in(SECONDS)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.rand(1, model.grid.bins, frames))
    seconds = frames / model.grid.frame_rate
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {
        "parameters, M": f"{parameters / 1e6:.2f}",
        "multiply-adds, M/s": f"{counter.get_total_flops() / 2 / seconds / 1e6:.0f}",
    }


def evaluated(given: argparse.Namespace, ckpt: Path, model: Model) -> dict[str, str]:
    """Figures of the test split, by column."""
    out = ckpt.with_suffix(".json")
    command = [sys.executable, "-m", "scoresep", "evaluate", str(ckpt), "--cache", str(given.cache), "--out", str(out)]
    subprocess.run([*command, "--references", "none", "--jobs", "1"], check=True, stdout=subprocess.DEVNULL)
    summary = json.loads(out.read_text(encoding="utf-8"))["summary"]
    figures = {}
    if given.stage == 2:
        for name in (*model.names, "mean"):
            about = summary["mean"]["separation"] if name == "mean" else summary["separation"][name]
            figures[name] = figure(about["si_sdr_improvement"], "+.2f")
    figures["note F1"] = figure(summary["mean"]["transcription"]["note_f1"], ".3f")
    figures["note F1, separated"] = figure(summary["mean"]["transcription_separated"]["note_f1"], ".3f")
    if given.then:
        line = [word.format(ckpt=ckpt, json=ckpt.with_suffix(".then.json")) for word in shlex.split(given.then)]
        ended = subprocess.run(line, check=True, capture_output=True, text=True)
        note(f"{ckpt.stem.rpartition('-')[0]}: {ended.stdout.splitlines()[-1]}")
    return figures


def figure(value: float | None, form: str) -> str:
    """A figure as text; evaluations have None where no track could be scored."""
    return NOTHING if value is None else format(value, form)


def show(table: list[dict[str, str]], given: argparse.Namespace) -> None:
    """Print the table and write it to the folder."""
    lines = [f"| {' | '.join(table[0])} |", "|---" * len(table[0]) + "|"]
    lines += [f"| {' | '.join(row.values())} |" for row in table]
    (given.out / f"table-stage{given.stage}-{given.seed}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines), flush=True)


def note(text: str) -> None:
    """Say what happens, aside from the table."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
