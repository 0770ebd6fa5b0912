"""MP3 with and without a header that tells its length, and what else stands in such files."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.errors import Damaged, WrongFormat

DELAY = 576 + 529
"""Samples by which LAME and a decoder are late."""
KBITS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def frames(content: bytes) -> Iterator[bytes]:
    """The frames of an MP3 without tags."""
    at = 0
    while at < len(content):
        version = content[at + 1] >> 3 & 3
        rate = RATES[version][content[at + 2] >> 2 & 3]
        kbits = KBITS[3 if version == 3 else 2][content[at + 2] >> 4]
        length = (144 if version == 3 else 72) * 1000 * kbits // rate + (content[at + 2] >> 1 & 1)
        yield content[at : at + length]
        at += length


def encode(path: Path, samples: np.ndarray, rate: int = 44100, mode: str = "VARIABLE", quality: float = 0.3) -> bytes:
    soundfile.write(path, samples, rate, format="MP3", bitrate_mode=mode, compression_level=quality)
    return path.read_bytes()


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
def test_without_a_header_every_frame_is_read(
    tmp_path: Path, sound: Callable, read: Callable, mode: str, channels: int, rate: int
) -> None:
    """It decodes to what it does with one, and the encoder's and the decoder's delay before it."""
    path = tmp_path / "a.mp3"
    first, *rest = frames(encode(path, sound(100_000, channels), rate, mode))
    assert b"Info" in first or b"Xing" in first
    whole = read(path)
    path.write_bytes(b"".join(rest))
    found = read(path)
    assert len(found) == len(rest) * (1152 if rate >= 32000 else 576)
    assert np.abs(found[DELAY : DELAY + len(whole)] - whole).max() < 1e-6


@pytest.mark.parametrize("loud_first", [True, False])
def test_the_first_frame_tells_nothing_of_the_others(
    tmp_path: Path, sound: Callable, read: Callable, loud_first: bool
) -> None:
    path = tmp_path / "a.mp3"
    samples = sound(200_000)
    samples[slice(20_000, None) if loud_first else slice(150_000)] *= 1e-4
    rest = list(frames(encode(path, samples)))[1:]
    path.write_bytes(b"".join(rest))
    assert len(read(path)) == 1152 * len(rest)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("header", [True, False])
def test_a_cut_file_is_told_from_one_without_a_header(
    refused, tmp_path: Path, sound: Callable, read: Callable, mode: str, header: bool
) -> None:
    path = tmp_path / "a.mp3"
    parts = list(frames(encode(path, sound(60_000), mode=mode)))
    parts = parts if header else parts[1:]
    for cut in (1, 2, 3, 4, 50, len(parts[-1]) - 1, *([len(parts[-1])] if header else [])):
        path.write_bytes(b"".join(parts)[:-cut])
        with refused(Damaged, path):
            read(path)
    path.write_bytes(b"".join(parts[:-1]))
    if not header:  # a whole frame less leaves no trace
        assert len(read(path)) == 1152 * (len(parts) - 1)


@pytest.mark.parametrize("header", [True, False])
def test_a_tag_at_the_end_is_no_part_of_a_frame_that_was_cut(
    refused, tmp_path: Path, sound: Callable, read: Callable, header: bool
) -> None:
    path = tmp_path / "a.mp3"
    parts = list(frames(encode(path, sound(60_000), mode="CONSTANT")))
    path.write_bytes(b"".join(parts if header else parts[1:])[:-100] + b"TAG" + bytes(125))
    with refused(Damaged, path):
        read(path)


def test_a_file_cut_before_its_sound_is_truncated(refused, tmp_path: Path, sound: Callable, read: Callable) -> None:
    path = tmp_path / "a.mp3"
    content = encode(path, sound(10_000))
    for short in (
        b"ID3\3\0\0\0\0\x7f\x7f" + bytes(900),
        content[: content.index(b"Info" if b"Info" in content else b"Xing") + 60],
    ):
        path.write_bytes(short)
        with refused(Damaged, path):
            read(path)


def test_a_header_that_counts_itself_is_right(tmp_path: Path, sound: Callable, read: Callable) -> None:
    path = tmp_path / "a.mp3"
    content = bytearray(encode(path, sound(60_000)))
    at = content.index(b"Xing") + 8
    content[at : at + 4] = struct.pack(">I", struct.unpack(">I", content[at : at + 4])[0] + 1)
    path.write_bytes(content)
    assert len(read(path)) >= 60_000


@pytest.mark.parametrize("said", [0, 1, 20, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_header_that_was_not_filled_in_or_says_less(
    tmp_path: Path, sound: Callable, read: Callable, said: int
) -> None:
    """Only the delay at the beginning is left out, of which the header tells too."""
    path = tmp_path / "a.mp3"
    content = bytearray(encode(path, sound(60_000)))
    whole, count = read(path), len(list(frames(content))) - 1
    at = content.index(b"Xing") + 8
    content[at : at + 4] = struct.pack(">I", said)
    path.write_bytes(content)
    found = read(path)
    assert len(found) == 1152 * count - DELAY
    np.testing.assert_allclose(found[: len(whole)], whole, atol=1e-6)


def test_a_vbri_header(refused, tmp_path: Path, sound: Callable, read: Callable) -> None:
    """libsndfile does not go by it; it is no sound."""
    path = tmp_path / "a.mp3"
    first, *rest = frames(encode(path, sound(60_000)))
    fields = struct.pack(">4sHHHII", b"VBRI", 1, 0, 0, sum(map(len, (first, *rest))), len(rest))
    head = (first[:4] + bytes(32) + fields).ljust(len(first), b"\0")
    path.write_bytes(b"".join(rest))
    whole = read(path)
    path.write_bytes(head + b"".join(rest))
    np.testing.assert_array_equal(read(path), whole)
    path.write_bytes(head + b"".join(rest[:-1]))
    with refused(Damaged, path):
        read(path)


@pytest.mark.parametrize("tags", [b"", b"ID3\3\0\0\0\0\2\0" + bytes(256), b"TAG" + bytes(125)])
def test_files_one_after_the_other(tmp_path: Path, sound: Callable, read: Callable, tags: bytes) -> None:
    """The header of the first tells of the first."""
    path = tmp_path / "a.mp3"
    first, second = encode(path, sound(50_000)), encode(path, sound(30_000))
    path.write_bytes(first)
    whole = read(path)
    path.write_bytes(first + tags + second)
    found = read(path)
    counted = len(list(frames(first))) + len(list(frames(second))) - 1  # the second's header is a frame of silence
    assert len(found) == 1152 * counted - DELAY
    np.testing.assert_allclose(found[: len(whole)], whole, atol=1e-6)


def ape(size: int) -> bytes:
    fields = struct.pack("<IIII8x", 2000, size + 32, 1, 0)
    return b"APETAGEX" + fields + bytes(size) + b"APETAGEX" + fields


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"ID3\4\0\0" + bytes([0, 20, 0, 0]) + b"\xff\xfb\x90\x64" * (20 << 12), b""),  # a cover that looks like frames
        (b"\0" * 3000, b""),
        (b"ID3\3\0\0\0\0\0\1\0" + bytes(2_000_000), b""),  # room for more tags, of which its size tells nothing
        (b"some words before it", b"and after it"),
        (ape(500), ape(9000)),
        (b"", b"TAG+" + bytes(223) + b"TAG" + bytes(125)),
        (b"", b"LYRICSBEGIN" + bytes(3000) + b"LYRICS200" + b"TAG" + bytes(125)),
        (b"", bytes(5000)),
    ],
)
def test_tags_and_other_bytes_around_the_sound(
    tmp_path: Path, sound: Callable, read: Callable, header: bool, before: bytes, after: bytes
) -> None:
    path = tmp_path / "a.mp3"
    parts = list(frames(encode(path, sound(60_000))))
    content = b"".join(parts if header else parts[1:])
    path.write_bytes(content)
    whole = read(path)
    path.write_bytes(before + content + after)
    np.testing.assert_array_equal(read(path), whole)


@pytest.mark.parametrize("size", [700, 2_000_000])
def test_other_bytes_within_the_sound_are_damage(
    refused, tmp_path: Path, sound: Callable, read: Callable, size: int
) -> None:
    """However many, else what follows a hole would be lost."""
    path = tmp_path / "a.mp3"
    parts = list(frames(encode(path, sound(60_000))))[1:]
    path.write_bytes(b"".join([*parts[:20], bytes(size), *parts[20:]]))
    with refused(Damaged, path):
        read(path)


@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (44100, 1), (22050, 2)])
def test_another_rate_or_number_of_channels_within_is_refused(
    refused, tmp_path: Path, sound: Callable, read: Callable, rate: int, channels: int
) -> None:
    path = tmp_path / "a.mp3"
    first, second = encode(path, sound(50_000)), encode(path, sound(50_000, channels), rate)
    path.write_bytes(first + second)
    with refused(WrongFormat, path):
        read(path)


@pytest.mark.parametrize("header", [True, False])
def test_mp3_in_wav(tmp_path: Path, sound: Callable, read: Callable, header: bool) -> None:
    path = tmp_path / "a.wav"
    parts = list(frames(encode(path, sound(60_000))))
    content = b"".join(parts if header else parts[1:])
    path.write_bytes(content)
    whole = read(path)
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 2, 44100, 16000, 1, 0, 12, 1, 0, 418, 1, 0)
    inner = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(content)) + content
    path.write_bytes(b"RIFF" + struct.pack("<I", len(inner)) + inner)
    np.testing.assert_array_equal(read(path), whole)


@pytest.mark.parametrize(
    ("head", "length", "samples"),
    [
        (b"\xff\xfd\x84\x04", 144 * 128_000 // 48000, 1152),  # layer II at 48 kHz
        (b"\xff\xf5\x84\x04", 144 * 64_000 // 24000, 1152),  # layer II of MPEG 2, at 24 kHz
        (b"\xff\xff\x84\x04", 12 * 256_000 // 48000 * 4, 384),  # layer I at 48 kHz
    ],
)
def test_layers_one_and_two(refused, tmp_path: Path, read: Callable, head: bytes, length: int, samples: int) -> None:
    """Frames of nothing but zeros are silence."""
    path = tmp_path / "a.mp2"
    path.write_bytes((head + bytes(length - 4)) * 40)
    found = read(path)
    assert found.shape == (40 * samples, 2) and not found.any()
    path.write_bytes(path.read_bytes()[:-1])
    with refused(Damaged, path):
        read(path)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_frames(tmp_path: Path, sound: Callable, read: Callable, count: int) -> None:
    path = tmp_path / "a.mp3"
    parts = list(frames(encode(path, sound(20_000), mode="CONSTANT")))[1:]
    for tail in (b"", b"TAG" + bytes(125)):
        path.write_bytes(b"".join(parts[:count]) + tail)
        assert len(read(path)) == 1152 * count
