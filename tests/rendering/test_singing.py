"""Sung melodies: their pitch by another estimator, their notes where the score has them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyworld", reason="the extra 'voices' is not installed")
from scoresep.rendering.sources.singing import (
    FRAME,
    RATE,
    Manner,
    Voice,
    analyse,
    find_syllables,
    from_arrays,
    sing,
    syllable_pitch,
    synthetic_voice,
    to_arrays,
)

MELODY = np.array([[0.3, 0.8, 57, 100], [0.8, 1.2, 59, 100], [1.2, 1.9, 62, 90], [2.5, 3.2, 55, 110]])
PLAIN = Manner(vibrato_depth=0.0, scoop=0.0, breath=None)


def pitch_of(samples: np.ndarray, start: float, end: float) -> float:
    """MIDI pitch by autocorrelation, which the vocoder does not use."""
    piece = samples[round(start * RATE) : round(end * RATE)].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 4 * len(piece))) ** 2
    lags = np.fft.irfft(spectrum)[: RATE // 60]
    low = RATE // 700
    peak = low + int(np.argmax(lags[low:]))
    a, b, c = lags[peak - 1 : peak + 2]
    return 69 + 12 * np.log2(RATE / (peak + 0.5 * (a - c) / (a - 2 * b + c)) / 440)


@pytest.fixture(scope="module")
def voice() -> Voice:
    return synthetic_voice(0, 48)


def test_notes_have_the_score_s_pitch(voice: Voice) -> None:
    sound, _ = sing(voice, MELODY, 3.5, PLAIN, np.random.default_rng(0))
    assert (
        sound.dtype == np.float32 and sound.shape == (round(3.5 * RATE),) and np.abs(sound).max() == pytest.approx(0.8)
    )
    for onset, offset, pitch, _ in MELODY.tolist():
        assert pitch_of(sound, onset + 0.12, offset - 0.08) == pytest.approx(pitch, abs=0.15)


def test_it_is_silent_between_phrases(voice: Voice) -> None:
    sound, meant = sing(voice, MELODY, 3.5, PLAIN, np.random.default_rng(0))
    assert np.abs(sound[round(2.05 * RATE) : round(2.3 * RATE)]).max() < 0.01
    assert (meant[round(2.0 / FRAME) : round(2.4 / FRAME)] == 0).all()


def test_bends_of_the_score_are_sung(voice: Voice) -> None:
    bend = np.full(round(3.5 / FRAME) + 1, 2.0)
    sound, _ = sing(voice, MELODY, 3.5, PLAIN, np.random.default_rng(0), bend)
    assert pitch_of(sound, 1.35, 1.8) == pytest.approx(64, abs=0.15)


def test_vibrato_is_as_wide_as_asked(voice: Voice) -> None:
    note = np.array([[0.0, 2.0, 57, 100]])
    _, meant = sing(voice, note, 2.2, Manner(vibrato_depth=0.4, scoop=0.0), np.random.default_rng(1))
    late = meant[round(0.6 / FRAME) : round(1.8 / FRAME)]
    assert 0.2 < (late.max() - late.min()) / 2 < 0.65


def test_a_voice_is_analysed_sung_and_kept(voice: Voice) -> None:
    """What one voice sang is a recording; another that is made from it sings other notes, also after storing."""
    recording, _ = sing(voice, MELODY, 3.5, PLAIN, np.random.default_rng(0))
    again = analyse(recording, RATE)
    assert again is not None and len(again.syllables) >= 3
    kept = from_arrays(to_arrays(again))
    assert kept.syllables == again.syllables
    sound, _ = sing(kept, MELODY + np.array([0, 0, 3, 0]), 3.5, PLAIN, np.random.default_rng(0))
    assert pitch_of(sound, 1.35, 1.8) == pytest.approx(65, abs=0.2)
    assert syllable_pitch(recording, RATE) == pytest.approx(440 * 2 ** ((58 - 69) / 12), rel=0.15)


def test_silence_is_no_voice() -> None:
    assert analyse(np.zeros(RATE), RATE) is None and syllable_pitch(np.zeros(RATE), RATE) == 0


def test_syllables() -> None:
    """A consonant before a vowel, and a long vowel cut where it is weakest."""
    f0, power = np.zeros(200), np.ones(200)
    f0[30:60], f0[90:180], power[140] = 100, 100, 0.1
    assert find_syllables(f0, power) == ((6, 30, 60), (66, 90, 140), (140, 140, 180))
