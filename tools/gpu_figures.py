"""The phases of `gpu.py run` that measure: the device, steps, streams, the teacher, use. Run by `gpu_phases`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_work import CONFIG, FULL, GROUPS, SMALL_CACHE, Figure, Findings, awaited, cores

LONGEST_COMPILING = 60.0
"""Seconds that must be left to try `torch.compile`."""


def device(findings: Findings, given: argparse.Namespace) -> None:
    """What it is, and the most that it can do."""
    import torch

    where = torch.device(given.device)

    def about() -> Figure:
        versions = {"Python": sys.version.split()[0], "torch": torch.__version__, "cores": cores()}
        if where.type != "cuda":
            return {"name": "CPU", **versions}
        card = torch.cuda.get_device_properties(where)
        size = {"GiB": card.total_memory / 2**30, "multiprocessors": card.multi_processor_count}
        driver = {
            "CUDA": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),
            "GPUs": torch.cuda.device_count(),
        }
        return {"name": card.name, **size, **driver, **versions}

    findings.add("machine", about)
    for precision in ("bfloat16", "float32"):
        findings.add(f"peak {precision}", lambda precision=precision: peak(where, precision, given.size.matrix))
    if where.type == "cuda":
        findings.add("copies", lambda: copies(where))


def peak(where: Any, precision: str, side: int) -> Figure:
    """TFLOP/s of a product of large square matrices, the best of some rounds; float32 is float32, without TF32."""
    import torch
    from turns import synchronise

    torch.backends.cuda.matmul.allow_tf32 = False
    a, b = (torch.randn(side, side, device=where, dtype=getattr(torch, precision)) for _ in range(2))
    best, began = float("inf"), time.monotonic()
    while time.monotonic() - began < 0.5:
        start = time.perf_counter()
        for _ in range(4):
            a @ b
        synchronise(where)
        best = min(best, (time.perf_counter() - start) / 4)
    return {"TFLOP/s": 2e-12 * side**3 / best, "side": side}


def copies(where: Any) -> Figure:
    """GB/s from pinned memory to the device, and within it (read and written)."""
    import torch
    from turns import medians, synchronise

    host = torch.empty(2**28, dtype=torch.uint8, pin_memory=True)
    here = host.to(where)
    ways = {"to the device": lambda: here.copy_(host, non_blocking=True), "within it": lambda: here.clone()}

    def waited(work: Callable[[], object]) -> Callable[[], object]:
        return lambda: (work(), synchronise(where))

    times = medians({name: waited(work) for name, work in ways.items()}, 5)
    return {f"{name}, GB/s": 1e-9 * 2**28 * (2 if name == "within it" else 1) / s for name, s in times.items()}


def trainer(given: argparse.Namespace, number: int, folder: Path, *settings: str, resident: str = "") -> Any:
    """A trainer of a stage of the config with fresh weights on the small cache."""
    import torch

    from scoresep.cache.reader import Cache
    from scoresep.machine import choose_device
    from scoresep.models.model import Model
    from scoresep.training.config_files import load_config
    from scoresep.training.log import RunLog
    from scoresep.training.stages import STAGES
    from scoresep.training.trainer import Trainer

    cache, where, size = Cache(given.work / SMALL_CACHE), choose_device(given.device), given.size
    steps = f"stage{number}.steps={size.rounds * size.steps}"
    config = load_config(
        CONFIG, [*size.settings, steps, "validate_every=1000000", "data.validation_clips=0", *settings]
    )
    torch.manual_seed(0)
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask).to(where)
    log = RunLog(folder)
    return Trainer(STAGES[number], config, model, cache, folder / "stage.pt", log, resident=resident)


def peaks(given: argparse.Namespace) -> dict[str, float]:
    """TFLOP/s by precision, as the phase `device` has found them."""
    try:
        found = json.loads((given.out / "device.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {name.removeprefix("peak "): values["TFLOP/s"] for name, values in found.items() if "TFLOP/s" in values}


def steps(findings: Findings, given: argparse.Namespace) -> None:
    """Whole steps against bare ones, how much is waiting, how much of the card's peak is used."""
    findings.add("small cache", lambda: {"bytes": awaited(given.work / SMALL_CACHE, findings).stat().st_size})
    first = given.size.precisions[0]
    for precision in given.size.precisions:
        for number in (1, 2, 3):
            findings.add(f"stage {number}, {precision}", lambda n=number, p=precision: timed_steps(given, n, p))
    findings.add(f"stage 1, {first}, resident", lambda: timed_steps(given, 1, first, resident="device"))
    findings.add(f"stage 1, {first}, cudnn.benchmark", lambda: timed_steps(given, 1, first, benchmark=True))


def timed_steps(
    given: argparse.Namespace, number: int, precision: str, resident: str = "", *, benchmark: bool = False
) -> Figure:
    """What `bench_train` finds, with the networks' operations and how much of the card's peak they use."""
    import torch
    from bench_train import compare

    torch.backends.cudnn.benchmark = benchmark
    folder = given.work / f"steps-{number}-{precision}-{resident}-{benchmark}"
    made = trainer(given, number, folder, f"precision={precision}", resident=resident)
    forget_peak(given)
    try:
        found = compare(made, made.log, given.size.steps)
    finally:
        made.log.close()
        shutil.rmtree(folder)
    work, limit = operations(made), peaks(given).get(precision)
    used = {f"{name} of peak": work / found[name] / 1e9 / limit for name in ("step", "bare") if limit}
    return {**found, "GFLOP": work / 1e9, **used}


