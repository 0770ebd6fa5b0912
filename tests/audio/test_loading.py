"""Decoding and resampling."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from scoresep.audio.loading import fit, read_audio, resample
from scoresep.errors import Damaged, Mismatch, NotFound, WrongFormat


def test_channels_are_averaged(tmp_path):
    stereo = np.array([[0.5, 0.25], [-0.5, 0.0], [0.125, 0.125]])
    soundfile.write(tmp_path / "a.wav", stereo, 8000, subtype="FLOAT")
    samples, rate = read_audio(tmp_path / "a.wav")
    assert rate == 8000 and samples.dtype == np.float32
    assert samples.tolist() == [0.375, -0.25, 0.125]


@pytest.mark.parametrize("suffix", [".flac", ".wav"])
def test_sixteen_bit_files_come_back_exactly(tmp_path, suffix, make):
    written = np.round(make.tone(60, 0.5) * 32768).astype(np.int16)
    soundfile.write(tmp_path / f"a{suffix}", written, 44100)
    samples, rate = read_audio(tmp_path / f"a{suffix}")
    assert rate == 44100 and np.array_equal(samples * 32768, written)


@pytest.mark.parametrize("rate", [44100, 48000, 22050, 8000])
def test_a_tone_survives_resampling(rate, make):
    resampled = resample(make.tone(69, 1.0, partials=3, rate=rate).astype(np.float32), rate, 16000)
    expected = make.tone(69, 1.0, partials=3)
    assert len(resampled) == 16000 and resampled.dtype == np.float32
    assert np.abs(resampled - expected)[800:-800].max() < 2e-3


@pytest.mark.parametrize("length", [1, 2, 440, 441, 442, 44099])
def test_length_after_resampling_is_rounded_up(length):
    assert len(resample(np.ones(length, np.float32), 44100, 16000)) == -(-length * 16000 // 44100)


def test_channels_stay_apart_when_resampling():
    stereo = np.stack([np.ones(4410), np.zeros(4410)], axis=1).astype(np.float32)
    resampled = resample(stereo, 44100, 16000)
    assert resampled.shape == (1600, 2)
    assert resampled[400:-400, 0] == pytest.approx(1.0, abs=1e-3) and not resampled[:, 1].any()


@pytest.mark.parametrize("shape", [(100,), (441000,), (441000, 2)])
def test_silence_stays_silence(shape):
    resampled = resample(np.zeros(shape, dtype=np.float32), 44100, 16000)
    assert resampled.shape == (-(-shape[0] * 160 // 441), *shape[1:]) and resampled.dtype == np.float32
    assert not resampled.any()


def test_reading_at_another_rate_resamples(tmp_path, make):
    soundfile.write(tmp_path / "a.wav", make.tone(69, 0.5, rate=44100), 44100)
    samples, rate = read_audio(tmp_path / "a.wav", 16000)
    assert rate == 16000 and len(samples) == 8000


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_any_number_of_channels_is_averaged(tmp_path, channels):
    written = np.random.default_rng(channels).uniform(-1, 1, (500, channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", written, 8000, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "a.wav")[0] - written.mean(axis=1)).max() < 1e-7


def test_fit_cuts_and_pads():
    assert fit(np.array([1, 2, 3]), 2).tolist() == [1, 2]
    assert fit(np.array([[1, 2]]), 2).tolist() == [[1, 2], [0, 0]]


def test_truncated_wav_is_refused_and_named(refused, tmp_path, make):
    """libsndfile reads what is there and says nothing."""
    path = tmp_path / "a.wav"
    soundfile.write(path, make.tone(60, 1.0), 16000, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:20000])
    with refused(Damaged, path):
        read_audio(path)


def test_truncated_flac_is_refused_and_named(refused, tmp_path, make):
    path = tmp_path / "cut.flac"
    soundfile.write(path, make.tone(60, 2.0), 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with refused(Damaged, path):
        read_audio(path)


@pytest.mark.parametrize(("content", "kind"), [(b"", Damaged), (b"no audio at all", WrongFormat)])
def test_what_is_no_audio_is_refused_and_named(refused, tmp_path, content, kind):
    (tmp_path / "a.flac").write_bytes(content)
    with refused(kind, tmp_path / "a.flac"):
        read_audio(tmp_path / "a.flac")


def test_missing_file_is_refused_and_named(refused, tmp_path):
    with refused(NotFound, tmp_path / "none.wav"):
        read_audio(tmp_path / "none.wav")


def test_empty_audio_is_refused(refused, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16000)
    with refused(Damaged, tmp_path / "a.wav"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(refused, tmp_path, value):
    samples = np.zeros(100)
    samples[50] = value
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with refused(Damaged, tmp_path / "a.wav"):
        read_audio(tmp_path / "a.wav")


def test_another_number_of_channels_is_refused(tmp_path, refused):
    soundfile.write(tmp_path / "a.wav", np.zeros((10, 2)), 16000)
    assert len(read_audio(tmp_path / "a.wav", channels=2)[0]) == 10
    with refused(Mismatch, tmp_path / "a.wav"):
        read_audio(tmp_path / "a.wav", channels=1)
