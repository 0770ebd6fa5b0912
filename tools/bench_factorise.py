"""Time the score-informed factorisation of `scoresep.nmf` against dense NumPy, in one process on one core.

    OMP_NUM_THREADS=1 python tools/bench_factorise.py [--seconds 240] [--groups piano,guitar,bass] [--repeats 3]
    OMP_NUM_THREADS=1 python tools/bench_factorise.py --device cuda [--songs 8]
    OMP_NUM_THREADS=1 python tools/bench_factorise.py --cache cache.h5 [--split test] [--tracks 16] [--missing 0.25]

The music is composed; its magnitude is made of its notes' combs, decaying, and of noise. Dense NumPy does the same
updates as matrix products over all components and all frames, with zeros where the score has none; both must find the
same factors. Times are process times, the median of the repeats; the score's rolls are given, the masks are included.

With `--device`: the batched form on that device, of `--songs` songs at once, beside the compiled one on one core. With
`--cache`: how well it separates the tracks of a cache with stems, beside the harmonic mask and the oracle mask; with
`--missing` and `--wrong` by scores that lack a share of their notes and have others up to a fourth away.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from gains import gains, with_mean
from turns import medians

from scoresep.audio.spectrogram import istft, stft
from scoresep.cache.reader import Cache
from scoresep.evaluation.baselines import TrueTrack, harmonic_mask, oracle_mask
from scoresep.grid import LOWEST_PITCH, Grid
from scoresep.instruments import Instrument, choose, group_of
from scoresep.machine import choose_device
from scoresep.nmf import FactoriseSettings, Factors, ScoredMixture, factorise, masks
from scoresep.nmf.batched import factorise_together
from scoresep.nmf.components import Components, combs, components_of
from scoresep.nmf.kernels import BACKGROUND, warm_up
from scoresep.rendering.composer import compose
from scoresep.score.parts import part_from_notes
from scoresep.score.piano_roll import rasterise

GRID, USUAL = Grid(), FactoriseSettings()
PLAIN = replace(USUAL, shared=0, prior=0.0, weighted=False)
"""The updates alone, which dense NumPy does too."""
LOSS = 0.97
"""Of a note's magnitude, what is left a frame later."""


