"""The factorisation of several songs as matrix products finds what the compiled one finds in each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scoresep.grid import PITCHES, Grid
from scoresep.nmf import FactoriseSettings, Factors, ScoredMixture, factorise, masks
from scoresep.nmf.batched import CELLS, batches, factorise_together

GRID = Grid(8000, 256, 64)
KINDS = ["harmonic", "percussive", "harmonic", "other"]


def song(frames: int, seed: int, notes: int = 8) -> ScoredMixture:
    """Random notes, and magnitudes that have little to do with them."""
    rng = np.random.default_rng(seed)
    rolls = np.zeros((len(KINDS), PITCHES, frames), dtype=bool)
    for n, kind in enumerate(KINDS):
        for key, begin in zip(rng.integers(20, 60, notes), rng.integers(0, frames - 5, notes), strict=True):
            rolls[n, key, begin : begin + rng.integers(1, 12)] = kind != "other"
    onsets = rolls & ~np.pad(rolls, [(0, 0), (0, 0), (1, 0)])[..., :-1]
    return ScoredMixture(rng.gamma(0.3, 1.0, (GRID.bins, frames)).astype(np.float32), rolls, onsets)


def one_by_one(songs: list[ScoredMixture], settings: FactoriseSettings, kinds: list[str] = KINDS) -> list[Factors]:
    return [factorise(each.magnitude, each.rolls, kinds, GRID, each.onsets, settings) for each in songs]


def assert_alike(found: list[Factors], expected: list[Factors]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for name in ("instrument", "pitch", "first", "component"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
        assert ours.templates.dtype == ours.activation.dtype == np.float32
        np.testing.assert_allclose(ours.templates, theirs.templates, atol=1e-4)
        np.testing.assert_allclose(ours.activation, theirs.activation, atol=1e-4 * theirs.activation.max(initial=1))
        np.testing.assert_allclose(masks(ours), masks(theirs), atol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        FactoriseSettings(),
        FactoriseSettings(shared=0, prior=0.0, weighted=False),
        FactoriseSettings(unwritten=True),
        FactoriseSettings(iterations=40, shared=5, prior=1.0, onset_length=0.0),
    ],
)
def test_songs_of_all_lengths_together_are_as_one_by_one(settings: FactoriseSettings) -> None:
    songs = [song(60, 0), song(25, 1, notes=2), song(44, 2, notes=20)]
    assert_alike(factorise_together(songs, KINDS, GRID, settings, "cpu"), one_by_one(songs, settings))


def test_a_song_without_notes_and_silence_beside_others() -> None:
    silence = song(30, 0)._replace(magnitude=np.zeros((GRID.bins, 30), dtype=np.float32))
    songs, kinds = [song(40, 1), song(20, 2, notes=0), silence], KINDS[:3]
    songs = [each._replace(rolls=each.rolls[:3], onsets=each.onsets[:3]) for each in songs]
    expected = one_by_one(songs, FactoriseSettings(), kinds)
    assert len(expected[1].component) == 0
    assert_alike(factorise_together(songs, kinds, GRID, FactoriseSettings(), "cpu"), expected)
    (alone,) = factorise_together(songs[1:2], kinds, GRID, FactoriseSettings(), "cpu")
    assert alone.frames == 20 and len(alone.component) == 0


def test_no_songs() -> None:
    assert factorise_together([], KINDS, GRID, FactoriseSettings(), "cpu") == []


def test_a_batch_holds_as_many_songs_as_memory_allows() -> None:
    songs = [song(frames, 0) for frames in (10, 10, 30, 10, 50, 10)]
    bins = GRID.bins

    def lengths(cells: int) -> list[list[int]]:
        return [[each.magnitude.shape[1] for each in batch] for batch in batches(songs, cells)]

    assert lengths(CELLS) == [[10, 10, 30, 10, 50, 10]]
    assert lengths(60 * bins) == [[10, 10], [30, 10], [50], [10]]
    assert lengths(1) == [[10], [10], [30], [10], [50], [10]]  # a song that is too long is still one


def test_shapes_that_do_not_fit() -> None:
    wrong = song(30, 0)
    with pytest.raises(ValueError, match="magnitude"):
        factorise_together([wrong._replace(magnitude=wrong.magnitude[:, 1:])], KINDS, GRID, FactoriseSettings(), "cpu")
    with pytest.raises(ValueError, match="onsets"):
        factorise_together([wrong._replace(onsets=wrong.onsets[:, 1:])], KINDS, GRID, FactoriseSettings(), "cpu")


def test_more_passes_change_what_is_found() -> None:
    """What the comparisons above would not see if nothing were searched."""
    songs, few = [song(60, 0)], replace(FactoriseSettings(), iterations=3)
    (short,), (usual,) = (factorise_together(songs, KINDS, GRID, s, "cpu") for s in (few, FactoriseSettings()))
    assert np.abs(short.templates - usual.templates).max() > 0.1
