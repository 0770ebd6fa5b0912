"""Standard MIDI files, from bytes to messages. What the messages mean is read in `channels`.

Read as the specification says (MIDI 1.0, Standard MIDI Files; RIFF-MIDI, RP-029), and beyond it what players put up
with: wrong chunk lengths, foreign chunks, junk after the last one, tracks beyond the header's count, no end of track,
running status across other events. A track that breaks off is refused.
"""

from __future__ import annotations

import codecs
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

DEFAULT_TEMPO = 500_000
"""Microseconds a beat until a file says otherwise: 120 beats a minute."""
SMPTE_RATES = {24: 24.0, 25: 25.0, 29: 30000 / 1001, 30: 30.0}
"""Frames a second by the number in the header; 29 is 30 drop-frame."""
NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, BEND, DRUM_PART = 0x80, 0x90, 0xB0, 0xC0, 0xE0, 0xF0
"""Kinds of messages; the last stands for a manufacturer's message by which a channel plays drums, or no longer does."""
_SIZE = {status: 1 if status & 0xF0 in (PROGRAM, 0xD0) else 2 for status in range(0x80, 0xF0)}
"""Data bytes of a channel's message by its status."""
_META, _EXCLUSIVE, _CONTINUED = 0xFF, 0xF0, 0xF7
NAME, INSTRUMENT = 0x03, 0x04
"""Meta events that name a track, and its instrument."""
_CHANNEL, _PORT, _END, _TEMPO, _METER = 0x20, 0x21, 0x2F, 0x51, 0x58
_SYSTEM_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}
"""Data bytes of system messages, which have no place in files; the others have none."""
_GS_RESET = bytes.fromhex("421240007f00")
MOST_TRACKS = 1000
"""More are no score."""
MOST_BARS = 100_000
"""More are not counted."""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TAGS = {b"{@LATIN}": "cp1252", b"{@JP}": "cp932"}
"""What RP-026 lets a file say at the beginning of a text."""
_WIDE = r"[\u3000-\u30ff\u4e00-\u9fff\uff01-\uff60]"
_JAPANESE = re.compile(rf"(?:(?<![A-Za-z]){_WIDE}(?![A-Za-z])|{_WIDE}{{2,}}|[\uff65-\uff9f]{{2,}}|[\x00-\x7f])*")
_CYRILLIC_WORD = re.compile(rb"(?<![A-Za-z\x80-\xff])[\xc0-\xff\xa8\xb8]{2,}(?![A-Za-z\x80-\xff])")
_ACCENTED_WORD = re.compile(rb"[A-Za-z][\xc0-\xff]|[\xc0-\xff][A-Za-z]")


@dataclass(frozen=True)
class MidiTrack:
    """A track of a file.

    Attributes:
        events: int64 (E, 4) in order: tick, kind + channel (0-15), first and second data byte.
        tempos: (tick, microseconds a beat).
        names: (NAME or INSTRUMENT, channel or -1 for all, bytes in an encoding that nobody says), in order.
        port: which of several sets of sixteen channels it plays on.
        end: tick of its end.
        metres: (tick, beats of a bar, in the file's beats: quarter notes).
    """

    events: np.ndarray
    tempos: list[tuple[int, int]]
    names: list[tuple[int, int, bytes]]
    port: int
    end: int
    metres: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class MidiFile:
    """A file: its tracks, which sound together, and the ticks of its time.

    Attributes:
        ticks: of a beat, or of a second if `beats` is False.
        gs: whether it resets its player to Roland's GS.
    """

    tracks: list[MidiTrack]
    ticks: float
    beats: bool
    gs: bool

    def seconds(self, ticks: np.ndarray) -> np.ndarray:
        """Times of ticks, float64 of their shape.

        Raises:
            ValueError: a beat of no time would swallow what lies in it.
        """
        if not self.beats:
            return ticks / self.ticks
        changes = sorted((change for track in self.tracks for change in track.tempos), key=lambda change: change[0])
        begin, tempo = (np.array(column) for column in zip((0, DEFAULT_TEMPO), *changes, strict=True))
        seconds_a_tick = tempo / 1e6 / self.ticks
        length = np.diff(begin, append=max(begin[-1], np.max(ticks, initial=0)))
        if (length[tempo == 0] > 0).any():
            raise ValueError("a tempo of 0: its beats have no length")
        start = np.append(0.0, np.cumsum(np.diff(begin) * tempo[:-1] / 1e6 / self.ticks))
        latest = np.searchsorted(begin, ticks, side="right") - 1
        seconds: np.ndarray = start[latest] + (ticks - begin[latest]) * seconds_a_tick[latest]
        return seconds

    def bar_lines(self) -> np.ndarray:
        """Seconds at which bars begin, float64, the last one at or after the end; four beats a bar until the file says
        otherwise. None where ticks are no beats."""
        if not self.beats:
            return np.zeros(0)
        end = max((track.end for track in self.tracks), default=0)
        metres = dict(sorted(metre for track in self.tracks for metre in track.metres if metre[0] < end))
        starts = [*metres, end] if 0 in metres else [0, *metres, end]
        lines = [np.zeros(0)]
        for first, last in pairwise(starts):
            length = max(metres.get(first, 4.0) * self.ticks, end / MOST_BARS)
            lines.append(np.arange(first, last, length))
        return self.seconds(np.append(np.concatenate(lines), end))