def main() -> None:
    """Print how fast each way is, and the size of the factors."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=240.0, help="of music (default: %(default)s)")
    options.add_argument("--groups", default="piano,guitar,bass", help="instruments, by comma (default: %(default)s)")
    options.add_argument("--repeats", type=int, default=3, help="turns of each way (default: %(default)s)")
    options.add_argument("--device", help="time the batched form there instead: cuda, cpu")
    options.add_argument("--songs", type=int, default=8, help="of the batched form (default: %(default)s)")
    options.add_argument("--cache", type=Path, help="measure quality on this cache instead")
    options.add_argument("--stored", action="store_true", help="of that cache's own factors (default: found anew)")
    options.add_argument("--split", help="of that cache (default: all)")
    options.add_argument("--missing", type=float, default=0.0, help="share of the notes to leave out of scores")
    options.add_argument("--wrong", type=float, default=0.0, help="share of the others that get another pitch")
    options.add_argument("--tracks", type=int, help="of that split, from its beginning (default: all)")
    chosen = options.parse_args()
    if chosen.cache:
        print_quality(Cache(chosen.cache), chosen)
        return
    instruments = choose(chosen.groups.split(","))
    kinds = [instrument.kind for instrument in instruments]
    rolls, onsets = composed(chosen.seconds, instruments)
    magnitude = sound_of(rolls)
    start = components_of(rolls, onsets, kinds, GRID, PLAIN)
    warm_up()
    if chosen.device:
        print_device(ScoredMixture(magnitude, rolls, onsets), kinds, chosen)
        return

    def ours(settings: FactoriseSettings) -> Factors:
        return factorise(magnitude, rolls, kinds, GRID, onsets, settings)

    check(ours(PLAIN), *dense(magnitude.T, start, PLAIN.iterations))
    found = ours(USUAL)
    times = medians(
        {
            "factorise": lambda: ours(USUAL),
            "masks": lambda: masks(found),
            "updates alone": lambda: ours(PLAIN),
            "updates alone, dense NumPy": lambda: dense(magnitude.T, start, PLAIN.iterations),
        },
        chosen.repeats,
        time.process_time,
    )
    print(
        f"{chosen.seconds:.0f} s of {', '.join(i.name for i in instruments)}: {len(found.templates)} components, "
        f"{len(found.component) / found.frames:.1f} of them in a frame, {USUAL.iterations} iterations"
    )
    for name, took in times.items():
        print(f"    {name + ':':28} {took:7.3f} s, {chosen.seconds / took:6.0f} times real time")
    both = times["factorise"] + times["masks"]
    print(f"    {'factorise and masks:':28} {both:7.3f} s, {chosen.seconds / both:6.0f} times real time")
    print(f"    dense NumPy takes {times['updates alone, dense NumPy'] / times['updates alone']:.1f} times as long")
    print_sizes(found, len(instruments))


def print_device(song: ScoredMixture, kinds: list[str], chosen: argparse.Namespace) -> None:
    """What `device_times` finds."""
    found = device_times([song] * chosen.songs, kinds, choose_device(chosen.device), chosen.repeats)
    print(f"{chosen.songs} songs of {chosen.seconds:.0f} s")
    print(f"    masks differ by at most {found['masks differ by']:.0e}")
    for name, label in (("compiled", "compiled, one core"), ("batched", f"batched on {chosen.device}")):
        rate = chosen.songs * chosen.seconds / found[name]
        print(f"    {label + ':':28} {found[name]:7.3f} s, {rate:6.0f} times real time")
    print(f"    the batched form is {found['compiled'] / found['batched']:.2f} times as fast")


def device_times(songs: list[ScoredMixture], kinds: list[str], device: torch.device, repeats: int) -> dict[str, float]:
    """Seconds of the `compiled` form on one core and of the `batched` one, by the clock, since a device works while
    the process waits; and by how much their masks of the first song differ."""
    (found,) = factorise_together(songs[:1], kinds, GRID, USUAL, device)
    wrong = np.abs(masks(found) - masks(factorise(*songs[0][:2], kinds, GRID, songs[0].onsets))).max()
    assert wrong < 1e-2, f"the batched form finds other masks, by {wrong:.1e}"
    times = medians(
        {
            "compiled": lambda: [factorise(*each[:2], kinds, GRID, each.onsets, USUAL) for each in songs],
            "batched": lambda: factorise_together(songs, kinds, GRID, USUAL, device),
        },
        repeats,
        time.perf_counter,
    )
    return {**times, "masks differ by": float(wrong)}


def composed(seconds: float, instruments: tuple[Instrument, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rolls and onsets of a composed song, bool (N, P, T) each."""
    frames = GRID.frames(round(seconds * GRID.sample_rate))
    groups: list[list] = [[] for _ in instruments]
    for part in compose(np.random.default_rng(seed), seconds).parts:
        if (n := group_of(part.program, part.is_drum, instruments)) is not None:
            groups[n].append(part)
    pairs = [rasterise(group, GRID, frames) for group in groups]
    return np.stack([roll.T for roll, _ in pairs]), np.stack([onset.T for _, onset in pairs])


def sound_of(rolls: np.ndarray, seed: int = 0) -> np.ndarray:
    """A magnitude (F, T) of level 1 for the notes of rolls (N, P, T): combs that decay, and noise."""
    shapes = combs(np.arange(rolls.shape[1]) + LOWEST_PITCH, GRID, USUAL)
    height = np.zeros(rolls.shape[1:])
    for roll in rolls:
        age = np.zeros(len(roll))
        for t in range(roll.shape[1]):
            age = (age + 1) * roll[:, t]
            height[:, t] += roll[:, t] * LOSS**age
    noise = np.random.default_rng(seed).gamma(1.0, 1e-3, (GRID.bins, rolls.shape[2]))
    return np.asfortranarray(shapes.T @ height + noise, dtype=np.float32)


