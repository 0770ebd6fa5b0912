"""What a grid buys and costs: oracle ratio masks at the recordings' own rate, and processor seconds a step.

    python tools/measure_grids.py corpus [--grids 16000/2048/512,44100/4096/1024] [--instruments piano,guitar,bass]
    python tools/measure_grids.py corpus --songs 0 --cache cache.h5 --cache full.h5 [--set bandwidth=8000]

The corpus is laid out as Slakh. Masks are made of the true stems at a grid's rate and carried to the recordings' rate
as `scoresep separate` does it (`separation.mask_resampling`): above the grid each instrument has its mean share of the
top. Printed are mean improvements of SI-SDR over the mixture, of all that sounds and of what is above the lowest of the
grids alone. Of each cache the steps of stages 1 and 2 are timed, in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from compare_networks import step_time

from scoresep.audio.loading import read_audio, resample
from scoresep.audio.spectrogram import istft, stft
from scoresep.cache.reader import Cache
from scoresep.cache.track import group_stems
from scoresep.cli.prepare import read_grid
from scoresep.datasets.slakh import open_slakh
from scoresep.evaluation.baselines import ratio_masks
from scoresep.evaluation.metric_table import nanmean
from scoresep.evaluation.metrics import si_sdr
from scoresep.grid import Grid
from scoresep.instruments import choose
from scoresep.separation.mask_resampling import MaskMap, native_grid

ROUNDS = 2


def main() -> None:
    """Print a line a grid, and a line a cache."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("corpus", type=Path)
    options.add_argument("--grids", default="16000/2048/512,44100/5632/1408,44100/4096/1024")
    options.add_argument("--instruments", default="piano,guitar,bass,drums")
    options.add_argument("--split", default="test")
    options.add_argument("--songs", type=int, default=8)
    options.add_argument("--cache", type=Path, action="append", default=[])
    options.add_argument("--config", default="taught")
    options.add_argument("--set", action="append", default=[])
    given = options.parse_args()
    grids = [read_grid(*map(int, text.split("/"))) for text in given.grids.split(",")]
    names, edge = given.instruments.split(","), min(grid.sample_rate for grid in grids) / 2
    songs = list(read_songs(given.corpus, names, given.split, given.songs))
    for grid in grids if songs else ():
        whole, high = nanmean(np.array([gains(stems, rate, grid, edge) for stems, rate in songs]), axis=0)
        each = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, whole, strict=True))
        mean = f"mean {nanmean(whole):.2f}, above {edge:g} Hz alone {nanmean(high):.2f}"
        print(f"{grid}: {each}; {mean} dB ({len(songs)} songs)", flush=True)
    caches = [Cache(path) for path in given.cache]
    times = [
        [[step_time(cache, given.config, given.set, stage) for stage in (1, 2)] for cache in caches]
        for _ in range(ROUNDS)
    ]
    for cache, seconds in zip(caches, np.min(times, axis=0) if caches else (), strict=True):
        print(f"{cache.path.name}, {cache.grid}: {seconds[0]:.2f} s a step of stage 1, {seconds[1]:.2f} s of stage 2")


def read_songs(corpus: Path, names: list[str], split: str, most: int) -> Iterator[tuple[np.ndarray, int]]:
    """Stems summed by instrument, float32 (N, L), and their rate."""
    for track in [track for track in open_slakh(corpus).tracks if track.split == split][:most]:
        groups = [[read_audio(stem.audio) for stem in group] for group in group_stems(track.stems, choose(names))]
        (length, rate) = next((len(samples), rate) for group in groups for samples, rate in group)
        silence = np.zeros(length, dtype=np.float32)
        yield np.stack([sum((samples for samples, _ in group), silence) for group in groups]), rate


def gains(stems: np.ndarray, rate: int, grid: Grid, edge: float) -> np.ndarray:
    """Improvement of SI-SDR by oracle masks, (2, N): of all that sounds, of what is above `edge` Hz; NaN of silence."""
    native, mixture = native_grid(grid, rate), stems.sum(axis=0)
    here = np.stack([resample(stem, rate, grid.sample_rate) for stem in stems])
    mapping = MaskMap(grid, native)
    magnitude = np.abs(stft(here.sum(axis=0), grid.n_fft, grid.hop))
    extended = mapping.extend(ratio_masks(here, grid).transpose(0, 2, 1), magnitude)
    spectrum = stft(mixture, native.n_fft, native.hop)
    masks = mapping.masks_at(extended, 0, 0, len(spectrum))
    estimates = np.stack([istft(spectrum * mask, len(mixture), native.n_fft, native.hop) for mask in masks])
    parts = [(stems, estimates, mixture), tuple(above(each, rate, edge) for each in (stems, estimates, mixture))]
    return np.array(
        [[si_sdr(true, found) - si_sdr(true, mix) for true, found in zip(*pair, strict=True)] for *pair, mix in parts]
    )


def above(samples: np.ndarray, rate: int, edge: float) -> np.ndarray:
    """What of signals (..., L) is above `edge` Hz."""
    length = samples.shape[-1]
    spectrum = np.fft.rfft(samples)
    spectrum[..., : int(edge * length / rate)] = 0
    return np.fft.irfft(spectrum, length)


if __name__ == "__main__":
    main()
