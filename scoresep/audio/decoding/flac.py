"""FLAC (RFC 9639): a stream whose number of samples was not filled in, or is not what it holds."""

from __future__ import annotations

from scoresep.audio.decoding.splice import Stream

TOTAL = (21, 26)
"""The bytes of a stream of which the last 36 bits are the number of samples; 0 means unknown."""
START = b"fLaC\0\0\0\x22"
"""What a stream begins with: the mark and the header of STREAMINFO."""


def find_streams(data: bytes, start: int) -> list[Stream]:
    """The stream of a file that begins at `start`; an ID3v1 tag at the end is left out."""
    return [stream(data, [(start, len(data) - 128 if data[-128:-125] == b"TAG" else len(data))])]


def stream(data: bytes, spans: list[tuple[int, int]]) -> Stream:
    """The stream in `spans` of a file. libFLAC is not told the number of samples, so that it reads to the end."""
    (begin, end), *others = spans
    first, after = begin + TOTAL[0], begin + TOTAL[1]
    said = int.from_bytes(data[first:after], "big")
    total = said & (1 << 36) - 1
    unknown = (said - total).to_bytes(after - first, "big")
    return Stream([(begin, first), unknown, (after, end), *others], total, last=True)
