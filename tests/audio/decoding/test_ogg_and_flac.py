"""Ogg of several streams, FLAC in Ogg, and FLAC whose header does not tell its length."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.errors import Damaged, WrongFormat


def page_length(content: bytes, at: int) -> int:
    table = content[at + 27 : at + 27 + content[at + 26]]
    return 27 + len(table) + sum(table)


def pages(content: bytes) -> Iterator[bytearray]:
    at = 0
    while at < len(content):
        yield bytearray(content[at : at + page_length(content, at)])
        at += page_length(content, at)


def checksum(page: bytes) -> int:
    """RFC 3533, section 6: CRC-32 with the polynomial 0x04c11db7, not reflected."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value


def sealed(page: bytearray) -> bytes:
    page[22:26] = bytes(4)
    page[22:26] = struct.pack("<I", checksum(page))
    return bytes(page)


def page(packet: bytes, flags: int, serial: int, number: int) -> bytes:
    """A page of one packet."""
    table = [255] * (len(packet) // 255) + [len(packet) % 255]
    head = b"OggS\0" + struct.pack("<BqIIIB", flags, 0, serial, number, 0, len(table))
    return sealed(bytearray(head + bytes(table) + packet))


def encode(path: Path, samples: np.ndarray, subtype: str = "VORBIS", rate: int = 48000) -> bytes:
    soundfile.write(path, samples, rate, subtype, format="FLAC" if subtype.startswith("PCM") else "OGG")
    return path.read_bytes()


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_all_links_of_a_chain_are_read(refused, tmp_path: Path, sound: Callable, read: Callable, subtype: str) -> None:
    path = tmp_path / "a.ogg"
    links = [encode(path, sound(length), subtype) for length in (50_000, 20_000, 30_000)]
    parts = []
    for link in links:
        path.write_bytes(link)
        parts.append(read(path))
    path.write_bytes(b"".join(links))
    np.testing.assert_array_equal(read(path), np.concatenate(parts))
    path.write_bytes(b"".join(links)[:-100])
    with refused(Damaged, path):
        read(path)


@pytest.mark.parametrize(("rate", "channels"), [(24000, 2), (48000, 1)])
def test_links_of_different_rates_or_channels(
    refused, tmp_path: Path, sound: Callable, read: Callable, rate: int, channels: int
) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(encode(path, sound(50_000)) + encode(path, sound(50_000, channels), rate=rate))
    with refused(WrongFormat, path):
        read(path)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_recording_of_a_broadcast_begins_late(tmp_path: Path, sound: Callable, read: Callable, subtype: str) -> None:
    path = tmp_path / "a.ogg"
    content = encode(path, sound(50_000), subtype)
    whole, late = read(path), []
    for one in pages(content):
        position = struct.unpack("<q", one[6:14])[0]
        one[6:14] = struct.pack("<q", position + 10_000_000 if position > 0 else position)
        late.append(sealed(one))
    path.write_bytes(b"".join(late))
    np.testing.assert_array_equal(read(path), whole)


def test_a_stream_beside_the_sound_is_passed_over(tmp_path: Path, sound: Callable, read: Callable) -> None:
    path = tmp_path / "a.ogg"
    content = list(pages(encode(path, sound(50_000))))
    whole = read(path)
    other = [page(b"fishead\0" + bytes(56), 2, 77, 0), page(b"fisbone\0", 0, 77, 1), page(b"", 4, 77, 2)]
    path.write_bytes(b"".join([other[0], content[0], other[1], *content[1:4], other[2], *content[4:]]))
    np.testing.assert_array_equal(read(path), whole)


def test_a_page_that_is_missing_is_damage(refused, tmp_path: Path, sound: Callable, read: Callable) -> None:
    path = tmp_path / "a.ogg"
    content = list(pages(encode(path, sound(100_000))))
    path.write_bytes(b"".join([*content[:4], *content[5:]]))
    with refused(Damaged, path):
        read(path)


def test_ogg_of_no_sound_that_is_read(refused, tmp_path: Path, read: Callable) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(page(b"Speex   " + bytes(72), 2, 1, 0) + page(b"", 4, 1, 1))
    with refused(WrongFormat, path):
        read(path)


def in_ogg(content: bytes, serial: int = 1) -> bytes:
    """A FLAC file in pages: the mapping's first packet, the other blocks of metadata, and the rest in pieces."""
    at, packets = 42, [b"\x7fFLAC\1\0\0\1" + content[:42]]
    last = content[4] & 0x80
    while not last:
        last, length = content[at] & 0x80, int.from_bytes(content[at + 1 : at + 4], "big")
        packets.append(content[at : at + 4 + length])
        at += 4 + length
    packets += [content[n : n + 5000] for n in range(at, len(content), 5000)]
    flags = [2, *[0] * (len(packets) - 2), 4]
    return b"".join(page(packet, flag, serial, n) for n, (packet, flag) in enumerate(zip(packets, flags, strict=True)))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("links", [1, 2])
def test_flac_in_ogg(refused, tmp_path: Path, sound: Callable, read: Callable, subtype: str, links: int) -> None:
    path = tmp_path / "a.oga"
    content = encode(path, sound(50_000), subtype)
    whole = np.concatenate([read(path)] * links)
    wrapped = b"".join(in_ogg(content, n) for n in range(links))
    path.write_bytes(wrapped)
    np.testing.assert_array_equal(read(path), whole)
    path.write_bytes(wrapped[:-3000])
    with refused(Damaged, path):
        read(path)


def of_length(content: bytes, samples: int) -> bytes:
    """A FLAC file that says that it has so many samples: the last 36 bits of bytes 21 to 25."""
    head = int.from_bytes(content[21:26], "big") >> 36 << 36 | samples
    return content[:21] + head.to_bytes(5, "big") + content[26:]


@pytest.mark.parametrize("after", [b"", b"TAG" + bytes(125)])
@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_flac_of_unknown_length(
    refused, tmp_path: Path, sound: Callable, read: Callable, subtype: str, after: bytes
) -> None:
    path = tmp_path / "a.flac"
    content = encode(path, sound(50_000), subtype)
    whole = read(path)
    path.write_bytes(of_length(content, 0) + after)
    np.testing.assert_array_equal(read(path), whole)
    path.write_bytes(of_length(content, 0)[:-20])
    with refused(Damaged, path):
        read(path)


def test_flac_that_says_more_or_less_than_it_holds(refused, tmp_path: Path, sound: Callable, read: Callable) -> None:
    path = tmp_path / "a.flac"
    content = encode(path, sound(50_000), "PCM_16")
    path.write_bytes(of_length(content, 60_000))
    with refused(Damaged, path):
        read(path)
    for more in (of_length(content, 30_000), content + content):
        path.write_bytes(more)
        with refused(WrongFormat, path):
            read(path)


def test_bytes_after_flac_are_no_sound(tmp_path: Path, sound: Callable, read: Callable) -> None:
    path = tmp_path / "a.flac"
    content = encode(path, sound(50_000), "PCM_16")
    whole = read(path)
    path.write_bytes(content + b"APETAGEX" + bytes(3000))
    np.testing.assert_array_equal(read(path), whole)