def dense(mixture: np.ndarray, start: Components, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """The plain updates of (T, F) as matrix products: templates (K, F) of sum 1, activations (T, K), float32."""
    templates = start.templates.copy()
    part = mixture.sum(axis=1, keepdims=True) / np.maximum(start.support.sum(axis=1, keepdims=True), 1)
    activations = (start.support * part).astype(np.float32)
    for _ in range(iterations):
        ratio = mixture / (activations @ templates + BACKGROUND)
        learnt = templates * (activations.T @ ratio)
        activations *= ratio @ templates.T
        templates = learnt / np.maximum(learnt.sum(axis=1, keepdims=True), np.float32(1e-9))
    return templates, activations


def check(found: Factors, templates: np.ndarray, activations: np.ndarray) -> None:
    """Both ways must have found the same."""
    peak = templates.max(axis=1)
    wrong = np.abs(found.dense().T - activations * peak).max() / (activations * peak).max()
    assert wrong < 1e-3, f"dense NumPy finds other activations, by {wrong:.1e}"


def print_sizes(found: Factors, count: int) -> None:
    """What storing the factors takes, against what they are factors of."""
    half = found.half()
    entries = half.component.nbytes + half.activation.nbytes + found.frames * 4
    whole = 2 * GRID.bins * found.frames
    print(
        f"    stored in float16: templates {half.templates.nbytes / 1e3:.0f} kB, entries {entries / 1e3:.0f} kB; "
        f"masks would be {count * whole / 1e3:.0f} kB, the mixture's magnitude is {whole / 1e3:.0f} kB"
    )


def print_quality(cache: Cache, chosen: argparse.Namespace) -> None:
    """Mean improvement of SI-SDR over the mixture, by instrument."""
    rows = cache.rows(chosen.split) if chosen.split else np.arange(len(cache.tracks["id"]))
    warm_up()
    found = [improvements(cache, int(row), chosen) for row in rows[: chosen.tracks]]
    print(f"{len(found)} tracks, SI-SDR improvement in dB: {', '.join(cache.names)}; mean")
    for name in found[0]:
        *by_instrument, mean = with_mean([figures[name] for figures in found])
        print(f"    {name + ':':16}", *(f"{value:6.2f}" for value in by_instrument), f"  {mean:6.2f}")


def improvements(cache: Cache, row: int, chosen: argparse.Namespace) -> dict[str, list[float]]:
    """Of each way and instrument of one track; NaN for instruments that are silent or nearly alone."""
    grid, track = cache.grid, TrueTrack(cache.mixture(row), cache.stems(row), cache.harmonic(row), cache.grid)
    factors = {"stored": cache.factors(row)} if chosen.stored else found_anew(cache, row, chosen.missing, chosen.wrong)
    spectrum = stft(track.mixture, grid.n_fft, grid.hop)
    factorised = {
        name: [istft(spectrum * share.T, len(track.mixture), grid.n_fft, grid.hop) for share in masks(found)]
        for name, found in factors.items()
    }
    estimates = {"harmonic mask": harmonic_mask(track), **factorised, "oracle mask": oracle_mask(track)}
    return {name: gains(track.mixture, track.stems, sounds, grid.sample_rate) for name, sounds in estimates.items()}


def found_anew(cache: Cache, row: int, missing: float, wrong: float) -> dict[str, Factors]:
    """Factors of a track as this version finds them, without and with notes that are not written."""
    magnitude = cache.magnitude(row).astype(np.float32).T / np.float32(cache.level(row))
    rolls, onsets = np.moveaxis(cache.roll(row), 0, 2), np.moveaxis(cache.onset(row), 0, 2)
    if missing or wrong:
        rolls, onsets = damaged(cache, row, missing, wrong)
    kinds = [instrument.kind for instrument in cache.instruments]
    return {
        name: factorise(magnitude, rolls, kinds, cache.grid, onsets, replace(USUAL, unwritten=name == "unwritten"))
        for name in ("factorised", "unwritten")
    }


def damaged(cache: Cache, row: int, missing: float, wrong: float) -> tuple[np.ndarray, np.ndarray]:
    """Rolls and onsets, bool (N, P, T), of a track's notes without some, and with others up to a fourth away."""
    rng = np.random.default_rng(row)
    notes = cache.notes(row)
    notes = notes[rng.uniform(size=len(notes)) >= missing]
    moved = rng.uniform(size=len(notes)) < wrong
    notes[moved, 2] += rng.choice([-5, -4, -3, -2, -1, 1, 2, 3, 4, 5], moved.sum())
    of_each = (notes[notes[:, 4] == n, :4].tolist() for n in range(len(cache.instruments)))
    frames = int(cache.tracks["frames"][row])
    pairs = [rasterise([part_from_notes(own)], cache.grid, frames) for own in of_each]
    return np.stack([roll.T for roll, _ in pairs]), np.stack([onset.T for _, onset in pairs])


if __name__ == "__main__":
    main()
