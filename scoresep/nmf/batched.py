"""The search of `factorise` as matrix products, for several songs at a time: where a GPU is at hand.

The compiled search computes the few components that sound in a frame; this one all of them in all frames, with
activations of zero where the score has none: an update multiplies, so what is zero stays zero. On a CPU it is the
slower way (tools/bench_factorise.py), and finds the same.

Axes besides those of `factorise`: B songs, U components of an instrument, as many as any in the batch has. What is
padded, components and frames alike, has zeros for activations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from scoresep.grid import Grid
from scoresep.nmf.components import FactoriseSettings, bands
from scoresep.nmf.factorisation import (
    TINY,
    Begun,
    Factors,
    ScoredMixture,
    SharedEnvelopes,
    begin,
    finished,
    neighbours,
)
from scoresep.nmf.kernels import BACKGROUND

CELLS = 2**25
"""Bins times frames of the songs that are searched together: the arrays of a search then take about a gigabyte."""


def factorise_together(
    songs: Sequence[ScoredMixture],
    kinds: Sequence[str],
    grid: Grid,
    settings: FactoriseSettings,
    device: str | torch.device,
) -> list[Factors]:
    """What `factorise` finds for each of the songs, but for rounding.

    Raises:
        ValueError: shapes that do not fit together.
    """
    factors: list[Factors] = []
    for batch in batches(songs):
        begun = [begin(*song[:2], kinds, grid, song.onsets, settings) for song in batch]
        factors += search_together(begun, len(kinds), grid, settings, torch.device(device))
    return factors


def batches(songs: Sequence[ScoredMixture], cells: int = CELLS) -> Iterator[Sequence[ScoredMixture]]:
    """The songs in order, as many at a time as `cells` has room for when all are as long as the longest."""
    first, longest = 0, 0
    for place, song in enumerate(songs):
        longest = max(longest, song.magnitude.size)
        if place > first and longest * (place + 1 - first) > cells:
            yield songs[first:place]
            first, longest = place, song.magnitude.size
    if first < len(songs):
        yield songs[first:]


@torch.no_grad()
def search_together(
    songs: Sequence[Begun], instruments: int, grid: Grid, settings: FactoriseSettings, device: torch.device
) -> list[Factors]:
    """Better factors of several mixtures: the updates of `search`, templates with a largest bin of 1 in the end."""
    batch = SongBatch(songs, instruments, settings, device)
    mixture, templates, activation = batch.mixture, batch.templates, batch.activation
    shapes = torch.from_numpy(bands(grid, settings.bands).astype(np.float32)).to(device)
    envelopes = SharedEnvelopes(batch.near, templates * batch.pitched, shapes, lambda a, b: a @ b.T, torch.matmul)
    weighted = batch.pitched & settings.weighted
    prior = settings.prior * batch.pitched
    for iteration in range(settings.iterations):
        model, largest = explained(batch, templates, activation)
        share, ratio = largest.div_(model).square_(), mixture / model
        learnt = torch.where(weighted, activation @ (ratio * share), activation @ ratio) * templates
        exposure = torch.where(weighted, activation @ share, activation.sum(2, keepdim=True))
        activation = activation * (templates @ ratio.transpose(1, 2))
        shared = envelopes.update(learnt, exposure)
        learnt = (learnt + prior * shared) / (exposure + prior).clamp_min(float(TINY))
        if iteration < settings.shared:
            learnt = torch.where(batch.pitched, shared, learnt)
        total = learnt.sum(2, keepdim=True)
        templates = torch.where(total > 0, learnt / total, templates)
    found = batch.factors(templates.cpu().numpy(), activation.cpu().numpy())
    return [finished(factors, settings) for factors in found]


def explained(batch: SongBatch, templates: Tensor, activation: Tensor) -> tuple[Tensor, Tensor]:
    """The model of the mixtures and the largest part of an instrument in it, (B, T, F) each."""
    model, largest = torch.full_like(batch.mixture, float(BACKGROUND)), torch.zeros_like(batch.mixture)
    for n in range(batch.instruments):
        place = slice(n * batch.width, (n + 1) * batch.width)
        part = activation[:, place].transpose(1, 2) @ templates[:, place]
        model += part
        torch.maximum(largest, part, out=largest)
    return model, largest


class SongBatch:
    """Songs side by side on a device; instruments follow one another in K = N U, with zeros where one has fewer than U.

    Attributes:
        instruments, width: N and U.
        mixture: float32 (B, T, F).
        templates: float32 (B, K, F), each of sum 1.
        activation: float32 (B, K, T).
        near: `neighbours` of the pitched components, float32 (B, K, K).
        pitched: which began as combs, bool (B, K, 1).
    """

    def __init__(
        self, songs: Sequence[Begun], instruments: int, settings: FactoriseSettings, device: torch.device
    ) -> None:
        self._songs, self.instruments = songs, instruments
        width = self.width = max(int(np.bincount(song.factors.instrument, minlength=1).max()) for song in songs)
        self._places = [places(song.factors.instrument, width) for song in songs]
        frames, bins = (max(song.mixture.shape[axis] for song in songs) for axis in (0, 1))
        shape = (len(songs), instruments * width)
        mixture, templates = np.zeros((len(songs), frames, bins), np.float32), np.zeros((*shape, bins), np.float32)
        activation, near = np.zeros((*shape, frames), np.float32), np.zeros((*shape, shape[1]), np.float32)
        pitched = np.zeros((*shape, 1), dtype=bool)
        for b, (song, place) in enumerate(zip(songs, self._places, strict=True)):
            length, combs = len(song.mixture), place[song.start.pitched]
            mixture[b, :length] = song.mixture
            templates[b, place] = song.factors.templates
            activation[b, place, :length] = song.factors.dense()
            pitched[b, combs] = True
            near[b][np.ix_(combs, combs)] = neighbours(song.start, settings)
        self.mixture, self.templates, self.activation, self.near, self.pitched = (
            torch.from_numpy(values).to(device) for values in (mixture, templates, activation, near, pitched)
        )

    def factors(self, templates: np.ndarray, activation: np.ndarray) -> Iterator[Factors]:
        """What was found of each song."""
        for b, (song, place) in enumerate(zip(self._songs, self._places, strict=True)):
            old = song.factors
            entries = activation[b, place[old.component], old.frame]
            yield replace(old, templates=templates[b, place], activation=entries)


def places(instrument: np.ndarray, width: int) -> np.ndarray:
    """Where components whose instruments (K,) ascend lie, where each instrument has room for `width`."""
    return instrument * width + np.arange(len(instrument)) - np.searchsorted(instrument, instrument)
