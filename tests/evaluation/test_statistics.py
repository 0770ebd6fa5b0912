import numpy as np
import pytest
import scipy.stats

from scoresep.evaluation.statistics import RESAMPLES, bootstrap, finite, nanmean, paired

RNG = np.random.default_rng(0)
NAN = np.nan


def interval(values: np.ndarray, of=np.mean) -> list[float] | None:
    return bootstrap(len(values), [lambda drawn: of(values[drawn], axis=-1)])


@pytest.mark.parametrize("of", [np.mean, np.median])
def test_intervals_are_those_of_scipy(of) -> None:
    """The same percentile method and draws; `scipy.stats.bootstrap` has no interval where a resample is undefined."""
    values = RNG.normal(3.0, 2.0, 40)
    expected = scipy.stats.bootstrap(
        (values,), of, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert interval(values, of) == pytest.approx(list(expected))


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    hits = 0
    for _ in range(400):
        low, high = interval(RNG.normal(1.0, 1.0, 40))
        hits += low <= 1.0 <= high
    assert 0.89 <= hits / 400 <= 0.98


def test_seeded_and_undefined() -> None:
    values = RNG.normal(0, 1, 10)
    assert interval(values) == interval(values)
    assert interval(values[:1]) is None
    assert bootstrap(0, [lambda drawn: drawn.sum(axis=-1)]) is None
    assert bootstrap(3, []) is None
    assert bootstrap(3, [lambda drawn: np.full(len(drawn), NAN)]) is None
    assert interval(np.array([NAN, 1.0, 1.0]), lambda drawn, axis: nanmean(drawn, axis)) == [1.0, 1.0]


def test_a_mean_over_instruments_draws_their_tracks_together() -> None:
    """Two instruments that differ by the sign: their mean is zero in every resample."""
    values = RNG.normal(0, 1, 20)
    both = [lambda drawn, sign=sign: sign * values[drawn].mean(axis=-1) for sign in (1, -1)]
    assert bootstrap(20, both) == pytest.approx([0, 0], abs=1e-12)


def test_nothing_left_is_undefined_without_a_warning() -> None:
    values = np.array([[NAN, NAN], [1.0, NAN], [1.0, 2.0]])
    np.testing.assert_array_equal(nanmean(values, axis=1), [NAN, 1.0, 1.5])
    assert np.isnan(nanmean(values[0], of=np.nanmedian)) and nanmean(values[2], of=np.nanmedian) == 1.5
    assert (finite(np.nan), finite(np.inf), finite(np.float32(0.5))) == (None, None, 0.5)


def test_wilcoxon_by_hand() -> None:
    """Ranks 1 to 6, all but the smallest difference positive: 2 of the 64 signs give a rank sum of at most 1, twice."""
    differences = np.array([-0.1, 0.2, 0.3, 0.4, 0.5, 0.6, NAN])
    found = paired(np.ones(7), 1 + differences)
    assert found is not None
    assert (found["n"], found["p"]) == (6, pytest.approx(4 / 64))
    assert (found["a"], found["b"]) == (1, pytest.approx(1 + 1.9 / 6))
    assert found["difference"] == pytest.approx(1.9 / 6)
    assert found["median_difference"] == pytest.approx(0.35)
    low, high = found["interval"]
    assert low < found["difference"] < high


def test_pairs_by_hand() -> None:
    found = paired(np.array([1.0, 2.0, NAN, 4.0]), np.array([2.0, 4.0, 9.0, NAN]))
    assert (found["n"], found["a"], found["b"], found["difference"]) == (2, 1.5, 3.0, 1.5)


def test_no_difference_and_no_pair() -> None:
    found = paired(np.ones(5), np.ones(5))
    assert found is not None and (found["difference"], found["p"], found["interval"]) == (0, 1, [0, 0])
    assert paired(np.array([NAN]), np.array([1.0])) is None
    one = paired(np.array([0.5]), np.array([1.0]))
    assert one is not None and one["interval"] is None and one["p"] == pytest.approx(1.0)