def read_file(content: bytes) -> MidiFile:
    """The messages of a MIDI file, RIFF-wrapped (RMID), with a MacBinary header, or plain.

    Raises:
        ValueError: what is wrong with it.
    """
    start = _header(content)
    size, kind, count = (int.from_bytes(content[start + a : start + b], "big") for a, b in ((4, 8), (8, 10), (10, 12)))
    if start + 14 > len(content) or size < 6:
        raise ValueError("truncated: no whole header")
    if kind > 2:
        raise ValueError(f"format {kind} is unknown, formats are 0, 1 and 2")
    ticks, beats = _division(content[start + 12 : start + 14])
    tracks = _tracks(content, start + 8 + size, count)
    if kind == 2 and sum(bool(channels_of(track)) for track in tracks) > 1:
        raise ValueError("format 2, patterns in an order that it does not tell; save it as format 1")
    return MidiFile(tracks, ticks, beats, _GS_RESET in content)


def channels_of(track: MidiTrack) -> list[int]:
    """Channels on which a track has notes, ascending."""
    kind, velocity = track.events[:, 1], track.events[:, 3]
    channels: list[int] = np.unique(kind[(kind & 0xF0 == NOTE_ON) & (velocity > 0)] & 15).tolist()
    return channels


def _header(content: bytes) -> int:
    """Where the header is."""
    if content[:4] == b"RIFF" and content[8:12] == b"RMID":
        start = content.find(b"MThd")
    else:
        start = 128 if content[128:132] == b"MThd" and content[:1] == b"\0" else 0  # MacBinary
    if content[max(start, 0) :][:4] != b"MThd":
        raise ValueError("it does not begin with a MIDI header")
    return start


def _division(code: bytes) -> tuple[float, bool]:
    """Ticks of a beat and True, or of a second and False."""
    if code[0] < 0x80:
        ticks, beats = float(int.from_bytes(code, "big")), True
    elif 256 - code[0] in SMPTE_RATES:
        ticks, beats = SMPTE_RATES[256 - code[0]] * code[1], False
    else:
        raise ValueError(f"{256 - code[0]} frames a second are none of SMPTE's rates")
    if not ticks:
        raise ValueError("a beat has no ticks" if beats else "a frame has no ticks")
    return ticks, beats


