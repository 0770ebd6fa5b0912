"""The command `scoresep doctor`: what works on this machine and what does not, each with its remedy."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from scoresep import __version__
from scoresep.audio.decoding.formats import FORMATS
from scoresep.cli.options import DEFAULT_CACHE, DEFAULT_CHECKPOINT
from scoresep.console import console, meter, one_line
from scoresep.errors import ScoresepError, first_line

SIGNS = {"good": "[green]good[/]", "note": "[yellow]note[/]", "bad": "[red]bad [/]"}
PACKAGES = ("torch", "numpy", "numba", "h5py", "soundfile", "soxr", "mido", "pretty_midi", "museval", "mir_eval")
PROBE_MIB = 64
"""Size of the file that disk speed is measured with."""
SLOW_MIB_PER_S = 30.0
"""Below this, training on a GPU waits for clips: it reads some ten MiB a second."""
LEAST_FREE_GIB = 5.0
State = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        about: what.
        state: `good`; `note`, where something is missing that not everyone needs; `bad`.
        detail: what was found.
        remedy: what to do about it; '' where there is nothing to do.
    """

    about: str
    state: State
    detail: str
    remedy: str = ""


def doctor(
    cache: Annotated[
        Path | None, typer.Option(help="Read this cache through; default: cache.h5 if it is here.")
    ] = None,
    ckpt: Annotated[Path | None, typer.Option(help="Look at this checkpoint; default: ckpt.pt if it is here.")] = None,
) -> None:
    """Say what works on this machine, whether a cache and a checkpoint are whole, and what to do about what is not.

    Exit status 1 if anything is bad.

    Example: scoresep doctor --cache cache.h5
    """
    cache = cache or (DEFAULT_CACHE if DEFAULT_CACHE.exists() else None)
    ckpt = ckpt or (DEFAULT_CHECKPOINT if DEFAULT_CHECKPOINT.exists() else None)
    states: set[str] = set()
    with meter("shards") as progress:
        for check in examine(Path(), cache, ckpt, partial(progress, "checking the cache")):
            states.add(check.state)
            console.print(f"{SIGNS[check.state]}  [bold]{check.about:<11}[/] ", end="")
            console.print(one_line(check.detail), markup=False)
            if check.remedy:
                console.print(f"{'':>18}-> {check.remedy}", markup=False)
    raise typer.Exit(int("bad" in states))


def examine(
    folder: Path, cache: Path | None, ckpt: Path | None, progress: Callable[[int, int], None] | None = None
) -> Iterator[Check]:
    """All checks, one by one; the costly ones, of the disk and the cache, last.

    Args:
        folder: where the user works, whose disk is measured.
        cache: cache to check, if any; its checksums are compared.
        ckpt: checkpoint to check, if any.
        progress: called with shards done and shards in all.
    """
    yield versions()
    yield processor()
    yield graphics()
    yield compiled_code()
    yield ffmpeg()
    yield soundfonts()
    if ckpt is not None:
        yield checkpoint(ckpt)
    yield from disk(folder)
    if cache is not None:
        yield cached(cache, progress)


def versions() -> Check:
    """Versions of what the figures depend on."""
    installed, missing = [], []
    for name in PACKAGES:
        try:
            installed.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    text = f"scoresep {__version__}, Python {platform.python_version()}, {', '.join(installed)}"
    if missing:
        return Check("versions", "bad", f"{text}; missing: {', '.join(missing)}", "install scoresep again with pip")
    return Check("versions", "good", text)


def processor() -> Check:
    """Cores, and whether they multiply bfloat16."""
    from scoresep.machine import available_cores, multiplies_bfloat16

    speed = "multiplies bfloat16" if multiplies_bfloat16() else "no bfloat16, training uses float32"
    return Check("CPU", "good", f"{available_cores()} of {os.cpu_count()} cores may be used; {speed}")


def graphics() -> Check:
    import torch

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if names:
        return Check("GPU", "good", ", ".join(names))
    if torch.version.cuda is None:
        remedy = "if there is one, install a CUDA build of torch"
        return Check("GPU", "note", "this torch is built for CPUs alone", remedy)
    return Check("GPU", "note", "torch sees none", "if there is one, check its driver with nvidia-smi")


