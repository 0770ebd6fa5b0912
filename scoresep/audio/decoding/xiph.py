"""FLAC (RFC 9639) and Ogg (RFC 3533) with Vorbis, Opus or FLAC in it.

A FLAC stream may not tell its number of samples, or a wrong one. An Ogg file may hold several streams one after the
other, of which libsndfile reads the first. FLAC in Ogg is taken out of its pages, as libsndfile's libFLAC may have been
built without Ogg.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scoresep.audio.decoding.formats import REPLACE, conversion
from scoresep.audio.decoding.splice import Bytes, Stream
from scoresep.errors import Damaged, WrongFormat

SAMPLE_COUNT = (21, 26)
"""The bytes of a stream of which the last 36 bits are the number of samples; 0 means unknown."""
START = b"fLaC\0\0\0\x22"
"""What a stream begins with: the mark and the header of STREAMINFO."""
CODECS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC")
"""What the first page of a stream that is read begins with."""
FLAC_LEAD = 9
"""Bytes in front of `fLaC` in the first packet (Ogg FLAC mapping 1.0)."""
BEGINS, ENDS = 2, 4
"""Flags of a page."""


@dataclass(frozen=True)
class Page:
    """A page: where it, its contents and the next begin; its flags and its stream's number."""

    at: int
    first: int
    end: int
    flags: int
    serial: bytes


def find_flac(data: Bytes, start: int) -> list[Stream]:
    """The stream of a file that begins at `start`; an ID3v1 tag at the end is left out."""
    return [flac_stream(data, [(start, len(data) - 128 if data[-128:-125] == b"TAG" else len(data))])]


def flac_stream(data: Bytes, spans: list[tuple[int, int]]) -> Stream:
    """The stream in `spans` of a file. libFLAC is not told the number of samples, so that it reads to the end."""
    (begin, end), *others = spans
    first, after = begin + SAMPLE_COUNT[0], begin + SAMPLE_COUNT[1]
    said = int.from_bytes(data[first:after], "big")
    total = said & (1 << 36) - 1
    unknown = (said - total).to_bytes(after - first, "big")
    return Stream([(begin, first), unknown, (after, end), *others], total, last=True)


def find_ogg(name: str, data: Bytes, start: int) -> list[Stream]:
    """The streams of a file whose first page stands at `start`.

    Raises:
        Damaged: it is cut or damaged.
        WrongFormat: it holds no stream that is read.
    """
    links = _links(list(_pages(name, data, start)))
    streams = []
    for link in links:
        serial = _sound(name, data, link)
        pages = [page for page in link if page.serial == serial]
        if not pages[-1].flags & ENDS:
            raise Damaged("truncated: its last page is missing", file=name, remedy=REPLACE)
        if data[pages[0].first : pages[0].first + 5] == b"\x7fFLAC":
            spans = [(page.first, page.end) for page in pages]
            spans[0] = (pages[0].first + FLAC_LEAD, pages[0].end)
            streams.append(flac_stream(data, spans))
        else:
            streams.append(Stream([*_joined([(page.at, page.end) for page in pages])]))
    return streams


def _pages(name: str, data: Bytes, at: int) -> Iterator[Page]:
    """The pages from `at` on; what stands behind the last is no matter."""
    while at < len(data):
        if data[at : at + 4] != b"OggS":
            if data.find(b"OggS", at) >= 0:
                raise Damaged(f"damaged: there is no page at byte {at}", file=name, remedy=REPLACE)
            return
        table = data[at + 27 : at + 27 + data[at + 26]] if at + 27 <= len(data) else b""
        first = at + 27 + len(table)
        end = first + sum(table)
        if end > len(data) or at + 27 > len(data) or len(table) < data[at + 26]:
            raise Damaged("truncated: its last page is missing", file=name, remedy=REPLACE)
        yield Page(at, first, end, data[at + 5], data[at + 14 : at + 18])
        at = end


def _links(pages: list[Page]) -> list[list[Page]]:
    """Pages of streams that run side by side, together: a new link begins with first pages after others."""
    links: list[list[Page]] = [[]]
    for page in pages:
        if page.flags & BEGINS and links[-1] and not links[-1][-1].flags & BEGINS:
            links.append([])
        links[-1].append(page)
    return links


def _sound(name: str, data: Bytes, link: list[Page]) -> bytes:
    """The number of the first stream of a link that is read."""
    for page in link:
        if page.flags & BEGINS and data[page.first : page.first + 8].startswith(CODECS):
            return page.serial
    raise WrongFormat("no Vorbis, Opus or FLAC in it", file=name, remedy=conversion(name))


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that touch made one."""
    joined = spans[:1]
    for first, end in spans[1:]:
        if first == joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((first, end))
    return joined
