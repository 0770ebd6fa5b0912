from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.audio.decoding.recording import CHUNK, open_recording
from scoresep.audio.source import ArraySource
from scoresep.errors import InvalidValue


def noise(*shape: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(shape) * 0.1).astype(np.float32)


def test_chunks_are_the_file(tmp_path: Path) -> None:
    samples = noise(2 * CHUNK + 17, 2)
    path = tmp_path / "a.flac"
    soundfile.write(path, samples, 22050, subtype="PCM_24")
    source = open_recording(path)
    assert (source.rate, source.channels, source.samples) == (22050, 2, len(samples))
    for _ in range(2):  # a source can be read again
        chunks = list(source.chunks())
        assert [len(chunk) for chunk in chunks] == [CHUNK, CHUNK, 17]
        np.testing.assert_allclose(np.concatenate(chunks), samples, atol=1e-6)


def test_array_source_takes_one_or_more_channels() -> None:
    assert ArraySource(noise(10), 8000).channels == 1
    source = ArraySource(noise(10, 2).astype(np.float64), 8000)
    assert (source.channels, source.samples) == (2, 10)
    assert next(source.chunks()).dtype == np.float32


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_numbers(refused, value: float) -> None:
    samples = noise(100)
    samples[50] = value
    with refused(InvalidValue):
        ArraySource(samples, 16000)


@pytest.mark.parametrize("shape", [(0,), (0, 2)])
def test_empty_array(refused, shape: tuple[int, ...]) -> None:
    with refused(InvalidValue):
        ArraySource(np.zeros(shape), 16000)


def test_many_channels_are_read_in_shorter_chunks(tmp_path: Path) -> None:
    path = tmp_path / "many.wav"
    soundfile.write(path, noise(20000, 32), 8000)
    chunks = list(open_recording(path).chunks())
    assert max(chunk.size for chunk in chunks) <= 2 * CHUNK
    assert sum(map(len, chunks)) == 20000
