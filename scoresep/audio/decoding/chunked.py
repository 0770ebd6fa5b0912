"""WAV, RF64, W64, AIFF, CAF and AU: where a file's sound lies, and a header that says so.

Programs that write into a pipe, or are stopped, leave the length open: it is 0, or the largest that its field holds,
or near that. Then the sound goes on until the end of the file. A length that is anything else and more than what is
there means that the file was cut.

References: Microsoft's RIFF; EBU Tech 3306 (RF64) and ITU-R BS.2088 (BW64); Sony's W64; Apple's AIFF-C and CAF, where
-1 means unknown; Sun's AU, where ~0 does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from scoresep.audio.decoding import mpeg
from scoresep.audio.decoding.formats import REPLACE
from scoresep.audio.decoding.splice import Bytes, Stream, patched
from scoresep.errors import Damaged

MPEG_TAGS = (0x50, 0x55)
"""Formats of a WAV file that are MPEG audio (RFC 2361)."""
SLACK = 1 << 16
"""Bytes by which an open length may differ from the largest: headers, whole blocks."""
LARGEST_FIELD = 0xFFFF_FFFF
"""What a field of 32 bits holds."""


@dataclass(frozen=True)
class Layout:
    """How a format is made of chunks.

    Attributes:
        order, field: byte order and size field, in the notation of `struct`.
        start: where the first chunk stands.
        kinds: what stands four bytes before that, if it tells audio from other files.
        sound: the first four bytes of the name of the chunk with the sound.
        lead: bytes in that chunk before the sound.
        label: bytes of a chunk's name.
        align: what chunks begin at multiples of.
        inclusive: whether a chunk's size includes its name and its size field.
    """

    order: str
    field: str
    start: int
    kinds: tuple[bytes, ...] = ()
    sound: bytes = b"data"
    lead: int = 0
    label: int = 4
    align: int = 2
    inclusive: bool = False

    @property
    def width(self) -> int:
        """Bytes of a size field."""
        return struct.calcsize(self.order + self.field)

    def pack(self, size: int) -> bytes:
        """A size as it stands in a file; the largest there is if it is too large."""
        return struct.pack(self.order + self.field, min(size, (1 << 8 * self.width) - 1))


WAV, RIFX = Layout("<", "I", 12, (b"WAVE",)), Layout(">", "I", 12, (b"WAVE",))
AIFF = Layout(">", "I", 12, (b"AIFF", b"AIFC"), sound=b"SSND", lead=8)
W64 = Layout("<", "Q", 40, label=16, align=8, inclusive=True)
CAF = Layout(">", "Q", 8, lead=4, align=1)
LAYOUTS = {b"RIFF": WAV, b"RF64": WAV, b"BW64": WAV, b"RIFX": RIFX, b"riff": W64, b"FORM": AIFF, b"caff": CAF}
"""By a file's first four bytes."""
AU_ORDERS = {b".snd": ">", b"dns.": "<"}
"""Byte order of an AU file by its first four bytes."""


@dataclass(frozen=True)
class Chunk:
    """A chunk: the first four bytes of its name, where it, its contents and the next begin, its size as it stands."""

    name: bytes
    at: int
    first: int
    following: int
    field: int

    @property
    def plausible(self) -> bool:
        """Whether its name can be one."""
        return all(32 <= byte < 127 for byte in self.name)


def find_streams(name: str, data: Bytes) -> list[Stream]:
    """The sound of a file in chunks; none if it is of a kind that holds no audio, like AVI.

    Raises:
        Damaged: it was cut, or there is no sound in it.
    """
    layout = LAYOUTS[data[:4]]
    if layout.kinds and data[8:12] not in layout.kinds:
        return []
    before: dict[bytes, Chunk] = {}
    for chunk in _chunks(data, layout, layout.start):
        before.setdefault(chunk.name, chunk)
        if chunk.name == layout.sound:
            break
    else:
        raise Damaged("truncated: it ends before its sound begins", file=name, remedy=REPLACE)
    sound, wide = before[layout.sound], before.get(b"ds64")
    first = sound.first + layout.lead
    if layout is AIFF:
        first += int.from_bytes(data[sound.first : sound.first + 4], "big")
    field, following = sound.field, sound.following
    if wide and field == LARGEST_FIELD:
        field = int.from_bytes(data[wide.first + 8 : wide.first + 16], "little")
        following = first + field
    stated = field - (first - (sound.at if layout.inclusive else sound.first))
    end = find_end(name, len(data), first, field, stated, _ends_with_chunks(data, layout, following))
    tag = before.get(b"fmt ")
    if layout in (WAV, RIFX) and tag and _number(data, tag.first, 2, layout) in MPEG_TAGS:
        return mpeg.find_streams(name, data, first, end)
    if end == first + stated and data[:4] != b"BW64":  # which libsndfile knows as RF64 only
        return [Stream([(0, len(data))])]
    return [Stream(patched(len(data), _changes(layout, before, end)))]


