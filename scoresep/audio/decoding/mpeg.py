"""MPEG audio (MP3, MP2): which of a file's bytes are frames, and how many samples they hold.

A file need not say how long it is, and what says so (a Xing, Info or VBRI frame in front) need not be there or be
right, so the frames are counted: ISO/IEC 11172-3, 2.4.1; 13818-3; MPEG 2.5 is an extension of Fraunhofer's.
libsndfile, for want of such a frame, multiplies the size by the first frame's rate.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import cache

from scoresep.audio.decoding.formats import REPLACE, conversion
from scoresep.audio.decoding.splice import Bytes, Piece, Stream
from scoresep.errors import Damaged, WrongFormat

MPEG1, MPEG2, MPEG25 = 3, 2, 0
LAYER1, LAYER2, LAYER3 = 3, 2, 1
RATES = {MPEG1: (44100, 48000, 32000), MPEG2: (22050, 24000, 16000), MPEG25: (11025, 12000, 8000)}
"""Hz, by the version's two bits."""
_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
BITRATES = {
    (True, LAYER1): tuple(range(32, 449, 32)),
    (True, LAYER2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, LAYER3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, LAYER1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, LAYER2): _LOW,
    (False, LAYER3): _LOW,
}
"""kbit/s from index 1, by whether it is MPEG 1 and by the layer's two bits."""
CHAIN = 3
"""Frames in a row that are no chance."""
SEARCHED = 1 << 20
"""Bytes in which a first frame is looked for."""
_LIKELY = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]")
"""What a frame begins with; not every such thing is one."""
_NOT_ZERO = re.compile(rb"[^\0]")
MOST_MPEG_FRAMES = (1 << 31) - 2
"""More in a header were never filled in."""
DECODER_DELAY = 529
"""Samples by which a decoder of layer III is late."""


@dataclass(frozen=True)
class Walk:
    """The frames of a file.

    Attributes:
        spans: (first, end) of the bytes that are frames, tags between them left out.
        frames: how many.
        cut: whether the last one is not all there.
    """

    spans: list[tuple[int, int]]
    frames: int
    cut: bool


@dataclass(frozen=True)
class Head:
    """What the frame in front says.

    Attributes:
        frames: how many follow; 0 if that was not filled in.
        size: bytes of all, if known.
        delay: the encoder's, in samples, if known.
        followed: whether libsndfile goes by it: not by VBRI.
    """

    frames: int
    size: int | None = None
    delay: int | None = None
    followed: bool = True


def find_streams(name: str, data: Bytes, start: int, end: int) -> list[Stream]:
    """The frames of `data` from `start` to before `end`; none if there is no MPEG audio.

    Raises:
        Damaged: it is cut or damaged.
        WrongFormat: it changes its rate or channels.
    """
    end -= 128 * (data[max(end - 128, 0) : end][:3] == b"TAG")  # else a last frame that was cut would go on in it
    first = _next_frame(data, start, end, SEARCHED)
    if first is None and data[start : start + 3] == b"ID3":
        raise Damaged("truncated: it ends within its tags", file=name, remedy=REPLACE)
    if first is None:
        return []
    walk = _walk(name, data, first, end)
    head = read_head(data, first)
    count, size = max(walk.frames - (head is not None), 0), sum(b - a for a, b in walk.spans)
    more = head.frames - count if head else 0
    if walk.cut or (more > 0 and not (more == 1 and head and head.size is not None and head.size <= size)):
        whole = f"its last frame, after {count} others, is not whole"
        detail = f"{count} of {head.frames} frames" if head and more > 0 else whole
        raise Damaged(f"truncated: {detail}", file=name, remedy=REPLACE)
    if head and head.followed and not more:
        return [Stream([*walk.spans])]
    begin = first + frame_length(data, first) if head else first
    spans: list[Piece] = [(begin, walk.spans[0][1]), *walk.spans[1:]]
    skip = head.delay + DECODER_DELAY if head and head.delay is not None else 0
    samples = max(count * _samples(data[first + 1]) - skip, 0)
    room = max(count * (frame_length(data, begin) + 1) - size, 0) + 4096  # for libsndfile's estimate, never read
    seen = spans if count < CHAIN else []  # libsndfile wants more than one
    return [Stream([*spans, *seen, room], samples, skip)]


@cache
def _lengths() -> dict[int, int]:
    """Length of a frame in bytes by the second and third byte of its header."""
    lengths = {}
    for version, rates in RATES.items():
        for layer in (LAYER1, LAYER2, LAYER3):
            scale = 72 if layer == LAYER3 and version != MPEG1 else 144
            for index, kbits in enumerate(BITRATES[version == MPEG1, layer], 1):
                for which, rate in enumerate(rates):
                    for pad in (0, 1):
                        plain = 12000 * kbits // rate if layer == LAYER1 else scale * 1000 * kbits // rate
                        length = (plain + pad) * 4 if layer == LAYER1 else plain + pad
                        for free in range(4):  # the protection bit and the private bit
                            second = 0xE0 | version << 3 | layer << 1 | free & 1
                            third = index << 4 | which << 2 | pad << 1 | free >> 1
                            lengths[second << 8 | third] = length
    return lengths


def frame_length(data: Bytes, at: int) -> int:
    """Bytes of the frame whose header stands at `at`; 0 if none does."""
    if len(data) < at + 4 or data[at] != 0xFF:
        return 0
    return _lengths().get(data[at + 1] << 8 | data[at + 2], 0)


