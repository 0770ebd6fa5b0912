import numpy as np
import pytest

from scoresep.evaluation.baselines import BASELINES, TrueTrack
from scoresep.evaluation.metrics import si_sdr
from scoresep.grid import Grid

GRID = Grid(8000, 1024, 256)


def track(second: bool = True) -> TrueTrack:
    """Two tones, their score, and masks that cover both, each, or neither."""
    time = np.arange(16000) / 8000
    stems = 0.1 * np.stack([np.sin(2 * np.pi * 493.88 * time), second * np.sin(2 * np.pi * 1975.53 * time)])
    harmonic = np.zeros((GRID.frames(16000), 2, GRID.bins), dtype=bool)
    harmonic[:, 0, 60:69] = True
    harmonic[:, 1, 252:261] = True
    roll, onset = (np.zeros((GRID.frames(16000), 2, 88), dtype=bool) for _ in range(2))
    roll[:, 0, 71 - 21], roll[:, 1, 95 - 21] = True, second
    onset[0] = roll[0]
    mixture = stems.sum(axis=0).astype(np.float32)
    return TrueTrack(mixture, stems.astype(np.float32), harmonic, GRID, ("harmonic", "harmonic"), roll, onset)


@pytest.mark.parametrize("name", BASELINES)
def test_shape(name: str) -> None:
    assert BASELINES[name].estimate(track()).shape == (2, 16000)


def test_mixture_is_the_mixture() -> None:
    some = track()
    assert all((estimate == some.mixture).all() for estimate in BASELINES["mixture"].estimate(some))


@pytest.mark.parametrize(("name", "least"), [("oracle_mask", 30), ("harmonic_mask", 30), ("score_nmf", 30)])
def test_masks_part_what_does_not_overlap(name: str, least: float) -> None:
    some = track()
    for stem, estimate in zip(some.stems, BASELINES[name].estimate(some), strict=True):
        assert si_sdr(stem, estimate) > least


@pytest.mark.parametrize("name", ["oracle_mask", "harmonic_mask", "score_nmf"])
def test_estimates_add_up(name: str) -> None:
    some = track()
    np.testing.assert_allclose(BASELINES[name].estimate(some).sum(axis=0), some.mixture, atol=1e-5)


def test_bins_that_no_score_or_every_score_covers_are_shared() -> None:
    some = track()
    for covered in (True, False):
        same = TrueTrack(some.mixture, some.stems, np.full_like(some.harmonic, covered), GRID)
        for estimate in BASELINES["harmonic_mask"].estimate(same):
            np.testing.assert_allclose(estimate, some.mixture / 2, atol=1e-6)


def test_silent_stem_gets_nothing_from_the_oracle() -> None:
    assert np.abs(BASELINES["oracle_mask"].estimate(track(second=False))[1]).max() < 1e-6
