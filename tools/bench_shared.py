"""Time training and separation alone and beside a second run of the same, by how threads wait and how many there are.

    python tools/bench_shared.py cache.h5 [--config mini] [--stages 1,2] [--steps 60] [--seconds 60] [--threads 1,2]

Every run is a process of its own. Runs that are measured together wait for one another before they begin, when all is
loaded and compiled. `spinning` is how OpenMP waits if nobody says anything, `scoresep` what scoresep asks for. All
ways take their turn. Alone, the smallest time of the repeats counts, to which other work can only add; beside a second
run the median, because threads that spin take now twice and now six times as long.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

Way = tuple[str, str, int]
"""Job, how threads wait, number of threads."""
WAITING = {"spinning": {"GOMP_SPINCOUNT": "300000"}, "scoresep": {}}
"""Environments. 300,000 is what libgomp counts to by default: naming it keeps scoresep from choosing."""
WARM_UP = 5
"""Steps that are not timed."""


def main() -> int:
    """Print a table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cache", type=Path)
    options.add_argument("--config", default="mini")
    options.add_argument("--stages", default="1,2", help="of training")
    options.add_argument("--steps", type=int, default=60, help="of training, timed")
    options.add_argument("--seconds", type=float, default=60, help="of stereo noise to separate; 0: do not")
    options.add_argument("--threads", default="1,2")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--job", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.job:
        run_job(given)
        return 0
    jobs = [f"stage {number}" for number in given.stages.split(",")] + ["separate"] * (given.seconds > 0)
    ways = list(itertools.product(jobs, WAITING, map(int, given.threads.split(","))))
    alone: dict[Way, list[float]] = {way: [] for way in ways}
    beside: dict[Way, list[float]] = {way: [] for way in ways}
    for _, way in itertools.product(range(given.repeats), ways):
        alone[way] += timed(way, 1)
        beside[way].append(max(timed(way, 2)))
    print_table(
        {way: min(times) for way, times in alone.items()},
        {way: statistics.median(times) for way, times in beside.items()},
    )
    return 0


def print_table(alone: dict[Way, float], beside: dict[Way, float]) -> None:
    """Seconds of each way, and how many times as fast as spinning on as many threads."""
    print("| | threads wait | threads | alone, s | spinning / it | beside a second run, s | spinning / it |")
    print("|---|---|---|---|---|---|---|")
    for job, waiting, threads in alone:
        way, plain = (job, waiting, threads), (job, "spinning", threads)
        cells = [f"{times[way]:.2f} | {times[plain] / times[way]:.2f}" for times in (alone, beside)]
        print(f"| {job} | {waiting} | {threads} | {' | '.join(cells)} |")


def timed(way: Way, runs: int) -> list[float]:
    """Seconds that each of so many runs side by side took."""
    job, waiting, threads = way
    arguments = [sys.executable, __file__, *sys.argv[1:], "--job", job]
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environment = {**kept, **WAITING[waiting], "OMP_NUM_THREADS": str(threads)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(arguments, env=environment, **pipes) for _ in range(runs)]
    answers(processes)  # all are ready
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    seconds = [float(json.loads(line)) for line in answers(processes)]
    for process in processes:
        process.communicate()
    return seconds


def answers(processes: Iterable[subprocess.Popen[str]]) -> list[str]:
    """A line of each process.

    Raises:
        SystemExit: one ended without it; it has said why.
    """
    lines = [process.stdout.readline() for process in processes]
    if not all(lines):
        sys.exit("error: a run failed; see above")
    return lines


def run_job(given: argparse.Namespace) -> None:
    """Do the job in this process, when told to, and print its seconds."""
    from scoresep.machine import keep_freed_memory, use_threads

    keep_freed_memory()
    use_threads()
    if given.job == "separate":
        time_separation(given.seconds)
    else:
        time_steps(given.cache, given.config, int(given.job.split()[1]), given.steps)


def meet() -> None:
    """Say that this process is ready, and wait for the others."""
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()


def report_seconds(work: Callable[[], object]) -> None:
    """Meet the others, do the work and print its seconds."""
    meet()
    began = time.perf_counter()
    work()
    print(json.dumps(time.perf_counter() - began), flush=True)


def time_separation(seconds: float) -> None:
    """Separate stereo noise with the model that comes with scoresep."""
    import numpy as np

    import scoresep

    model, rate = scoresep.load(device="cpu"), 44100
    noise = 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate), 2)).astype(np.float32)
    model.separate(noise[:rate], rate)
    report_seconds(lambda: model.separate(noise, rate))


def time_steps(path: Path, config_name: str, number: int, steps: int) -> None:
    """Make steps of a stage, without validation and checkpoints."""
    import torch

    from scoresep.cache.reader import Cache
    from scoresep.models.model import Model
    from scoresep.training.config_files import load_config
    from scoresep.training.log import RunLog
    from scoresep.training.stages import STAGES
    from scoresep.training.trainer import Trainer

    settings = [f"stage{number}.steps={WARM_UP + steps}", "validate_every=1000000", "data.validation_clips=0"]
    cache, config = Cache(path), load_config(config_name, settings)
    torch.manual_seed(0)
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask)
    began = [0.0]

    def after(title: str, done: int, total: int, losses: object) -> None:
        if done == WARM_UP:
            meet()
            began[0] = time.perf_counter()
        elif done == WARM_UP + steps:
            print(json.dumps(time.perf_counter() - began[0]), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        log = RunLog(Path(folder), after)
        Trainer(STAGES[number], config, model, cache, Path(folder) / "stage.pt", log).train()
        log.close()


if __name__ == "__main__":
    sys.exit(main())
