"""Time the training steps against the bare forward and backward of the same networks on random tensors.

    python tools/bench_train.py cache.h5 [--config mini] [--stages 1,2,3] [--threads 2] [--set data.workers=1 ...]
    python tools/bench_train.py cache.h5 --config paper --rounds 2 --steps 5

The bare step runs the networks on the shapes and in the precision of the stage's step, one after another, and sends
random gradients back through them to what learns; no data, no losses, no optimiser. Both are measured in turn, so many
steps a round, and the smaller of their times counts: other work on the machine can only add to it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from scoresep.cache.reader import Cache  # before torch, whose threads it tells how to wait

# isort: split
import torch
from torch import Tensor
from turns import synchronise

from scoresep.machine import choose_device, keep_freed_memory
from scoresep.models.model import Model
from scoresep.training.config_files import load_config
from scoresep.training.log import TIMING_NAME, RunLog, read_log
from scoresep.training.stages import STAGES
from scoresep.training.trainer import Trainer, autocast, set_modes, training_only


def main() -> None:
    """Print one line a stage."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cache", type=Path)
    options.add_argument("--config", default="mini")
    options.add_argument("--stages", default="1,2,3")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--steps", type=int, default=20, help="a round; rounds times steps at least ten")
    options.add_argument("--device", default="auto")
    options.add_argument("--resident", default="")
    options.add_argument("--usual-malloc", action="store_true", help="give freed memory back, which training does not")
    options.add_argument("--set", action="append", default=[])
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    if not given.usual_malloc:
        keep_freed_memory()
    cache, device = Cache(given.cache), choose_device(given.device)
    print(f"{given.config} on {device}, {given.threads} threads; milliseconds a step")
    for number in map(int, given.stages.split(",")):
        steps = [
            f"stage{number}.steps={given.rounds * given.steps}",
            "validate_every=1000000",
            "data.validation_clips=0",
        ]
        config = load_config(given.config, [*steps, *given.set])
        torch.manual_seed(0)
        model = Model(cache.grid, cache.instruments, config.architecture, config.mask).to(device)
        with tempfile.TemporaryDirectory() as folder:
            log = RunLog(Path(folder))
            trainer = Trainer(STAGES[number], config, model, cache, Path(folder) / "s.pt", log, resident=given.resident)
            print(f"stage {number}, {trainer.precision}: {words(compare(trainer, log, given.steps))}", flush=True)
            log.close()
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def compare(trainer: Trainer, log: RunLog, steps: int) -> dict[str, float]:
    """Steps and bare passes in turn, so many a round: `step` and `bare`, ms, their `ratio`, the share of `waiting`, and
    on a GPU the most memory, `GiB`."""
    bare, device = bare_step(trainer), trainer.model.device
    times: dict[str, list[float]] = {"step": [], "bare": []}
    began = [time.perf_counter()]

    def after(title: str, done: int, total: int, losses: object) -> None:
        if done % steps:
            return
        synchronise(device)
        times["step"].append((time.perf_counter() - began[0]) / steps)
        times["bare"].append(measure(bare, device, steps))
        began[0] = time.perf_counter()

    log.progress = after
    measure(bare, device, 1)
    began[0] = time.perf_counter()
    trainer.train()
    step, plain = (1000 * min(times[which]) for which in ("step", "bare"))
    entries = read_log(log.folder, TIMING_NAME)
    waiting = statistics.median(entry["waiting"] for entry in entries[2:] or entries)  # the first steps warm up
    memory = {"GiB": torch.cuda.max_memory_allocated(device) / 2**30} if device.type == "cuda" else {}
    return {"step": step, "bare": plain, "ratio": step / plain, "waiting": waiting, **memory}


def words(figures: dict[str, float]) -> str:
    """What `compare` returns, in a line."""
    memory = f", {figures['GiB']:.1f} GiB" if "GiB" in figures else ""
    times = f"step {figures['step']:.1f}, bare {figures['bare']:.1f}, ratio {figures['ratio']:.2f}"
    return f"{times}; waiting {figures['waiting']:.1%}{memory}"


def measure(work: Callable[[], None], device: torch.device, calls: int) -> float:
    """Seconds a call, over so many calls."""
    began = time.perf_counter()
    for _ in range(calls):
        work()
    synchronise(device)
    return (time.perf_counter() - began) / calls


def bare_step(trainer: Trainer) -> Callable[[], None]:
    """The networks' part of a step of the trainer's stage, on random tensors, with a network of the same kind."""
    config, cache, stage, device = trainer.config, trainer.cache, trainer.stage, trainer.model.device
    data = config.data
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask).to(device)
    set_modes(stage, model)
    count = len(model.instruments)
    mixture = torch.rand(data.batch_size, cache.grid.bins, data.frames_on(cache.grid), device=device)
    losses = {name: set(weights) for name, weights in trainer.weights.items()}

    def transcribe(*inputs: Tensor) -> list[tuple[Tensor, Tensor]]:
        frames = [model.transcriptor(magnitude).frame for magnitude in inputs]
        return [(frame, torch.ones_like(frame)) for frame in frames]

    def work() -> None:
        tracks: Tensor | None = None
        for name in stage.trains:
            with training_only(model, name) as network:
                with autocast(device, trainer.precision):
                    separates = name == "separator" or "separator" in stage.trains
                    if separates and tracks is None:
                        tracks = model.separator(mixture).flatten(0, 1)
                    inputs = [mixture] if losses[name] & {"score", "onset"} else []
                    if losses[name] & {"transcription", "adversarial_transcription"}:
                        inputs.append(tracks)
                    if "adversarial_mixture" in losses[name]:
                        inputs.append(tracks.unflatten(0, (-1, count))[:, 0])
                    outputs = transcribe(*inputs) or [(tracks, torch.ones_like(tracks))]  # losses that ask no critic
                network.zero_grad(set_to_none=True)
                torch.autograd.backward(*map(list, zip(*outputs, strict=True)))
                tracks = None if tracks is None else tracks.detach()

    return work


if __name__ == "__main__":
    main()
