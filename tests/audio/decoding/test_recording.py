"""Every format: in blocks as at once, whole or refused, by the content and not by the name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.audio.decoding.recording import open_recording
from scoresep.errors import Damaged, WrongFormat

CONTAINERS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3")
KINDS = [
    (container, subtype)
    for container in CONTAINERS
    for subtype in soundfile.available_subtypes(container)
    if "DWVW" not in subtype and not (container == "WAV" and subtype == "MPEG_LAYER_III")
]
"""Container and subtype of all that libsndfile writes; without DWVW, which it does not read back at once."""
ID3V2 = b"ID3\x04\0\0" + bytes([0, 0, 2, 0]) + bytes(256)
ID3V1 = b"TAG" + bytes(125)


def write(path: Path, samples: np.ndarray, container: str, subtype: str, rate: int = 48000) -> Path:
    """A file of as many of the channels as it holds."""
    for channels in (samples.shape[1], 1):
        try:
            soundfile.write(path, samples[:, :channels], rate, subtype, format=container)
            return path
        except soundfile.LibsndfileError as fault:
            reason = str(fault)
    pytest.skip(f"libsndfile does not write it: {reason}")


@pytest.mark.parametrize(("container", "subtype"), KINDS)
def test_blocks_are_the_file_and_a_cut_file_is_refused(
    refused, tmp_path: Path, sound: Callable, read: Callable, container: str, subtype: str
) -> None:
    path = write(tmp_path / "a.bin", sound(30011), container, subtype)
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0]
    for size in (1000, 65536):
        blocks = read(path, size)
        assert blocks.shape == whole.shape and np.abs(blocks - whole).max() < 1e-7
    content = path.read_bytes()
    for length in (len(content) * 6 // 10, len(content) - 5):
        path.write_bytes(content[:length])
        with refused(Damaged, path):
            read(path)


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_lossy_formats_of_any_rate(
    tmp_path: Path, sound: Callable, read: Callable, kind: tuple[str, str], rate: int, channels: int
) -> None:
    path = write(tmp_path / "a", sound(50021, channels), *kind, rate)
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0]
    blocks = read(path, 1 << 14)
    assert blocks.shape == (50021, channels) and np.abs(blocks - whole).max() < 1e-7


def test_integers_of_32_bits_are_exact_as_float64(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-(1 << 31), 1 << 31, (5000, 2), dtype=np.int32)
    soundfile.write(tmp_path / "a.wav", samples, 44100, "PCM_32")
    blocks = np.concatenate(list(open_recording(tmp_path / "a.wav").chunks(np.float64)))
    np.testing.assert_array_equal(blocks * 2.0**31, samples)


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.raw", "a", "a.m4a", "\udcff.flac"])
@pytest.mark.parametrize("kind", [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_the_content_decides_and_not_the_name(
    tmp_path: Path, sound: Callable, read: Callable, name: str, kind: tuple[str, str]
) -> None:
    if "\udcff" in name and sys.platform != "linux":
        pytest.skip("other systems refuse such names")
    whole = read(write(tmp_path / "given", sound(9000), *kind))
    np.testing.assert_array_equal(read((tmp_path / "given").rename(tmp_path / name)), whole)


@pytest.mark.parametrize("kind", [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
@pytest.mark.parametrize(("before", "after"), [(ID3V2, b""), (b"", ID3V1), (ID3V2 + ID3V2, ID3V1)])
def test_tags_are_no_sound(
    tmp_path: Path, sound: Callable, read: Callable, kind: tuple[str, str], before: bytes, after: bytes
) -> None:
    path = write(tmp_path / "a", sound(20000), *kind)
    whole = read(path)
    path.write_bytes(before + path.read_bytes() + after)
    np.testing.assert_array_equal(read(path), whole)


NO_AUDIO = (
    *(b"", b"no audio", b"\xff", b"\xff\xfb\x90", bytes(5000), b"\xff" * 5000, bytes(range(256)) * 20),
    *(b"RIFF\0\0\0\0AVI LIST", b"RIFF", b"FORM\0\0\0\0AIFF", b"caff", b"OggS", b".snd", b"fLaC", b"ID3"),
    "Noël\n".encode("utf-16") * 99,
)


@pytest.mark.parametrize("content", NO_AUDIO)
def test_what_is_no_audio_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    with pytest.raises((Damaged, WrongFormat)) as caught:
        open_recording(path)
    error = caught.value
    assert (error.file, bool(error.remedy)) == (str(path), True) and str(error).isprintable()


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0 ftypM4A ", "M4A"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (bytes.fromhex("3026b2758e66cf11"), "WMA"),
        (b"\x1a\x45\xdf\xa3", "WebM"),
        (b"\xff\xfb\x00\x44", "free bit rate"),
        (b"MThd\0\0\0\6", "MIDI"),
    ],
)
def test_formats_that_are_not_read_are_named_with_the_remedy(refused, tmp_path: Path, head: bytes, name: str) -> None:
    path = tmp_path / "my song.x"
    path.write_bytes(head + bytes(1000))
    with refused(WrongFormat, path) as info:
        open_recording(path)
    assert name in info.value.problem and info.value.remedy.startswith("convert it: ffmpeg -i 'my song.x'")


def test_a_file_cut_in_its_header_is_to_be_replaced(refused, tmp_path: Path) -> None:
    """libsndfile says no more than that it cannot read it."""
    path = write(tmp_path / "a.flac", np.zeros((1000, 1), np.float32), "FLAC", "PCM_16")
    path.write_bytes(path.read_bytes()[:60])
    with refused(Damaged, path):
        open_recording(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_what_is_no_file_is_refused_at_once(refused, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path / "pipe.wav", Path("/dev/zero"), tmp_path):
        with refused(WrongFormat, path):
            open_recording(path)


def test_a_sound_without_samples_is_empty(refused, tmp_path: Path) -> None:
    for container, subtype in (("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("FLAC", "PCM_16"), ("CAF", "PCM_16")):
        soundfile.write(tmp_path / "a", np.zeros((0, 1)), 8000, subtype, format=container)
        with refused(Damaged, tmp_path / "a"):
            open_recording(tmp_path / "a")
