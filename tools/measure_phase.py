"""What better phases could give: oracles, and a model's masks before and after refinement, on a cache with stems.

    python tools/measure_phase.py cache.h5 [--ckpt CKPT] [--split test] [--tracks 39]

Prints the mean improvement of SI-SDR over the mixture in dB, by instrument; pairs as `scoresep evaluate` scores them.
All is done on the model's grid, in mono. Phases are the mixture's unless a row says otherwise; all estimates but
those of phase-sensitive masks and of magnitudes alone add up to the mixture.

    ratio mask        |S_i| / sum_j |S_j|; `energies`: the same of squares
    phase-sensitive   Re(S_i / X) within 0 and 1, the best of such masks (Erdogan et al., ICASSP 2015)
    magnitudes        |S_i| with the mixture's phase
    MISI k            multiple input spectrogram inversion (Gunawan and Sen, IEEE Signal Processing Letters 2010), k
                      times: keep the magnitudes, take the phases of the estimates after their error was shared out
    consistent        Wiener filtering under a penalty of inconsistent spectra (Le Roux and Vincent, IEEE Signal
                      Processing Letters 2013), by a fixed-point iteration; the masks stand for the Wiener filter
    long window       as `separate --long-window`
    power a           masks M_i^a / sum_j M_j^a
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gains import gains, with_mean

from scoresep.audio.spectrogram import istft, stft
from scoresep.cache.reader import Cache
from scoresep.evaluation.baselines import ratio_masks
from scoresep.grid import Grid
from scoresep.models.checkpoint import load_checkpoint
from scoresep.models.model import Model
from scoresep.pretrained import SHIPPED_MODEL
from scoresep.separation.separate import Options, separate_array

QUIET = 1e-8
LONG = Options(long_window=True)
POWERS = (0.7, 0.85, 1.2, 1.5)
DOUBT, STEPS = 3.0, 5
"""Of the consistent filter: the penalty's weight, chosen on validation tracks, and steps of its iteration."""


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cache", type=Path)
    options.add_argument("--ckpt", type=Path, default=SHIPPED_MODEL, help="of the cache's instruments and grid")
    options.add_argument("--split", default="test")
    options.add_argument("--tracks", type=int, help="evenly from the split (default: all)")
    chosen = options.parse_args()
    cache, model = Cache(chosen.cache), load_checkpoint(chosen.ckpt).model
    rows = evenly(cache, chosen.split, chosen.tracks)
    found = [track_gains(cache, row, model) for row in rows]
    print(f"{len(rows)} tracks of {chosen.split}, SI-SDR improvement in dB: {', '.join(cache.names)}; mean")
    for name in found[0]:
        *figures, mean = with_mean([each[name] for each in found])
        print(f"    {name:23}", *(f"{value:6.2f}" for value in figures), f"  {mean:6.2f}", flush=True)


def evenly(cache: Cache, split: str, count: int | None) -> list[int]:
    """Rows of so many tracks of a split, or of all, from its beginning to its end."""
    rows = cache.rows(split)
    places = np.linspace(0, len(rows) - 1, min(count or len(rows), len(rows)))
    return [int(row) for row in rows[places.astype(int)]]


def track_gains(cache: Cache, row: int, model: Model) -> dict[str, list[float]]:
    """Of each way and instrument of one track."""
    mixture, stems = cache.mixture(row), cache.stems(row)
    rate = cache.grid.sample_rate
    return {name: gains(mixture, stems, way(), rate) for name, way in ways(mixture, stems, model).items()}