def _kind(data: Bytes, at: int) -> tuple[int, int, bool]:
    """What the frames of one stream have in common: version and layer, rate, whether it is mono."""
    return data[at + 1] & 0xFE, data[at + 2] & 0x0C, data[at + 3] >> 6 == 3


def _samples(second: int) -> int:
    """Samples of a frame, by its header's second byte."""
    version, layer = second >> 3 & 3, second >> 1 & 3
    return 384 if layer == LAYER1 else 1152 if version == MPEG1 or layer == LAYER2 else 576


def _begins(data: Bytes, at: int, end: int, *, few: bool) -> bool:
    """Whether frames of one kind stand at `at`: `CHAIN` whole ones or, with `few`, fewer up to the end or a tag."""
    kind = None
    for n in range(CHAIN):
        length = frame_length(data, at)
        if not length or kind not in (None, _kind(data, at)):
            return few and n > 0 and (at + 4 > end or tag_length(data, at, end) > 0)
        kind, at = _kind(data, at), at + length
        if at > end:
            return few
    return True


def _next_frame(data: Bytes, start: int, end: int, searched: int) -> int | None:
    """Where frames begin, at `start` or after tags, zeros that fill up, and up to `searched` bytes of no meaning."""
    start = after_tags(data, start, end)
    if _begins(data, start, end, few=True):
        return start
    filled = _NOT_ZERO.search(data, start, end)
    at = filled.start() if filled else end
    stop = min(end, at + searched)
    while likely := _LIKELY.search(data, at, stop):
        if _begins(data, likely.start(), end, few=False):
            return likely.start()
        at = likely.start() + 1
    return None


def _walk(name: str, data: Bytes, first: int, end: int) -> Walk:
    """From frame to frame.

    Raises:
        Damaged: other bytes than tags lie between.
        WrongFormat: the frames change their kind.
    """
    lengths, kind = _lengths(), _kind(data, first)
    spans, begin, at, frames = [], first, first, 0
    while at + 4 <= end:
        length = lengths.get(data[at + 1] << 8 | data[at + 2], 0) if data[at] == 0xFF else 0
        if length and _kind(data, at) == kind:
            if at + length > end:
                break
            at, frames = at + length, frames + 1
            continue
        spans.append((begin, at))
        after = after_tags(data, at, end)
        following = _next_frame(data, after, end, end)
        if following is None:
            return Walk(spans, frames, cut=False)
        if _kind(data, following) != kind:
            problem = f"changes its rate or channels at byte {following}"
            raise WrongFormat(problem, file=name, remedy=conversion(name))
        if following != after:
            problem = f"damaged: {following - after} bytes from byte {after} on are no sound"
            raise Damaged(problem, file=name, remedy=REPLACE)
        begin = at = following
    if at > begin:
        spans.append((begin, at))
    rest = data[at : at + 2]
    return Walk(spans, frames, cut=rest[:1] == b"\xff" and (len(rest) < 2 or rest[1] & 0xFE == kind[0]))


def tag_length(data: Bytes, at: int, end: int) -> int:
    """Bytes of the tag that stands at `at`: ID3v1, ID3v2 (section 3.1), APEv2, Lyrics3; 0 if none does."""
    mark = data[at : at + 16]
    if mark[:3] == b"ID3" and len(mark) >= 10 and not any(byte & 0x80 for byte in mark[6:10]):
        size = 10 + (mark[6] << 21 | mark[7] << 14 | mark[8] << 7 | mark[9]) + (10 if mark[5] & 0x10 else 0)
    elif mark[:4] == b"TAG+":
        size = 227
    elif mark[:3] == b"TAG":
        size = 128
    elif mark[:8] == b"APETAGEX" and len(mark) == 16:
        size = int.from_bytes(mark[12:16], "little") + 32
    elif mark[:11] == b"LYRICSBEGIN":
        close = data.find(b"LYRICS200", at, end)
        size = close + 9 - at if close >= 0 else 0
    else:
        return 0
    return size if at + size <= end else 0


def after_tags(data: Bytes, at: int, end: int) -> int:
    """The first byte from `at` on that is in no tag."""
    while length := tag_length(data, at, end):
        at += length
    return at


def read_head(data: Bytes, at: int) -> Head | None:
    """What a Xing, Info or VBRI frame at `at` says, if it is one that tells the number of frames."""
    frame = data[at : at + 256].ljust(256, b"\0")
    second, mono = frame[1], frame[3] >> 6 == 3
    if second >> 1 & 3 != LAYER3:
        return None
    if frame[36:40] == b"VBRI":
        size, frames = struct.unpack(">II", frame[46:54])
        return Head(_filled(frames), size, followed=False)
    side = (17 if mono else 32) if second >> 3 & 3 == MPEG1 else (9 if mono else 17)
    tag = frame[4 + side + (0 if second & 1 else 2) :]  # two bytes of checksum
    if tag[:4] not in (b"Xing", b"Info"):
        return None
    flags = tag[7]
    frames = int.from_bytes(tag[8:12], "big") if flags & 1 else 0
    size = int.from_bytes(tag[12:16], "big") if flags & 3 == 3 else None
    lame = tag[8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1) :]
    delay = int.from_bytes(lame[21:23], "big") >> 4 if any(lame[:9]) else None
    return Head(_filled(frames), size, delay)


def _filled(frames: int) -> int:
    return 0 if frames > MOST_MPEG_FRAMES else frames
