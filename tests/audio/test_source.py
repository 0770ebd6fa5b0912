from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.audio.decoding.recording import CHUNK, open_recording
from scoresep.audio.source import ArraySource
from scoresep.errors import Damaged, NotFound, ScoresepError, WrongFormat


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


def test_missing_file(refused, tmp_path: Path) -> None:
    with refused(NotFound, tmp_path / "none.wav"):
        open_recording(tmp_path / "none.wav")


def test_folder(refused, tmp_path: Path) -> None:
    with refused(WrongFormat, tmp_path):
        open_recording(tmp_path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", Damaged), (b"this is not audio\n", WrongFormat), (b"RIFF\x00\x00\x00\x00WAVEjunk", Damaged)],
)
def test_file_that_is_not_audio(refused, tmp_path: Path, content: bytes, kind: type) -> None:
    path = tmp_path / "text.wav"
    path.write_bytes(content)
    with refused(kind, path):
        open_recording(path)


def test_file_without_samples(refused, tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros((0, 1)), 8000)
    with refused(Damaged, path):
        open_recording(path)


def test_truncated_flac_is_told(refused, tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    soundfile.write(path, noise(50000), 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with refused(Damaged, path):
        list(open_recording(path).chunks())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_numbers(refused, tmp_path: Path, value: float) -> None:
    samples = noise(100)
    samples[50] = value
    path = tmp_path / "bad.wav"
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    with refused(Damaged, path):
        list(open_recording(path).chunks())
    with pytest.raises(ScoresepError):
        ArraySource(samples, 16000)


@pytest.mark.parametrize("shape", [(0,), (0, 2)])
def test_empty_array(shape: tuple[int, ...]) -> None:
    with pytest.raises(ScoresepError):
        ArraySource(np.zeros(shape), 16000)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_file_that_ends_too_early_is_told_whatever_its_format(refused, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    soundfile.write(path, noise(100000, 2), 44100)
    assert sum(map(len, open_recording(path).chunks())) == 100000
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with refused(Damaged, path):
        list(open_recording(path).chunks())


def test_a_header_that_promises_too_much(refused, tmp_path: Path) -> None:
    path = tmp_path / "forged.flac"
    soundfile.write(path, noise(1000), 16000)
    content = bytearray(path.read_bytes())
    content[21:26] = bytes([content[21] | 0x0F, 255, 255, 255, 255])  # the 36 bits of the number of samples
    path.write_bytes(content)
    with refused(Damaged, path):
        open_recording(path)


def test_many_channels_are_read_in_shorter_chunks(tmp_path: Path) -> None:
    path = tmp_path / "many.wav"
    soundfile.write(path, noise(20000, 32), 8000)
    chunks = list(open_recording(path).chunks())
    assert max(chunk.size for chunk in chunks) <= 2 * CHUNK
    assert sum(map(len, chunks)) == 20000