def ways(mixture: np.ndarray, stems: np.ndarray, model: Model) -> dict[str, Callable[[], list[np.ndarray]]]:
    """What makes estimates (N, L) of each row of the table."""
    grid, spectrum = model.grid, stft(mixture, model.grid.n_fft, model.grid.hop)
    true = np.stack([stft(stem, grid.n_fft, grid.hop) for stem in stems])
    ratio, energies = ratio_masks(stems, grid), powered(np.abs(true), 2)
    sensitive = np.clip((true * spectrum.conj()).real / np.maximum(np.abs(spectrum) ** 2, QUIET), 0, 1)
    with_phase = np.abs(true) * spectrum / np.maximum(np.abs(spectrum), QUIET)
    found: list[np.ndarray] = []
    separate_array(mixture, grid.sample_rate, model, masks=found)
    masks = np.concatenate(found, axis=2).transpose(0, 2, 1)

    def sound(spectra: np.ndarray) -> list[np.ndarray]:
        return [istft(each, len(mixture), grid.n_fft, grid.hop) for each in spectra]

    rows: dict[str, Callable[[], list[np.ndarray]]] = {
        "oracle ratio mask": lambda: sound(ratio * spectrum),
        "oracle energies": lambda: sound(energies * spectrum),
        "  consistent": lambda: consistent(mixture, energies, spectrum, grid),
        "oracle phase-sensitive": lambda: sound(sensitive * spectrum),
        "oracle magnitudes": lambda: sound(with_phase),
        "  MISI 5": lambda: misi(mixture, with_phase, ratio, grid, 5),
        "  MISI 20": lambda: misi(mixture, with_phase, ratio, grid, 20),
        "the model": lambda: sound(masks * spectrum),
    }
    for power in POWERS:
        rows[f"model, power {power}"] = lambda power=power: sound(powered(masks, power) * spectrum)
    rows["model, long window"] = lambda: [*separate_array(mixture, grid.sample_rate, model, LONG).values()]
    rows["model, MISI 1"] = lambda: misi(mixture, masks * spectrum, masks, grid, 1)
    rows["model, MISI 5"] = lambda: misi(mixture, masks * spectrum, masks, grid, 5)
    rows["model, consistent"] = lambda: consistent(mixture, masks, spectrum, grid)
    return rows


def powered(masks: np.ndarray, power: float) -> np.ndarray:
    """Masks (N, T, F) to a power, adding up to 1."""
    raised: np.ndarray = np.maximum(masks, QUIET) ** power
    return raised / raised.sum(axis=0)


def misi(mixture: np.ndarray, spectra: np.ndarray, masks: np.ndarray, grid: Grid, count: int) -> list[np.ndarray]:
    """Estimates (N, L) from spectra (N, T, F); the error of their sum is shared out by masks."""
    magnitude, length = np.abs(spectra), len(mixture)
    for _ in range(count):
        sounds = [istft(each, length, grid.n_fft, grid.hop) for each in spectra]
        missing = stft(mixture - np.sum(sounds, axis=0), grid.n_fft, grid.hop)
        spectra = np.stack([stft(each, grid.n_fft, grid.hop) for each in sounds]) + masks * missing
        spectra *= magnitude / np.maximum(np.abs(spectra), QUIET)
    return added_up(mixture, [istft(each, length, grid.n_fft, grid.hop) for each in spectra], masks, grid)


def consistent(mixture: np.ndarray, masks: np.ndarray, spectrum: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """Estimates (N, L): S <- (M X / v + g F(S)) / (1 / v + g), F(S) the spectrum of S's sound, g `DOUBT`, and v =
    M (1 - M) |X|^2 / mean |X|^2, how little a bin of the mixture says of S."""
    length, energy = len(mixture), np.abs(spectrum) ** 2
    doubt = DOUBT * masks * (1 - masks) * energy / energy.mean()
    share = doubt / (1 + doubt)
    first = spectra = masks * spectrum
    for _ in range(STEPS):
        again = [stft(istft(each, length, grid.n_fft, grid.hop), grid.n_fft, grid.hop) for each in spectra]
        spectra = first + share * (np.stack(again) - first)
    return added_up(mixture, [istft(each, length, grid.n_fft, grid.hop) for each in spectra], masks, grid)


def added_up(mixture: np.ndarray, sounds: list[np.ndarray], masks: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """Estimates (N, L) that add up to the mixture: what is missing goes where the masks (N, T, F) send it."""
    missing = stft(mixture - np.sum(sounds, axis=0), grid.n_fft, grid.hop)
    return [
        sound + istft(mask * missing, len(mixture), grid.n_fft, grid.hop)
        for sound, mask in zip(sounds, masks, strict=True)
    ]


if __name__ == "__main__":
    main()