def _tracks(content: bytes, place: int, count: int) -> list[MidiTrack]:
    """All tracks from `place` on, at least `count`; chunks of other kinds are passed over."""
    tracks: list[MidiTrack] = []
    while place < len(content):
        if content[place : place + 4] == b"MThd":
            raise ValueError("a second song follows the first; save them apart")
        size = int.from_bytes(content[place + 4 : place + 8], "big")
        if content[place : place + 4] == b"MTrk" and place + 8 <= len(content):
            track, end = _read_track(content, place + 8, place + 8 + size)
            tracks.append(track)
            if len(tracks) > MOST_TRACKS:
                raise ValueError(f"more than {MOST_TRACKS} tracks")
            place = _next_chunk(content, end, place + 8 + size)
        elif _begins_chunk(content, place):
            place += 8 + size
        else:
            place = _next_track(content, place + 1)
    if len(tracks) < count:
        raise ValueError(f"truncated: {len(tracks)} of {count} tracks")
    return tracks


def _next_chunk(content: bytes, end: int, said: int) -> int:
    """Where to go on after a track that ended at `end`, and should have at `said`."""
    return next((place for place in (end, said) if _begins_chunk(content, place)), _next_track(content, end))


def _next_track(content: bytes, place: int) -> int:
    following = content.find(b"MTrk", place)
    return len(content) if following < 0 else following


def _begins_chunk(content: bytes, place: int) -> bool:
    """Whether a chunk begins there, or nothing is left."""
    name, size = content[place : place + 4], content[place + 4 : place + 8]
    if place == len(content) or name == b"MTrk":
        return True
    return name.isalnum() and len(size) == 4 and place + 8 + int.from_bytes(size, "big") <= len(content)


@dataclass
class _Contents:
    """What is noted of a track while it is read; `prefix` is the tick and the channel of the latest channel prefix."""

    events: array[int] = field(default_factory=lambda: array("q"))
    tempos: list[tuple[int, int]] = field(default_factory=list)
    names: list[tuple[int, int, bytes]] = field(default_factory=list)
    prefix: tuple[int, int] = (-1, -1)
    port: int = 0
    metres: list[tuple[int, float]] = field(default_factory=list)


def _read_track(content: bytes, place: int, said: int) -> tuple[MidiTrack, int]:
    """The track that begins at `place` and whose chunk says that it ends at `said`, and where it does end.

    Raises:
        ValueError: it breaks off, or holds what no track can.
    """
    contents = _Contents()
    try:
        tick, place = _read_events(content, place, said, contents)
    except IndexError:
        raise ValueError("truncated: a track breaks off") from None
    except KeyError:
        raise ValueError("a message without a status") from None
    events = np.array(contents.events, dtype=np.int64).reshape(-1, 4)
    return MidiTrack(events, contents.tempos, contents.names, contents.port, tick, contents.metres), place


def _read_events(content: bytes, place: int, stop: int, contents: _Contents) -> tuple[int, int]:
    """Note all messages of a track; returns the tick and the place of its end."""
    tick, status, add = 0, 0, contents.events.extend
    while True:
        if place >= stop:
            if place == stop and _begins_chunk(content, stop):
                return tick, place  # without an end of track
            stop = len(content) + 1  # the chunk's length is wrong: the track goes on to its end
        delta, place = _number(content, place)
        tick += delta
        first = content[place]
        if 127 < first < 0xF0:
            status = first
            place += 1
        if first < 0xF0:
            size = _SIZE[status]
            one, two = content[place], content[place + size - 1]
            if (one | two) > 127:
                raise ValueError(f"a data byte above 127 at byte {place}")
            add((tick, status, one, two))
            place += size
        elif first in (_META, _EXCLUSIVE, _CONTINUED):
            kind, body, place = _long_message(content, place)
            if kind == _END:
                return tick, place
            _note(contents, tick, kind, body)
        else:
            place += 1 + _SYSTEM_BYTES.get(first, 0)


def _number(content: bytes, place: int) -> tuple[int, int]:
    """A number of variable length, and the place after it."""
    value = content[place]
    if value < 0x80:
        return value, place + 1
    value &= 0x7F
    for after in range(place + 1, place + 4):
        byte = content[after]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, after + 1
    raise ValueError(f"a number of more than four bytes at byte {place}")


def _long_message(content: bytes, place: int) -> tuple[int, bytes, int]:
    """A message of any length: its kind (that of a meta event, else its status), its body and the place after it."""
    meta = content[place] == _META
    kind = content[place + meta]
    size, place = _number(content, place + 1 + meta)
    if place + size > len(content):
        raise IndexError
    return kind, content[place : place + size], place + size