def compiled_code() -> Check:
    """Where numba keeps what it compiles."""
    from scoresep.compiled import cache_place
    from scoresep.masks.harmonic import merge_rows

    place = cache_place(merge_rows)
    if place:
        return Check("numba", "good", f"what it compiles is kept in {place}")
    return Check(
        "numba",
        "note",
        "has nowhere to keep what it compiles: every process compiles anew, for some seconds",
        "set NUMBA_CACHE_DIR to a folder that you may write to",
    )


def ffmpeg() -> Check:
    """ffmpeg, which nothing here needs: it turns other audio into audio that is read."""
    if path := shutil.which("ffmpeg"):
        return Check("ffmpeg", "good", path)
    return Check("ffmpeg", "good", f"not installed, and not needed: {FORMATS} is read without it, M4A and WMA are not")


def soundfonts() -> Check:
    """The bank that `scoresep render` uses by default."""
    from scoresep.rendering.pools import check_soundfonts
    from scoresep.rendering.settings import RenderSettings

    banks = RenderSettings().soundfonts
    try:
        check_soundfonts(banks)
    except ScoresepError as fault:
        return Check("SoundFonts", "bad", str(fault), "install pretty_midi again, or name one with --soundfont")
    names = ", ".join(path.name for path in banks)
    return Check("SoundFonts", "good", f"{names}; larger ones sound more varied: scoresep render --soundfont FILE.sf2")


def checkpoint(path: Path) -> Check:
    """Whether a checkpoint can be read and is whole."""
    from scoresep.models.checkpoint import load_checkpoint

    try:
        loaded = load_checkpoint(path)
    except ScoresepError as fault:
        return Check("checkpoint", "bad", str(fault))
    text = f"{path}: stage {loaded.stage}, {loaded.steps} steps, for {', '.join(loaded.model.names)}"
    if not loaded.complete:
        return Check("checkpoint", "note", f"{text}, not finished", "scoresep train with its --run goes on")
    return Check("checkpoint", "good", text)


def disk(folder: Path) -> Iterator[Check]:
    """Room and speed of the disk that `folder` is on."""
    free = shutil.disk_usage(folder).free / 2**30
    text = f"{free:.0f} GiB free"
    if free >= LEAST_FREE_GIB:
        yield Check("disk", "good", text)
    else:
        yield Check("disk", "note", text, "a cache takes about 0.7 GiB for each hour of three instruments")
    try:
        written, read = disk_speed(folder)
    except OSError as fault:
        yield Check("disk speed", "bad", f"cannot write here: {first_line(fault)}", "work in another folder")
        return
    text = f"{written:.0f} MiB/s written, {read:.0f} MiB/s read back"
    if min(written, read) < SLOW_MIB_PER_S:
        yield Check("disk speed", "note", text, "train with --resident host, or keep the cache on a faster disk")
    else:
        yield Check("disk speed", "good", text)


def disk_speed(folder: Path) -> tuple[float, float]:
    """MiB a second written (to the disk itself) and read back, past the system's own memory where it can be told to."""
    block = os.urandom(1 << 20)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".scoresep-probe-") as file:
        began = time.perf_counter()
        for _ in range(PROBE_MIB):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        written = time.perf_counter() - began
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        began = time.perf_counter()
        while file.read(1 << 20):
            pass
        return PROBE_MIB / written, PROBE_MIB / max(time.perf_counter() - began, 1e-9)


def cached(path: Path, progress: Callable[[int, int], None] | None) -> Check:
    """Whether a cache is whole: no shard is missing, every byte is as it was written."""
    from scoresep.cache.reader import Cache, check_cache

    try:
        cache = Cache(path)
    except ScoresepError as fault:
        return Check("cache", "bad", str(fault))
    wrong = check_cache(cache, progress)
    shards = len(set(cache.tracks["shard"].tolist()))
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return Check("cache", "bad", f"{path}: {wrong[0]}{more}")
    if not len(cache.tracks):
        return Check("cache", "bad", f"{path} holds no track", f"scoresep info {path} says what was left out")
    return Check("cache", "good", f"{path}: {len(cache.tracks)} tracks, checksums of {shards} shards agree")
