"""Lengths that were never filled in, and those that were."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.errors import Damaged

OPEN_32 = (0, 0x7FFFF000, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0x80000000, 0x80000024, 0xFFFFFFFF, 0xFFFFFFFF - 44)
OPEN_64 = (0, *OPEN_32[1:], (1 << 63) - 1, (1 << 64) - 1)


def put(content: bytearray, at: int, form: str, value: int) -> None:
    content[at : at + struct.calcsize(form)] = struct.pack(form, value & (1 << 8 * struct.calcsize(form)) - 1)


def made(path: Path, samples: np.ndarray, container: str, subtype: str) -> tuple[bytearray, np.ndarray]:
    """The bytes of a file and its samples."""
    for channels in (2, 1):
        try:
            soundfile.write(path, samples[:, :channels], 44100, subtype, format=container)
        except soundfile.LibsndfileError:
            continue
        break
    return bytearray(path.read_bytes()), soundfile.read(path, dtype="float32", always_2d=True)[0]


@pytest.mark.parametrize("said", OPEN_32)
@pytest.mark.parametrize("whole_file", [True, False])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_wav(
    tmp_path: Path, sound: Callable, read: Callable, container: str, subtype: str, said: int, whole_file: bool
) -> None:
    """Also where the length of the file was filled in, but not that of the sound."""
    if not soundfile.check_format(container, subtype):
        pytest.skip("there is no such file")
    path = tmp_path / "a.wav"
    content, samples = made(path, sound(4001), container, subtype)
    if not whole_file:
        put(content, 4, "<I", said + 36)
    put(content, content.index(b"data") + 4, "<I", said)
    path.write_bytes(content)
    found = read(path)[: len(samples)]  # blocks of GSM come in pairs, of which the second may be padding
    np.testing.assert_array_equal(found, samples)


@pytest.mark.parametrize("said", OPEN_64)
@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_rf64(tmp_path: Path, sound: Callable, read: Callable, magic: bytes, said: int) -> None:
    path = tmp_path / "a.wav"
    content, samples = made(path, sound(4000), "RF64", "PCM_16")
    content[:4] = magic
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), samples)  # as it is
    at = content.index(b"ds64")
    for place in (8, 16, 24):
        put(content, at + place, "<Q", said)
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), samples)


@pytest.mark.parametrize("said", [*OPEN_64, 24])
def test_w64(tmp_path: Path, sound: Callable, read: Callable, said: int) -> None:
    path = tmp_path / "a.w64"
    content, samples = made(path, sound(4000), "W64", "PCM_16")
    put(content, 16, "<Q", said)
    put(content, content.index(b"data") + 16, "<Q", said)
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), samples)


@pytest.mark.parametrize("said", [*OPEN_32, 8])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_aiff(tmp_path: Path, sound: Callable, read: Callable, subtype: str, said: int) -> None:
    path = tmp_path / "a.aiff"
    content, samples = made(path, sound(4000), "AIFF", subtype)
    put(content, 4, ">I", said)
    put(content, content.index(b"COMM") + 10, ">I", said)
    put(content, content.index(b"SSND") + 4, ">I", said)
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), samples)


@pytest.mark.parametrize("said", OPEN_32)
@pytest.mark.parametrize("endian", ["BIG", "LITTLE"])
def test_au(tmp_path: Path, sound: Callable, read: Callable, endian: str, said: int) -> None:
    path = tmp_path / "a.au"
    soundfile.write(path, sound(4000), 44100, "PCM_16", endian, "AU")
    content, samples = bytearray(path.read_bytes()), soundfile.read(path, dtype="float32")[0]
    put(content, 8, ">I" if endian == "BIG" else "<I", said)
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), samples)


@pytest.mark.parametrize("said", [*OPEN_64, 4])
def test_caf(tmp_path: Path, sound: Callable, read: Callable, said: int) -> None:
    path = tmp_path / "a.caf"
    content, samples = made(path, sound(4000), "CAF", "PCM_24")
    put(content, content.index(b"data") + 4, ">Q", said)
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), samples)


def test_big_endian_wav(tmp_path: Path, sound: Callable, read: Callable) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(4000), 44100, "PCM_16", "BIG", "WAV")
    content, samples = bytearray(path.read_bytes()), read(path)
    assert content[:4] == b"RIFX" and len(samples) == 4000
    put(content, content.index(b"data") + 4, ">I", 0xFFFFFFFF)
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), samples)


def chunk(name: bytes, contents: bytes, pad: bool = True) -> bytes:
    return name + struct.pack("<I", len(contents)) + contents + bytes(len(contents) % 2 if pad else 0)


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("length", [4000, 4001])
def test_chunks_before_and_after_are_no_sound(
    tmp_path: Path, sound: Callable, read: Callable, length: int, pad: bool
) -> None:
    """Some writers leave out the byte that makes a chunk even."""
    path = tmp_path / "a.wav"
    content, samples = made(path, sound(length, 1), "WAV", "PCM_U8")
    start = content.index(b"data")
    sounding = bytes(content[start : start + 8 + length])
    before, after = chunk(b"LIST", b"INFOx"), bytes(length % 2 if pad else 0) + chunk(b"id3 ", b"ID3" * 50, pad)
    path.write_bytes(content[:start] + before + sounding + after)
    np.testing.assert_array_equal(read(path), samples)


def test_an_empty_sound_with_chunks_after_it_is_empty(refused, tmp_path: Path, sound: Callable, read: Callable) -> None:
    path = tmp_path / "a.wav"
    content, _ = made(path, sound(0), "WAV", "PCM_16")
    path.write_bytes(content + chunk(b"LIST", b"INFO" * 20))
    with refused(Damaged, path):
        read(path)


@pytest.mark.parametrize("said", [16001, 1 << 20, 1 << 30, 0x7F000000, 0xC0000000])
def test_a_wrong_length_is_no_open_one(refused, tmp_path: Path, sound: Callable, read: Callable, said: int) -> None:
    path = tmp_path / "a.wav"
    content, _ = made(path, sound(4000), "WAV", "PCM_16")
    put(content, content.index(b"data") + 4, "<I", said)
    path.write_bytes(content)
    with refused(Damaged, path):
        read(path)


@pytest.mark.parametrize("said", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_an_open_length_of_more_than_its_field_holds(tmp_path: Path, said: int) -> None:
    """A sparse file, of which only the end sounds."""
    from scoresep.audio.decoding.recording import open_recording

    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((0, 2)), 44100, "PCM_16")
    content = bytearray(path.read_bytes())
    put(content, content.index(b"data") + 4, "<I", said)
    frames = (1 << 30) + 1000
    with path.open("wb") as file:
        file.write(content)
        file.truncate(len(content) + 4 * frames)
    assert open_recording(path).samples == frames