def _note(contents: _Contents, tick: int, kind: int, body: bytes) -> None:
    """Note a message of any length if a score needs it."""
    if kind == _EXCLUSIVE and (part := drum_part(body)):
        contents.events.extend((tick, DRUM_PART | part[0], part[1], 0))
    elif kind == _TEMPO:
        if len(body) != 3:
            raise ValueError(f"a tempo of {len(body)} bytes")
        contents.tempos.append((tick, int.from_bytes(body, "big")))
    elif kind == _METER and len(body) >= 2 and body[0] and body[1] < 8:
        contents.metres.append((tick, 4.0 * body[0] / 2 ** body[1]))
    elif kind in (NAME, INSTRUMENT) and body.strip(b"\0 "):
        contents.names.append((kind, contents.prefix[1] if contents.prefix[0] == tick else -1, body))
    elif kind == _CHANNEL and body:
        contents.prefix = tick, body[0] & 15
    elif kind == _PORT and body:
        contents.port = body[0]


def drum_part(body: bytes) -> tuple[int, int] | None:
    """Channel and 1 (or 0) of a system exclusive message that makes a part of drums of it (or an end of that).

    Roland GS: "use for rhythm part", 40 1x 15; its blocks 0, 1-9, A-F are parts 10, 1-9, 11-16. Yamaha XG: "part mode",
    08 nn 07.
    """
    if (
        body[:1] == b"\x41"
        and body[2:5] == b"\x42\x12\x40"
        and body[5:6]
        and body[5] >> 4 == 1
        and body[6:7] == b"\x15"
    ):
        block = body[5] & 15
        return (9 if block == 0 else block - (block < 10)), int(any(body[7:8]))
    if body[:1] == b"\x43" and body[2:4] == b"\x4c\x08" and body[5:6] == b"\x07" and body[4] < 16:
        return body[4], int(any(body[6:7]))
    return None


# Names, in encodings that nobody says


def decode_names(names: Sequence[bytes]) -> list[str]:
    """Names of one file as text: Unicode where they are that, else in the encoding that fits all the others best."""
    encoding = _guess([name for name in names if _unicode(name) is None])
    texts = [_legacy(name, encoding) if (text := _unicode(name)) is None else text for name in names]
    return [text.strip("\0 \t\r\n") for text in texts]  # zeros and blanks fill fields of fixed length


def _unicode(name: bytes) -> str | None:
    """A name in UTF-8 or UTF-16, or with a tag that names its encoding; else None."""
    for mark, encoding in _MARKS:
        if name.startswith(mark):
            return name.decode(encoding, "replace")
    for tag, encoding in _TAGS.items():
        if name.startswith(tag):
            return _legacy(name[len(tag) :], encoding)
    text = name.rstrip(b"\0")
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(text) > 2 and not any(name[first::2]) and all(name[1 - first :: 2].rstrip(b"\0")):
            return name.decode(encoding, "replace")
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _guess(names: Sequence[bytes]) -> str:
    """Shift-JIS if it gives words of Japanese, Windows-1251 if whole words are of its letters, else Windows-1252."""
    if names and all(_is_japanese(name) for name in names):
        return "cp932"
    words = b"\n".join(names)
    return "cp1251" if _CYRILLIC_WORD.search(words) and not _ACCENTED_WORD.search(words) else "cp1252"


def _is_japanese(name: bytes) -> bool:
    """Whether a name is Shift-JIS: a lone character between Latin letters is an accent, and so are half-width letters
    without any of the commonest (a vowel or k, s)."""
    try:
        text = name.decode("cp932")
    except UnicodeDecodeError:
        return False
    half = re.findall(r"[\uff61-\uff9f]+", text)
    return bool(_JAPANESE.fullmatch(text)) and all(re.search(r"[\uff70-\uff7f]", run) for run in half)


def _legacy(name: bytes, encoding: str) -> str:
    try:
        return name.decode(encoding)
    except UnicodeDecodeError:
        return name.decode("latin-1")
