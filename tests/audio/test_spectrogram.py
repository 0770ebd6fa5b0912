"""The STFT against SciPy, against torch and against tones of known amplitude; and back again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

from scoresep.audio import spectrogram
from scoresep.audio.spectrogram import (
    FRAMES_AT_ONCE,
    QUIETEST,
    OverlapAdd,
    as_half,
    combine_levels,
    half_magnitude,
    istft,
    level_of,
    stft,
    window,
)

N_FFT, HOP = 2048, 512


def noise(length: int) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.3, length).astype(np.float32)


@pytest.mark.parametrize("length", [1, HOP - 1, HOP, HOP + 1, N_FFT, 12345])
@pytest.mark.parametrize(("n_fft", "hop"), [(2048, 512), (1024, 128)])
def test_round_trip_gives_the_samples_back(length, n_fft, hop):
    samples = noise(length)
    spectrum = stft(samples, n_fft, hop)
    assert spectrum.shape == (length // hop + 1, n_fft // 2 + 1) and spectrum.dtype == np.complex64
    back = istft(spectrum, length, n_fft, hop)
    assert back.shape == (length,) and back.dtype == np.float32
    assert np.abs(back - samples).max() < 2e-6


def test_round_trip_over_more_frames_than_a_block(monkeypatch):
    monkeypatch.setattr(spectrogram, "FRAMES_AT_ONCE", 7)
    samples = noise(20 * HOP + 3)
    assert np.abs(istft(stft(samples, N_FFT, HOP), len(samples), N_FFT, HOP) - samples).max() < 2e-6


def test_agrees_with_scipy():
    samples = noise(9 * HOP + 100)
    hann = signal.get_window("hann", N_FFT)  # periodic
    transform = signal.ShortTimeFFT(hann, HOP, 1.0, fft_mode="onesided", phase_shift=None)
    expected = transform.stft(samples.astype(np.float64), p0=0, p1=10).T * 2 / hann.sum()
    found = stft(samples, N_FFT, HOP)
    assert expected.shape == found.shape
    # SciPy's frame p is centred on p * hop too, with zeros beyond both ends; without phase shift its zero of phase is
    # the start of the frame, as here
    assert np.abs(found - expected).max() < 1e-6


def test_agrees_with_torch():
    samples = noise(9 * HOP + 100)
    expected = torch.stft(
        torch.from_numpy(samples).double(),
        N_FFT,
        HOP,
        window=torch.hann_window(N_FFT, dtype=torch.float64),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    expected = (expected.T * 2 / (N_FFT / 2)).numpy()
    assert np.abs(stft(samples, N_FFT, HOP) - expected).max() < 1e-6


@pytest.mark.parametrize("n_fft", [1024, 2048])
@pytest.mark.parametrize("amplitude", [1.0, 0.25])
def test_magnitude_of_a_sine_is_its_amplitude(n_fft, amplitude):
    k = 100
    samples = amplitude * np.sin(2 * np.pi * k / n_fft * np.arange(8 * n_fft))
    magnitude = np.abs(stft(samples.astype(np.float32), n_fft, n_fft // 4))
    inner = magnitude[3:-3]
    assert inner[:, k] == pytest.approx(amplitude, rel=1e-5)
    assert inner[:, [k - 1, k + 1]] == pytest.approx(amplitude / 2, rel=1e-4)  # a Hann window's main lobe
    assert np.delete(inner, [k - 1, k, k + 1], axis=1).max() < 1e-5


def test_window_is_a_periodic_hann_window():
    assert np.abs(window(64) - signal.get_window("hann", 64)).max() < 1e-7


def test_frames_are_centred():
    samples = np.zeros(10 * HOP, np.float32)
    samples[4 * HOP] = 1.0
    energy = np.abs(stft(samples, N_FFT, HOP)).sum(axis=1)
    assert energy.argmax() == 4 and energy[3] == pytest.approx(energy[5], rel=1e-5)


def test_magnitudes_add_linearly_in_their_spectra():
    a, b = noise(5000), noise(5000)[::-1]
    assert np.abs(stft(a + b, N_FFT, HOP) - stft(a, N_FFT, HOP) - stft(b, N_FFT, HOP)).max() < 1e-6


def one_frame_after_the_other(spectrum, length, n_fft, hop):
    """What `istft` computes, as the formula says it."""
    total = np.zeros(n_fft + len(spectrum) * hop, np.float32)
    weight = np.zeros_like(total)
    gain = np.float32(window(n_fft).sum(dtype=np.float64) / 2)
    for t, row in enumerate(spectrum):
        here = slice(t * hop, t * hop + n_fft)
        total[here] += np.fft.irfft(row, n_fft).astype(np.float32) * (window(n_fft) * gain)
        weight[here] += window(n_fft) * window(n_fft)
    return (total / np.maximum(weight, 1e-8))[n_fft // 2 : n_fft // 2 + length]


@pytest.mark.parametrize(("n_fft", "hop"), [(2048, 512), (1024, 128), (900, 150)])
@pytest.mark.parametrize("frames", [1, 63, 64, 65, 200])
def test_the_inverse_has_the_bits_of_adding_frame_by_frame(n_fft, hop, frames):
    rng = np.random.default_rng(frames)
    shape = (frames, n_fft // 2 + 1)
    spectrum = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    length = frames * hop - 1
    expected = one_frame_after_the_other(spectrum, length, n_fft, hop)
    np.testing.assert_array_equal(istft(spectrum, length, n_fft, hop), expected)


@pytest.mark.parametrize("cuts", [[], [1], [3, 4, 30], list(range(1, 38))])
def test_the_inverse_in_pieces_and_of_two_signals_is_that_of_the_whole(cuts):
    signals = [noise(20000), noise(20000)[::-1]]
    spectra = np.stack([stft(samples, N_FFT, HOP) for samples in signals])
    adder = OverlapAdd(N_FFT, HOP, 20000)
    pieces = [adder.push(part) for part in np.split(spectra, cuts, axis=1)]
    sound = np.concatenate([*pieces, adder.finish()], axis=-1)
    np.testing.assert_array_equal(sound, [istft(spectrum, 20000, N_FFT, HOP) for spectrum in spectra])


@pytest.mark.parametrize("samples", [1, 5000, 256 * FRAMES_AT_ONCE, 256 * 2 * FRAMES_AT_ONCE + 77])
def test_stored_magnitudes_are_the_absolute_spectrum_as_half_floats(samples):
    rng = np.random.default_rng(samples)
    signal = (rng.normal(0, 0.2, samples) * np.geomspace(1, 1e-9, samples)).astype(np.float32)  # down to subnormals
    found = half_magnitude(signal, 1024, 256)
    expected = np.abs(stft(signal, 1024, 256)).astype(np.float16)
    assert found.dtype == np.float16 and found.shape == expected.shape == (samples // 256 + 1, 513)
    assert np.array_equal(found.view(np.uint16), expected.view(np.uint16))


def test_half_floats_round_ties_to_even():
    """Values half-way between two neighbours, at 1 and among the smallest, and the limits of float16."""
    steps = np.arange(2048, dtype=np.float64)
    edges = [65504, 65519.99, 65520, 65536, 2.0**-14, 2.0**-14 * (1 - 2.0**-12), 2.0**-25, 2.0**-24, 0.0, np.inf]
    values = np.concatenate([1 + (steps + 0.5) / 1024, (steps + 0.5) * 2.0**-24, edges]).astype(np.float32)
    with np.errstate(over="ignore"):
        assert np.array_equal(as_half(values).view(np.uint16), values.astype(np.float16).view(np.uint16))


def test_level_of_a_sine_is_its_amplitude_over_root_two():
    samples = 0.5 * np.sin(2 * np.pi * 10 * np.arange(16000) / 16000)
    assert level_of(samples.astype(np.float32)) == pytest.approx(0.5 / np.sqrt(2), rel=1e-6)


def test_level_in_pieces_is_the_level_of_the_whole():
    samples = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    pieces = [float(np.square(piece.astype(np.float64)).sum()) for piece in np.split(samples, [100, 700])]
    assert combine_levels(pieces, 1000) == pytest.approx(level_of(samples), rel=1e-9)


def test_silence_has_a_level_to_divide_by():
    assert level_of(np.zeros(10, np.float32)) == level_of(np.zeros(0, np.float32)) == QUIETEST > 0