def find_au(name: str, data: Bytes) -> list[Stream]:
    """The sound of an AU file (its first four bytes are in `AU_ORDERS`).

    Raises:
        Damaged: it was cut.
    """
    first, stated = struct.unpack(AU_ORDERS[data[:4]] + "II", data[4:12].ljust(8, b"\0"))
    end = find_end(name, len(data), first, stated, stated, False)
    size = struct.pack(AU_ORDERS[data[:4]] + "I", min(end - first, LARGEST_FIELD))
    return [Stream(patched(len(data), [(8, 12, size)]))]


def find_end(name: str, size: int, first: int, field: int, stated: int, chained: bool) -> int:
    """Where the sound ends.

    Args:
        size: bytes of the file.
        first: where the sound begins.
        field: its length as it stands in the file, `stated` without what is no sound.
        chained: whether nothing but chunks follows a sound of that length.

    Raises:
        Damaged: it was cut.
    """
    left = size - first
    tops = (1 << 31, 1 << 32, 1 << 63, 1 << 64)
    if stated <= 0 or any(abs(field - top) <= SLACK for top in tops):
        return max(first, first + stated if chained and stated <= left else size)
    if stated > left:
        raise Damaged(f"truncated: {max(left, 0)} of {stated} bytes of sound", file=name, remedy=REPLACE)
    return first + stated


def _number(data: Bytes, at: int, width: int, layout: Layout) -> int:
    return int.from_bytes(data[at : at + width], "big" if layout.order == ">" else "little")


def _chunks(data: Bytes, layout: Layout, at: int) -> Iterator[Chunk]:
    """The chunks from `at` to the end or the first that is none."""
    while at + layout.label + layout.width <= len(data):
        chunk = _chunk(data, layout, at)
        odd = at - 1  # some writers leave out the byte that makes a chunk's length even
        if not chunk.plausible and layout.align == 2 and at > layout.start:
            chunk = _chunk(data, layout, odd)
        if not chunk.plausible:
            return
        yield chunk
        at = chunk.following


def _chunk(data: Bytes, layout: Layout, at: int) -> Chunk:
    first = at + layout.label + layout.width
    field = _number(data, at + layout.label, layout.width, layout)
    end = max((at if layout.inclusive else first) + field, first)
    return Chunk(data[at : at + 4], at, first, -(-end // layout.align) * layout.align, field)


def _ends_with_chunks(data: Bytes, layout: Layout, at: int) -> bool:
    """Whether from `at` on there are chunks up to the end of the file."""
    for chunk in _chunks(data, layout, at):
        at = chunk.following
    return len(data) <= at <= len(data) + layout.align


def _changes(layout: Layout, before: dict[bytes, Chunk], end: int) -> list[tuple[int, int, bytes]]:
    """What makes a header right whose sound reaches to `end`, for `patched`."""
    sound = before[layout.sound]
    at = sound.at + layout.label
    size = (at, sound.first, layout.pack(end - (sound.at if layout.inclusive else sound.first)))
    if layout is CAF:
        return [size]
    if layout is WAV and (end > LARGEST_FIELD or b"ds64" in before):
        return _wide_changes(before, end)
    whole = (layout.label, layout.label + layout.width, layout.pack(end if layout.inclusive else end - 8))
    if layout is WAV:
        return [(0, 4, b"RIFF"), whole, size]
    if comm := before.get(b"COMM"):
        return [whole, (comm.first + 2, comm.first + 6, layout.pack(LARGEST_FIELD)), size]  # its number of samples
    return [whole, size]


def _wide_changes(before: dict[bytes, Chunk], end: int) -> list[tuple[int, int, bytes]]:
    """`_changes` with sizes of 64 bits, in the chunk that is there or a new one."""
    sound, wide = before[WAV.sound], before.get(b"ds64")
    sizes = struct.pack("<QQQ", end - 8, end - sound.first, 0)
    size = (sound.first - 4, sound.first, WAV.pack(LARGEST_FIELD))
    if wide:
        return [(0, 4, b"RF64"), (wide.first, wide.first + 24, sizes), size]
    return [(0, 12, b"RF64" + WAV.pack(LARGEST_FIELD) + b"WAVEds64" + WAV.pack(28) + sizes + bytes(4)), size]
