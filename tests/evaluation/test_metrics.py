import fast_bss_eval
import numpy as np
import pytest

from scoresep.evaluation.metrics import LIMIT_DB, bleed_db, rest_bleed_db, resting, si_sdr

RNG = np.random.default_rng(0)


def test_si_sdr_by_hand() -> None:
    """Estimate = 2 r + e with e orthogonal to r: target energy 4 |r|^2 = 8, error energy 2 -> 10 log10 4."""
    reference, error = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, -1.0])
    assert si_sdr(reference, 2 * reference + error) == pytest.approx(10 * np.log10(4))


@pytest.mark.parametrize("noise", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_si_sdr_equals_fast_bss_eval(noise: float, offset: float) -> None:
    reference = RNG.standard_normal(5000) + offset
    estimate = 0.3 * reference + noise * RNG.standard_normal(5000)
    expected = fast_bss_eval.si_sdr(reference[None], estimate[None], zero_mean=False)
    assert si_sdr(reference, estimate) == pytest.approx(float(expected.squeeze()), abs=1e-3)


def test_si_sdr_ignores_scale_and_works_in_float32() -> None:
    reference = RNG.standard_normal(100_000).astype(np.float32)
    estimate = reference + 0.1 * RNG.standard_normal(100_000).astype(np.float32)
    assert si_sdr(reference, 1e-3 * estimate) == pytest.approx(si_sdr(reference, estimate), abs=1e-4)


def test_si_sdr_at_its_limits() -> None:
    signal = RNG.standard_normal(100)
    assert np.isnan(si_sdr(np.zeros(100), signal))
    assert si_sdr(signal, signal) == LIMIT_DB
    assert si_sdr(signal, np.zeros(100)) == -LIMIT_DB
    assert si_sdr(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == -LIMIT_DB


def test_leak() -> None:
    mixture = RNG.standard_normal(100)
    assert bleed_db(mixture, 0.1 * mixture) == pytest.approx(-20)
    assert bleed_db(mixture, np.zeros(100)) == -LIMIT_DB
    assert np.isnan(bleed_db(np.zeros(100), mixture))


def test_rests_by_hand() -> None:
    """2.1 s at 100 Hz: nine windows of a quarter second, of which the instrument is silent in the third to the last."""
    rng = np.random.default_rng(1)
    stem, other = rng.standard_normal((2, 210))
    stem[45:] *= 1e-5  # -100 dB; the second window still holds five samples
    mixture = stem + other
    rests = resting(mixture, stem, 100)
    assert rests.tolist() == [False, False, *[True] * 7]
    expected = 10 * np.log10(np.square(0.1 * other[50:]).sum() / np.square(mixture[50:]).sum())
    assert rest_bleed_db(mixture, 0.1 * other, rests, 100) == pytest.approx(expected)
    assert rest_bleed_db(mixture, 0 * other, rests, 100) == -LIMIT_DB
    assert np.isnan(rest_bleed_db(mixture, other, np.zeros(9, dtype=bool), 100))


def test_an_instrument_that_never_plays_rests_throughout() -> None:
    mixture = RNG.standard_normal(1000)
    rests = resting(mixture, np.zeros(1000), 100)
    assert rests.all()
    assert rest_bleed_db(mixture, 0.1 * mixture, rests, 100) == pytest.approx(bleed_db(mixture, 0.1 * mixture))
