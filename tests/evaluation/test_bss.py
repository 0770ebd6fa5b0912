"""BSS Eval against least squares by hand and against fast-bss-eval."""

import subprocess
import sys

import fast_bss_eval
import numpy as np
import pytest
import torch

from scoresep.evaluation.metrics import BSS_FIGURES, bss_eval

RATE = 8000
TAPS = 512


def some(seed: int, sources: int = 2, samples: int = RATE) -> tuple[np.ndarray, np.ndarray]:
    """Stems, and estimates with leakage, filtering and noise."""
    rng = np.random.default_rng(seed)
    stems = rng.standard_normal((sources, samples))
    mixing = np.eye(sources) + 0.2 * rng.standard_normal((sources, sources))
    estimates = mixing @ stems + 0.3 * np.roll(stems, 1, axis=1) + 0.1 * rng.standard_normal(stems.shape)
    return stems, estimates


def delayed(signal: np.ndarray) -> np.ndarray:
    """The signal delayed by 0 to TAPS - 1 samples: (L + TAPS - 1, TAPS)."""
    return np.stack([np.pad(signal, (tap, TAPS - 1 - tap)) for tap in range(TAPS)], axis=1)


def by_hand(stems: np.ndarray, estimate: np.ndarray, place: int) -> list[float]:
    """SDR, ISR, SIR, SAR of one window that is the whole signal, from their definition."""
    padded, true = np.pad(estimate, (0, TAPS - 1)), np.pad(stems[place], (0, TAPS - 1))

    def project(basis: np.ndarray) -> np.ndarray:
        return basis @ np.linalg.lstsq(basis, padded, rcond=None)[0]

    alone = project(delayed(stems[place]))
    together = project(np.concatenate([delayed(stem) for stem in stems], axis=1))
    spatial, interference, artefacts = alone - true, together - alone, padded - together
    pairs = (
        (true, spatial + interference + artefacts),
        (true, spatial),
        (alone, interference),
        (together, artefacts),
    )
    return [10 * np.log10(np.square(above).sum() / np.square(below).sum()) for above, below in pairs]


def test_equals_the_definition() -> None:
    stems, estimates = some(0, samples=3000)
    measured = bss_eval(stems, estimates, RATE)
    assert (measured.windows, measured.dropped) == (1, 0)
    for n in range(2):
        assert measured.figures[:, n] == pytest.approx(by_hand(stems, estimates[n], n), abs=1e-3)


def test_interference_and_artefacts_equal_those_of_fast_bss_eval() -> None:
    stems, estimates = some(1, sources=3)
    tensors = (torch.from_numpy(values) for values in (stems, estimates))  # its NumPy form fails with NumPy 2
    _, sir, sar = fast_bss_eval.bss_eval_sources(*tensors, filter_length=TAPS, compute_permutation=False)
    measured = bss_eval(stems, estimates, RATE).figures
    assert measured[BSS_FIGURES.index("sir")] == pytest.approx(sir.numpy(), abs=0.01)
    assert measured[BSS_FIGURES.index("sar")] == pytest.approx(sar.numpy(), abs=0.01)


def test_sdr_is_the_median_over_windows_of_a_second() -> None:
    """The SDR of images needs no filter: stem against error, window by window."""
    stems, estimates = some(2, samples=5 * RATE + 100)
    estimates[:, : 2 * RATE] *= np.array([0.5, 0.2])[:, None]
    parts = np.stack([stems, stems - estimates])[:, :, : 5 * RATE].reshape(2, 2, 5, RATE)
    energy = np.square(parts).sum(axis=-1)
    expected = np.median(10 * np.log10(energy[0] / energy[1]), axis=-1)
    measured = bss_eval(stems, estimates, RATE)
    assert (measured.windows, measured.dropped) == (5, 0)
    assert measured.figures[0] == pytest.approx(expected, abs=0.02)  # filters reach over a window's end


def test_windows_in_which_a_source_is_silent_are_dropped_and_counted() -> None:
    stems, estimates = some(3, samples=4 * RATE)
    stems[1, RATE : 2 * RATE] = 0
    estimates[0, 3 * RATE :] = 0
    measured = bss_eval(stems, estimates, RATE)
    assert (measured.windows, measured.dropped) == (4, 2)
    assert np.isfinite(measured.figures).all()


def test_what_has_no_value() -> None:
    stems, estimates = some(4)
    silent = bss_eval(stems, estimates * np.array([[1.0], [0.0]]), RATE)
    assert (silent.windows, silent.dropped) == (1, 1)
    assert np.isnan(silent.figures).all()
    same = bss_eval(stems[[0, 0]], estimates, RATE)  # no unique decomposition
    assert same.windows == 1


def test_an_instrument_by_itself_has_no_interference() -> None:
    stems, estimates = some(5, sources=1)
    measured = dict(zip(BSS_FIGURES, bss_eval(stems, estimates, RATE).figures[:, 0], strict=True))
    assert np.isnan(measured["sir"])
    assert np.isfinite([measured["sdr"], measured["isr"], measured["sar"]]).all()


def test_a_perfect_estimate_stays_finite() -> None:
    stems, _ = some(6)
    figures = bss_eval(stems, stems.copy(), RATE).figures
    assert np.isfinite(figures).all() and figures[0].min() == 100


@pytest.mark.integration
def test_no_ffmpeg_is_needed() -> None:
    """In a process that cannot find ffmpeg; the package museval itself is never imported."""
    program = (
        "import sys, numpy as np; from scoresep.evaluation.metrics import bss_eval; r = np.random.default_rng(0); "
        "s = r.standard_normal((2, 800)); print(bss_eval(s, s + 1, 800).windows, 'museval' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.returncode) == ("1 False\n", 0), ended.stderr
