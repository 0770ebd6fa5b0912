"""Time and weigh `separate` and `transcribe` on long files, next to open-unmix on the same machine and the same audio.

    python tools/bench_separate.py [--minutes 1,10,60] [--open-unmix-minutes 1] [--ckpt ckpt.pt] [--threads 1]

The audio is stereo noise at 44.1 kHz (16-bit WAV), the stems are written as float WAV. Without --ckpt the networks have
random weights, the size of --config and four instruments, as open-unmix has four targets; its weights are random, too,
since they do not change its speed. Every figure comes from a process of its own: time from the opening of the file to
the last stem written, without imports and without building the networks; peak memory of the whole process.

open-unmix is optional: pip install openunmix, with a torchaudio of the same build as torch (for PyTorch's CPU build,
from the index that torch came from). It holds the whole recording and all its spectra in memory, about 1.5 GB a minute,
so give it more minutes only where they fit. Without it, its rows are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# The parent stays small: a process's peak on Linux counts what it shared with its parent when it began. So torch and
# scoresep are imported by the children alone.

RATE, CHANNELS = 44100, 2
INSTRUMENTS = ("piano", "guitar", "bass", "drums")
LONG = "separate --long-window"
"""A job beside `separate`."""

Work = Callable[[Path, Path], object]
"""Called with a song and the folder of its results."""


def main() -> None:
    """Print a table of every job and length, and the ratios."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", default="1,10,60", help="lengths by comma")
    options.add_argument("--open-unmix-minutes", default="1", help="lengths of open-unmix by comma; '' for none")
    options.add_argument("--ckpt", type=Path, help="checkpoint; default: random weights")
    options.add_argument("--config", default="paper", help="whose size the random networks have")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--device", default="cpu")
    options.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.job:
        run_job(given.job[0], Path(given.job[1]), given)
        return
    lengths = dict.fromkeys(("separate", LONG, "transcribe"), numbers(given.minutes))
    if importlib.util.find_spec("openunmix") and given.open_unmix_minutes:
        lengths["open-unmix"] = numbers(given.open_unmix_minutes)
    elif given.open_unmix_minutes:
        print("openunmix is not installed (pip install openunmix, and torchaudio): left out\n")
    found = {}
    print(f"{given.threads} threads, {given.device}\n\n| | min | s | times real time | peak, MB | of the shortest's |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for job, wanted in lengths.items():
            for minutes in wanted:
                figures = in_a_process(job, minutes, Path(folder), sys.argv[1:])
                if figures is None:
                    print(f"| {job} | {minutes:g} | failed: too little memory? | | | |", flush=True)
                    continue
                found[job, minutes] = seconds, peak = figures
                first = found.get((job, wanted[0]), figures)[1]
                row = f"{seconds:.1f} | {60 * minutes / seconds:.0f} | {peak / 1024:.0f} | × {peak / first:.2f}"
                print(f"| {job} | {minutes:g} | {row} |", flush=True)
    for (job, minutes), (seconds, peak) in found.items():
        if job == "open-unmix" and (ours := found.get(("separate", minutes))):
            print(f"\nopen-unmix / separate, {minutes:g} min: time {seconds / ours[0]:.1f}, peak {peak / ours[1]:.1f}")


def numbers(text: str) -> list[float]:
    """The numbers in '1,10,60'."""
    return [float(part) for part in text.split(",") if part.strip()]


def in_a_process(job: str, minutes: float, folder: Path, arguments: list[str]) -> tuple[float, float] | None:
    """Seconds and peak KiB of a job in a process of its own; None if it failed."""
    song = folder / f"{minutes:g}.wav"
    if not song.exists():
        subprocess.run([sys.executable, __file__, "--job", "noise", str(song)], check=True)
    ended = subprocess.run(
        [sys.executable, __file__, *arguments, "--job", job, str(song)], stdout=subprocess.PIPE, text=True, check=False
    )
    return tuple(json.loads(ended.stdout.splitlines()[-1])) if ended.returncode == 0 else None


def run_job(job: str, song: Path, given: argparse.Namespace) -> None:
    """Do a job in this process and print its seconds and peak."""
    if job == "noise":
        write_noise(song)
        return
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    import torch

    torch.set_num_threads(given.threads)
    work = open_unmix(given.device) if job == "open-unmix" else scoresep(job, given)
    with tempfile.TemporaryDirectory(dir=song.parent) as out:
        began = time.perf_counter()
        work(song, Path(out))
        seconds = time.perf_counter() - began
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))


def write_noise(song: Path) -> None:
    """Noise of as many minutes as the file is called."""
    import numpy as np
    import soundfile

    left = round(float(song.stem) * 60 * RATE)
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(song, "w", RATE, CHANNELS, "PCM_16") as file:
        while left:
            count = min(left, 1 << 18)
            file.write((0.1 * rng.standard_normal((count, CHANNELS))).astype(np.float32))
            left -= count


def scoresep(job: str, given: argparse.Namespace) -> Work:
    """Our way: a function of song and folder."""
    import torch

    from scoresep.grid import Grid
    from scoresep.instruments import choose
    from scoresep.models.checkpoint import load_checkpoint
    from scoresep.models.model import Model
    from scoresep.separation.separate import Options, separate_file
    from scoresep.training.config_files import load_config
    from scoresep.transcription.transcribe import transcribe_file

    if given.ckpt:
        model = load_checkpoint(given.ckpt).model
    else:
        torch.manual_seed(0)
        config = load_config(given.config, [])
        model = Model(Grid(), choose(INSTRUMENTS), config.architecture, config.mask).eval()
    model.to(given.device)
    if job in ("separate", LONG):
        return lambda song, out: separate_file(song, model, out, Options(long_window=job == LONG))
    return lambda song, out: transcribe_file(song, model, out / "song.mid")


def open_unmix(device: str) -> Work:
    """open-unmix's way, as its documentation has it: the whole recording through its separator."""
    import openunmix
    import soundfile
    import torch

    separator = openunmix.umxhq(pretrained=False, device=device).eval()

    def work(song: Path, out: Path) -> None:
        samples, rate = soundfile.read(song, dtype="float32", always_2d=True)
        with torch.inference_mode():
            stems = separator(torch.from_numpy(samples.T[None].copy()).to(device))[0].cpu().numpy()
        for n, stem in enumerate(stems):
            soundfile.write(out / f"{n}.wav", stem.T, rate, subtype="FLOAT")

    return work


if __name__ == "__main__":
    main()
