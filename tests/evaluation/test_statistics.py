import math

import numpy as np
import pytest
import scipy.stats

from scoresep.evaluation.metrics import Counts, scores
from scoresep.evaluation.statistics import Bootstrap, f1_of, mean_of, median_of, nanmean, nanmedian, paired

RNG = np.random.default_rng(0)
NAN = np.nan


def test_intervals_are_those_of_scipy() -> None:
    """The same percentile method, its own random numbers: equal within the error of resampling."""
    values = RNG.normal(3.0, 2.0, 40)
    for statistic, official in ((mean_of, np.mean), (median_of, np.median)):
        expected = scipy.stats.bootstrap(
            (values,), official, n_resamples=5000, method="percentile", rng=np.random.default_rng(1)
        ).confidence_interval
        found = Bootstrap(40, 5000).interval(statistic(values))
        assert found == pytest.approx(list(expected), abs=0.1)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    draw = Bootstrap(40, 400)
    hits = 0
    for _ in range(400):
        low, high = draw.interval(mean_of(RNG.normal(1.0, 1.0, 40)))
        hits += low <= 1.0 <= high
    assert 0.89 <= hits / 400 <= 0.98


def test_seeded_and_undefined() -> None:
    values = RNG.normal(0, 1, 10)
    assert Bootstrap(10).interval(mean_of(values)) == Bootstrap(10).interval(mean_of(values))
    assert Bootstrap(1).interval(mean_of(values[:1])) is None
    assert Bootstrap(0).interval(mean_of(values[:0])) is None
    assert Bootstrap(3).interval(mean_of(np.array([NAN, 1.0, NAN]))) is None
    assert Bootstrap(3).interval(median_of(np.array([NAN, NAN, NAN]))) is None
    assert Bootstrap(3).interval(mean_of(np.array([NAN, 1.0, 1.0]))) == [1.0, 1.0]


def test_a_mean_over_instruments_draws_their_tracks_together() -> None:
    """Two instruments that differ by the sign: their mean is zero in every resample."""
    values = RNG.normal(0, 1, 20)
    assert Bootstrap(20).interval(mean_of(values), mean_of(-values)) == pytest.approx([0, 0], abs=1e-12)


def test_f1_is_pooled_within_each_resample() -> None:
    counts = RNG.integers(0, 50, (6, 3))
    drawn = np.array([[0, 0, 1, 2, 5, 5], [3, 3, 3, 3, 3, 3]])
    for found, rows in zip(f1_of(counts)(drawn), drawn, strict=True):
        assert found == pytest.approx(scores(Counts(*counts[rows].sum(axis=0).tolist())).f1)


def test_means_and_medians_leave_out_what_is_undefined() -> None:
    values = np.where(RNG.random((30, 7)) < 0.3, NAN, RNG.normal(0, 1, (30, 7)))
    values[0] = NAN
    assert np.isnan(nanmean(values, axis=1)[0]) and np.isnan(nanmedian(values)[0])
    np.testing.assert_allclose(nanmean(values[1:], axis=1), np.nanmean(values[1:], axis=1))
    np.testing.assert_allclose(nanmedian(values[1:]), np.nanmedian(values[1:], axis=1))


def test_wilcoxon_by_hand() -> None:
    """Ranks 1 to 6, all but the smallest difference positive: 2 of the 64 signs give a rank sum of at most 1, twice."""
    found = paired(np.array([-0.1, 0.2, 0.3, 0.4, 0.5, 0.6, NAN]))
    assert found is not None
    assert (found.n, found.p) == (6, pytest.approx(4 / 64))
    assert found.mean == pytest.approx(1.9 / 6)
    assert found.median == pytest.approx(0.35)
    assert found.interval[0] < found.mean < found.interval[1]


def test_no_difference_and_no_pair() -> None:
    found = paired(np.zeros(5))
    assert found is not None and (found.mean, found.p, found.interval) == (0, 1, [0, 0])
    assert paired(np.array([NAN])) is None
    one = paired(np.array([0.5]))
    assert one is not None and one.interval is None and math.isclose(one.p, 1.0)
