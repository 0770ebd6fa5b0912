"""A round's cache: the same tracks, with factors that the separator's masks began."""

from __future__ import annotations

import numpy as np
import pytest

from scoresep.cache.reader import Cache, check_cache
from scoresep.cache.schema import shard_datasets
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.nmf import FactoriseSettings, factorise, masks
from scoresep.nmf.components import combs
from scoresep.nmf.factorisation import begin

GRID = Grid(16000, 2048, 512)


@pytest.fixture(scope="module")
def rounds(pipeline):
    return pipeline("evidence/rounds.py")


def test_all_but_the_factors_stays(rounds, make, cache, tmp_path):
    rounds.next_cache(cache, make.checkpoint(tmp_path / "ckpt.pt", cache), tmp_path / "next.h5")
    found = Cache(tmp_path / "next.h5")
    assert found.digest != cache.digest and not check_cache(found)
    assert (found.excluded, found.findings, found.split_leakage) == (
        cache.excluded,
        cache.findings,
        cache.split_leakage,
    )
    for name, column in cache.tracks.columns.items():
        assert np.array_equal(found.tracks[name], column), name
    for row in range(len(cache.tracks)):
        for name in shard_datasets(cache.settings):
            same = np.array_equal(found.slice(name, row), cache.slice(name, row))
            assert same == (name not in ("template", "activation")), name


def test_masks_decide_what_the_mixture_leaves_open(rounds):
    """Two instruments play one key always together: only what they begin with can tell their spectra apart."""
    comb = combs(np.array([60]), GRID, FactoriseSettings())[0]
    dull, bright = (comb * slope for slope in np.exp(np.outer([-1, -0.2], np.arange(GRID.bins) / 100)))
    rolls = np.zeros((2, PITCHES, 40), dtype=bool)
    rolls[:, 60 - LOWEST_PITCH, 5:35] = True
    parts = np.stack([dull, bright])[:, :, None] * rolls.any(axis=1)[:, None]
    magnitude, truth = parts.sum(axis=0).astype(np.float32), parts / np.maximum(parts.sum(axis=0), 1e-9)
    settings = FactoriseSettings(onset_length=0.0, decay=0.0)
    begun = begin(magnitude, rolls, ["harmonic"] * 2, GRID, None, settings)
    told = rounds.restarted(begun, truth, GRID, settings)
    untold = factorise(magnitude, rolls, ["harmonic"] * 2, GRID, settings=settings)
    wrong = [np.abs((masks(found, 1.0) - truth) * magnitude).sum() / magnitude.sum() for found in (told, untold)]
    assert wrong[0] < 0.05 < 0.2 < wrong[1]