def forget_peak(given: argparse.Namespace) -> None:
    """Count the most memory from now on."""
    import torch

    if given.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(given.device)


def operations(made: Any) -> float:
    """Floating-point operations of the networks' products in a step, forwards and backwards."""
    from bench_train import bare_step
    from torch.utils.flop_counter import FlopCounterMode

    work = bare_step(made)
    with FlopCounterMode(display=False) as counted:
        work()
    return float(counted.get_total_flops())


def compiled(findings: Findings, given: argparse.Namespace) -> None:
    """The bare network of stage 1, forwards and backwards: as it is, as a CUDA graph, and compiled."""
    if not given.device.startswith("cuda"):
        findings.add(
            "CUDA graph, compiled",
            lambda: {"left out": "on a CPU (docs/research/performance.md has what compiling does)"},
        )
        return
    import torch

    awaited(given.work / SMALL_CACHE, findings)
    for name, change in {
        "as it is": lambda network, x: network,
        "CUDA graph": lambda network, x: torch.cuda.make_graphed_callables(network, (x,)),
        "compiled": lambda network, x: torch.compile(network),
    }.items():
        if name == "compiled" and findings.left < LONGEST_COMPILING:
            findings.add(name, lambda: {"left out": f"only {findings.left:.0f} s were left"})
        else:
            findings.add(name, lambda change=change: bare_network(given, change))


def bare_network(given: argparse.Namespace, change: Callable[[Any, Any], Any]) -> Figure:
    """Milliseconds forwards and backwards of the transcriptor, changed so, and the seconds until it ran so."""
    import torch
    from bench_train import measure

    made = trainer(given, 1, given.work / "compiled", f"precision={given.size.precisions[0]}")
    made.log.close()
    data, where, network = made.config.data, made.model.device, made.model.transcriptor.train()
    x = torch.rand(data.batch_size, made.cache.grid.bins, data.clip_frames, device=where)
    rounded = made.precision == "bfloat16"

    def narrow() -> torch.autocast:
        """Without a cache of rounded weights, which a graph would keep."""
        return torch.autocast(where.type, torch.bfloat16, enabled=rounded, cache_enabled=False)

    began = time.monotonic()
    with narrow():
        changed = change(network, x)

    def work() -> None:
        network.zero_grad(set_to_none=True)
        with narrow():
            total = sum(values.sum() for values in changed(x))
        total.backward()

    measure(work, where, 3)
    return {"made in s": time.monotonic() - began, "ms": 1000 * measure(work, where, given.size.steps)}


def stream(findings: Findings, given: argparse.Namespace) -> None:
    """Clips a second: bytes in order, random clips as stored, unpacked on the device."""
    from bench_stream import passes

    from scoresep.cache.reader import Cache
    from scoresep.machine import choose_device
    from scoresep.training.config_files import load_config
    from scoresep.training.loader import ClipOrder

    cache = Cache(awaited(given.work / SMALL_CACHE, findings))
    data = load_config(CONFIG, given.size.settings).data

    def timed() -> Figure:
        order = ClipOrder(cache, "train", data.clip_frames, data.batch_size, seed=0)
        chosen = [order.crops(step) for step in range(order.steps_per_epoch)]
        return passes(cache, chosen, data.clip_frames, choose_device(given.device), rounds=3)

    findings.add("clips/s", timed)


def teacher(findings: Findings, given: argparse.Namespace) -> None:
    """The batched factorisation on the device against the compiled one on a core."""
    from bench_factorise import composed, device_times, sound_of

    from scoresep.instruments import choose
    from scoresep.machine import choose_device
    from scoresep.nmf import ScoredMixture
    from scoresep.nmf.kernels import warm_up

    songs, seconds = given.size.teacher

    def timed() -> Figure:
        instruments = choose(GROUPS.split(","))
        rolls, onsets = composed(seconds, instruments)
        warm_up()
        song = ScoredMixture(sound_of(rolls), rolls, onsets)
        kinds = [instrument.kind for instrument in instruments]
        forget_peak(given)
        found = device_times([song] * songs, kinds, choose_device(given.device), 1)
        rates = {f"{name}, times real time": songs * seconds / found[name] for name in ("compiled", "batched")}
        return {**found, **rates, "batched is faster by": found["compiled"] / found["batched"]}

    findings.add(f"{songs} songs of {seconds:g} s", timed)


def use(findings: Findings, given: argparse.Namespace) -> None:
    """`separate` and `transcribe` of a long recording with networks of the config's size."""
    from bench_separate import in_a_process

    config = CONFIG if given.size is FULL else "mini"
    arguments = ["--device", given.device, "--config", config, "--threads", str(min(8, cores()))]
    for job in ("separate", "transcribe"):

        def timed(job: str = job) -> Figure:
            found = in_a_process(job, given.size.minutes, given.work, arguments)
            if found is None:
                raise RuntimeError(f"{job} failed; see use.txt")
            seconds, peak_kib = found
            return {"s": seconds, "times real time": 60 * given.size.minutes / seconds, "peak, MB": peak_kib / 1024}

        findings.add(f"{job}, {given.size.minutes:g} minutes", timed)
