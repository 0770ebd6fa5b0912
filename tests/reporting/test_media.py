from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import soundfile

from scoresep.errors import InvalidValue
from scoresep.reporting.media import AUDIO_FORMATS, audio_format, audio_uri, common_gain, size_text


def decoded(uri: str) -> tuple[str, bytes]:
    head, _, content = uri.partition(";base64,")
    return head, base64.b64decode(content)


def test_flac_holds_the_samples_to_16_bits() -> None:
    sound = np.random.default_rng(0).uniform(-0.9, 0.9, 4000).astype(np.float32)
    head, content = decoded(audio_uri(sound, 16000, AUDIO_FORMATS["flac"]))
    found, rate = soundfile.read(io.BytesIO(content))
    assert (head, rate, len(found)) == ("data:audio/flac", 16000, 4000)
    assert np.abs(found - sound).max() <= 1 / 32768
    loud, _ = soundfile.read(io.BytesIO(decoded(audio_uri(4 * sound, 16000, AUDIO_FORMATS["flac"]))[1]))
    assert np.abs(loud - np.clip(4 * sound, -1, 1)).max() <= 1 / 32768 + 1e-6  # clipped, not wrapped round


@pytest.mark.parametrize("name", ["mp3", "ogg"])
def test_the_small_formats_hold_the_sound(name: str) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)
    _, content = decoded(audio_uri(tone, 16000, AUDIO_FORMATS[name]))
    found, rate = soundfile.read(io.BytesIO(content))
    assert rate == 16000 and len(content) < 32000
    spectrum = np.abs(np.fft.rfft(found[4000:28000]))
    assert spectrum.argmax() * 16000 / 24000 == pytest.approx(440, abs=1)


def test_unknown_format(refused: Any) -> None:
    with refused(InvalidValue):
        audio_format("wav")


def test_the_gain_is_one_for_all_and_only_ever_lowers() -> None:
    quiet, loud = np.full(3, 0.2), np.array([0.1, -2.0])
    assert common_gain([quiet]) == 1.0 and common_gain([np.zeros(2)]) == 1.0 and common_gain([]) == 1.0
    assert common_gain([quiet, loud]) * 2.0 == pytest.approx(0.999)


def test_sizes_for_people() -> None:
    assert (size_text(8_690_000), size_text(5_000)) == ("8.7 MB", "5 kB")
