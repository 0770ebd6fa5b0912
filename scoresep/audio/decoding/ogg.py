"""Ogg (RFC 3533): Vorbis, Opus and FLAC, also several streams one after the other, of which libsndfile reads the first.

FLAC in Ogg is taken out of its pages, as libsndfile's libFLAC may have been built without Ogg.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scoresep.audio.decoding import flac
from scoresep.audio.decoding.formats import remedy
from scoresep.audio.decoding.splice import Stream
from scoresep.errors import ScoresepError

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


def find_streams(name: str, data: bytes, start: int) -> list[Stream]:
    """The streams of a file whose first page stands at `start`.

    Raises:
        ScoresepError: it is cut or damaged, or holds a stream that is not read.
    """
    links = _links(list(_pages(name, data, start)))
    streams = []
    for link in links:
        serial = _sound(name, data, link)
        own = [page for page in link if page.serial == serial]
        if not own[-1].flags & ENDS:
            raise ScoresepError(f"{name} is truncated: its last page is missing; replace it")
        if data[own[0].first : own[0].first + 5] == b"\x7fFLAC":
            spans = [(page.first, page.end) for page in own]
            spans[0] = (own[0].first + FLAC_LEAD, own[0].end)
            streams.append(flac.stream(data, spans))
        else:
            streams.append(Stream(_joined([(page.at, page.end) for page in own])))
    return streams


def _pages(name: str, data: bytes, at: int) -> Iterator[Page]:
    """The pages from `at` on; what stands behind the last is no matter."""
    while at < len(data):
        if data[at : at + 4] != b"OggS":
            if data.find(b"OggS", at) >= 0:
                raise ScoresepError(f"{name} is damaged: there is no page at byte {at}; replace it")
            return
        table = data[at + 27 : at + 27 + data[at + 26]] if at + 27 <= len(data) else b""
        first = at + 27 + len(table)
        end = first + sum(table)
        if end > len(data) or at + 27 > len(data) or len(table) < data[at + 26]:
            raise ScoresepError(f"{name} is truncated: its last page is missing; replace it")
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


def _sound(name: str, data: bytes, link: list[Page]) -> bytes:
    """The number of the first stream of a link that is read."""
    for page in link:
        if page.flags & BEGINS and data[page.first : page.first + 8].startswith(CODECS):
            return page.serial
    raise ScoresepError(f"{name} holds no Vorbis, Opus or FLAC; {remedy(name)}")


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that touch made one."""
    joined = spans[:1]
    for first, end in spans[1:]:
        if first == joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((first, end))
    return joined
