"""MIDI as it is found: files of bytes whose notes are stated by hand. Well-formed ones agree with other readers."""

from __future__ import annotations

import io
import re
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
import symusic

from scoresep.errors import Damaged
from scoresep.score.midi_writing import midi_bytes
from scoresep.score.parts import SHORTEST_NOTE, Part, part_from_notes, read_midi

BEAT = 0.5
TICKS = 480
"""Of a beat."""
NOTE = [(0.0, 0.5, 60, 90)]


def number(value: int) -> bytes:
    """A number of variable length."""
    digits = [value & 127]
    while value := value >> 7:
        digits.append(value & 127 | 128)
    return bytes(reversed(digits))


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + (len(body) if size is None else size).to_bytes(4) + body


def body(*events: tuple[int, bytes], end: bytes = b"\0\xff\x2f\0") -> bytes:
    return b"".join(number(delta) + message for delta, message in events) + end


def track(*events: tuple[int, bytes]) -> bytes:
    return chunk(b"MTrk", body(*events))


def header(tracks: int, kind: int = 1, division: bytes = TICKS.to_bytes(2)) -> bytes:
    return chunk(b"MThd", kind.to_bytes(2) + tracks.to_bytes(2) + division)


def song(*tracks: bytes, kind: int = 1) -> bytes:
    return header(len(tracks), kind) + b"".join(tracks)


def on(pitch: int = 60, velocity: int = 90, channel: int = 0) -> bytes:
    return bytes([0x90 | channel, pitch, velocity])


def off(pitch: int = 60, channel: int = 0) -> bytes:
    return bytes([0x80 | channel, pitch, 64])


def program(value: int, channel: int = 0) -> bytes:
    return bytes([0xC0 | channel, value])


def control(controller: int, value: int, channel: int = 0) -> bytes:
    return bytes([0xB0 | channel, controller, value])


def bend(value: int, channel: int = 0) -> bytes:
    return bytes([0xE0 | channel, value + 8192 & 127, value + 8192 >> 7])


def meta(kind: int, data: bytes) -> bytes:
    return bytes([0xFF, kind]) + number(len(data)) + data


def exclusive(data: bytes, status: int = 0xF0) -> bytes:
    return bytes([status]) + number(len(data)) + data


def beat(pitch: int = 60, channel: int = 0) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    return (0, on(pitch, channel=channel)), (TICKS, off(pitch, channel))


def read(tmp_path: Path, content: bytes) -> list[Part]:
    (tmp_path / "a.mid").write_bytes(content)
    return read_midi(tmp_path / "a.mid")


def rows(part: Part) -> list[tuple[float, float, int, int]]:
    columns = (part.onset.round(6), part.offset.round(6), part.pitch, part.velocity)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def refused(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(Damaged) as fault:
        read(tmp_path, content)
    assert fault.value.file == str(tmp_path / "a.mid") and fault.value.remedy
    assert re.search(why, fault.value.problem)


# Containers and chunks

ONE = track(*beat())
RIFF = b"RIFF" + (len(song(ONE)) + 12).to_bytes(4, "little") + b"RMID"
INFO = b"LIST" + (12).to_bytes(4, "little") + b"INFOINAM\0\0\0\0"
WHOLE = {
    "plain": song(ONE),
    "format 0": song(ONE, kind=0),
    "format 2 of one pattern": song(ONE, kind=2),
    "RIFF": RIFF + b"data" + len(song(ONE)).to_bytes(4, "little") + song(ONE),
    "RIFF with other chunks": RIFF + INFO + b"data" + len(song(ONE)).to_bytes(4, "little") + song(ONE) + INFO,
    "RIFF of no length": b"RIFF\0\0\0\0RMIDdata\0\0\0\0" + song(ONE),
    "MacBinary": b"\0\5a.mid" + bytes(121) + song(ONE) + bytes(50),
    "a longer header": chunk(b"MThd", b"\0\1\0\1\1\xe0more") + ONE,
    "a foreign chunk first": header(1) + chunk(b"XFIH", b"MTrk of another kind") + ONE,
    "a foreign chunk last": song(ONE) + chunk(b"CASM", b"\1\2\3"),
    "zeros behind it": song(ONE) + bytes(300),
    "junk behind it": song(ONE) + b"\xff\xfe\xfd 1234 junk \x90\x3c\x40",
    "text behind it": song(ONE) + b"made by hand, with a text that is longer than a chunk's header",
    "junk between": header(1) + b"\1\2\3\4\5\6\7\x08\x09" + ONE,
    "no end of track": header(1) + chunk(b"MTrk", body(*beat(), end=b"")),
    "no end of track, then another": header(2) + chunk(b"MTrk", body(*beat(), end=b"")) + track(),
    "a chunk's length too long": header(1) + chunk(b"MTrk", body(*beat()), 10_000),
    "a chunk's length of all ones": header(1) + chunk(b"MTrk", body(*beat()), 0xFFFFFFFF),
    "a chunk's length too short": header(1) + chunk(b"MTrk", body(*beat()), 6),
    "a chunk's length of none": header(1) + chunk(b"MTrk", body(*beat()), 0),
    "a long length over two tracks": header(2) + chunk(b"MTrk", body(*beat()), 100) + track((0, meta(1, b"x" * 90))),
    "padding in the chunk": header(1) + chunk(b"MTrk", body(*beat()) + bytes(3)),
    "an empty track": song(track(), ONE),
    "a track of no bytes": header(2) + chunk(b"MTrk", b"") + ONE,
    "no tracks said": header(0) + ONE,
    "more tracks than said": header(1) + track((0, program(5))) + ONE,
    "running status": song(track((0, on()), (TICKS, b"\x3c\0"))),
    "running status over a text": song(track((0, on()), (0, meta(1, b"la")), (TICKS, b"\x3c\0"))),
    "running status over an exclusive message": song(track((0, on()), (0, exclusive(b"\x7e\xf7")), (TICKS, b"\x3c\0"))),
    "an exclusive message in parts": song(
        track((0, exclusive(b"\x43\x12\0")), (0, exclusive(b"\x43\x90\x3c\x40\xf7", 0xF7)), *beat())
    ),
    "an escape": song(track((0, exclusive(b"\xf3\x01", 0xF7)), *beat())),
    "real-time messages": song(track((0, on()), (0, b"\xf8"), (TICKS // 2, b"\xfe"), (TICKS // 2, off()))),
    "a song pointer": song(track((0, b"\xf2\1\2"), *beat())),
    "karaoke": song(track((0, meta(1, b"@KMIDI")), (0, meta(5, "ла".encode("cp1251"))), *beat())),
    "pressure": song(track((0, on()), (0, b"\xd0\x40"), (0, b"\xa0\x3c\x40"), (TICKS, off()))),
    "an unknown meta event": song(track((0, meta(0x6B, b"\1\2\3")), *beat())),
    "a tempo of 0 that lasts no time": song(track((0, meta(0x51, bytes(3))), (0, meta(0x51, b"\7\xa1\x20")), *beat())),
    "a tempo of 0 after all notes": song(track(*beat(), (0, meta(0x51, bytes(3))), (9, meta(1, b"x")))),
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_note_is_read_whatever_is_around_it(tmp_path, case):
    (part,) = read(tmp_path, WHOLE[case])
    assert rows(part) == NOTE


BROKEN = {
    "nothing": (b"", "header"),
    "no MIDI": (b"RIFF\0\0\0\0WAVEfmt MThd", "header"),
    "an empty RIFF": (b"RIFF\0\0\0\0RMIDdata", "header"),
    "half a header": (b"MThd\0\0\0\6\0\1\0", "header"),
    "format 3": (song(ONE, kind=3), "format 3"),
    "format 2 of two patterns": (song(ONE, ONE, kind=2), "format 2"),
    "no ticks": (header(1, division=b"\0\0") + ONE, "no ticks"),
    "no ticks of a frame": (header(1, division=b"\xe7\0") + ONE, "no ticks"),
    "frames of no rate": (header(1, division=b"\xff\x28") + ONE, "frames a second"),
    "fewer tracks than said": (header(3) + ONE + ONE, "2 of 3 tracks"),
    "a track that breaks off": (song(ONE)[:-6], "truncated"),
    "a text that breaks off": (song(chunk(b"MTrk", b"\0\xff\1\x7fabc")), "truncated"),
    "a velocity of 200": (song(track((0, b"\x90\x3c\xc8"), (TICKS, off()))), "above 127"),
    "data without a status": (song(track((0, b"\x3c\x40"))), "status"),
    "an endless number": (header(1) + chunk(b"MTrk", b"\xff" * 40), "four bytes"),
    "a tempo of 0": (song(track((0, meta(0x51, bytes(3))), *beat())), "tempo of 0"),
    "a tempo of 0 amid the song": (song(track(*beat(), (0, meta(0x51, bytes(3))), *beat())), "tempo of 0"),
    "a tempo of two bytes": (song(track((0, meta(0x51, b"\7\xa1")), *beat())), "tempo of 2 bytes"),
    "two songs": (song(ONE) + song(ONE), "second song"),
    "tracks without end": (song(*[track()] * 1001), "tracks"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_is_named(tmp_path, case):
    refused(tmp_path, *BROKEN[case])


def test_notes_days_later_are_refused(tmp_path):
    late = [(2**28 - 1, meta(1, b"")) for _ in range(8)]
    refused(tmp_path, song(track(*late, *beat())), "24 hours")


# Time


@pytest.mark.parametrize(("code", "rate"), [(24, 24.0), (25, 25.0), (29, 30000 / 1001), (30, 30.0)])
def test_smpte_time_follows_no_tempo(tmp_path, code, rate):
    content = header(1, division=bytes([256 - code, 40])) + track(
        (0, meta(0x51, b"\1\0\0")), (400, on()), (int(40 * rate), off())
    )
    (part,) = read(tmp_path, content)
    assert part.onset == pytest.approx([10 / rate]) and part.offset == pytest.approx(
        [10 / rate + int(40 * rate) / 40 / rate]
    )


def test_tempos_count_on_any_track(tmp_path):
    """Half a second a beat, from the second beat on a whole one, from the third a quarter."""
    tempos = track((TICKS, meta(0x51, (1_000_000).to_bytes(3))), (TICKS, meta(0x51, (250_000).to_bytes(3))))
    (part,) = read(tmp_path, song(track(*beat(60), *beat(62), *beat(64)), tempos))
    assert rows(part) == [(0.0, 0.5, 60, 90), (0.5, 1.5, 62, 90), (1.5, 1.75, 64, 90)]


# Notes

SHORT = round(SHORTEST_NOTE, 6)
NOTES = {
    "no length": ([(0, on()), (0, off())], [(0.0, SHORT, 60, 90)]),
    "no length by a velocity of 0": ([(0, on()), (0, on(60, 0))], [(0.0, SHORT, 60, 90)]),
    "one tick": ([(0, on()), (1, off())], [(0.0, round(0.5 / 480, 6), 60, 90)]),
    "one key twice, the first ends first": (
        [(0, on(60, 1)), (480, on(60, 2)), (480, off()), (480, off())],
        [(0.0, 1.0, 60, 1), (0.5, 1.5, 60, 2)],
    ),
    "struck again before it is let go": (
        [(0, on(60, 1)), (480, on(60, 2)), (0, off()), (480, off())],
        [(0.0, 0.5, 60, 1), (0.5, 1.0, 60, 2)],
    ),
    "struck twice, released once": (
        [(0, on(60, 1)), (480, on(60, 2)), (480, off())],
        [(0.0, 1.0, 60, 1), (0.5, 1.0, 60, 2)],
    ),
    "never released": ([(0, on()), (480, on(62)), (480, off(62))], [(0.0, 1.0, 60, 90), (0.5, 1.0, 62, 90)]),
    "never released, but struck again": (
        [(0, on()), (480, on()), (960, meta(1, b""))],
        [(0.0, 0.5, 60, 90), (0.5, 1.5, 60, 90)],
    ),
    "all notes off": ([(0, on()), (480, control(123, 0)), (480, meta(1, b""))], [(0.0, 0.5, 60, 90)]),
    "released only": ([(0, off()), (0, on()), (480, off()), (0, off())], NOTE),
}


@pytest.mark.parametrize("case", NOTES)
def test_notes_begin_and_end(tmp_path, case):
    events, expected = NOTES[case]
    (part,) = read(tmp_path, song(track(*events)))
    assert rows(part) == expected


def test_messages_for_too_many_parts_are_refused(tmp_path):
    """A file of a megabyte that would take minutes."""
    set_up = chunk(b"MTrk", b"\0" + bend(0) + b"\0\x01\x40" * 100_000 + b"\0\xff\x2f\0")
    refused(tmp_path, header(51) + set_up + ONE * 50, "more messages")


def test_strokes_without_length_are_kept(tmp_path):
    """Pads: note on and off in one tick, or no note off at all; all of a track, or some of it."""
    pads = [(0, on(36, channel=9)), (0, off(36, 9)), (TICKS, on(36, channel=9)), (0, off(36, 9))]
    never = [(0, on(38, channel=9)), (TICKS, on(38, channel=9)), (TICKS, on(42, channel=9))]
    for events, times in ((pads, [0.0, 0.5]), (never, [0.0, 0.5, 1.0])):
        (part,) = read(tmp_path, song(track(*events)))
        assert part.is_drum and part.onset.tolist() == times
        assert part.offset == pytest.approx(part.onset + SHORTEST_NOTE)


# Programs and drums


def parts_of(tmp_path: Path, *tracks: bytes) -> list[tuple[int, bool, list[int]]]:
    return [(part.program, part.is_drum, part.pitch.tolist()) for part in read(tmp_path, song(*tracks))]


def test_a_program_may_stand_in_another_track(tmp_path):
    notes = track(*beat(40))
    for tracks in ((track((0, program(33))), notes), (notes, track((0, program(33))))):
        assert parts_of(tmp_path, *tracks) == [(33, False, [40])]


def test_a_program_of_ones_own_counts_more(tmp_path):
    """More than sixteen tracks share channels: each has its own program."""
    tracks = [track((0, program(value)), *beat(value)) for value in (24, 33)]
    assert parts_of(tmp_path, *tracks) == [(24, False, [24]), (33, False, [33])]
    assert parts_of(tmp_path, *tracks, track(*beat(50))) == [(24, False, [24]), (33, False, [33]), (33, False, [50])]


def test_programs_change_in_another_track(tmp_path):
    set_up = track((0, program(5)), (0, program(33, 2)), (TICKS, program(9)))
    assert parts_of(tmp_path, set_up, track(*beat(60), *beat(61)), track(*beat(40, 2))) == [
        (5, False, [60]),
        (9, False, [61]),
        (33, False, [40]),
    ]


def test_programs_change_amid_a_track_and_keep_the_bend(tmp_path):
    events = [(0, program(27)), (0, bend(4096)), *beat(60), (0, program(30)), *beat(62)]
    first, second = read(tmp_path, song(track(*events)))
    assert (first.program, second.program) == (27, 30)
    assert first.bend_at(first.onset).tolist() == second.bend_at(second.onset).tolist() == [1.0]


def test_channels_of_one_track_are_parts(tmp_path):
    events = [(0, program(33, 1)), (0, program(5)), (0, on(60)), (0, on(40, channel=1)), (0, on(36, channel=9))]
    events += [(TICKS, off(60)), (0, off(40, 1)), (0, off(36, 9))]
    assert parts_of(tmp_path, track(*events)) == [(5, False, [60]), (33, False, [40]), (0, True, [36])]


GS_RESET = exclusive(bytes.fromhex("4110421240007f0041f7"))
DRUMS = {
    "channel 10 with a program": ([(0, program(25, 9)), *beat(36, 9)], (25, True)),
    "GM 2, bank 120": ([(0, control(0, 120, 3)), (0, program(0, 3)), *beat(36, 3)], (0, True)),
    "XG, bank 127": ([(0, control(0, 127, 3)), (0, control(32, 0, 3)), (0, program(8, 3)), *beat(36, 3)], (8, True)),
    "GS, bank 127": ([(0, GS_RESET), (0, control(0, 127, 3)), (0, program(8, 3)), *beat(36, 3)], (8, False)),
    "a bank without a program": ([(0, control(0, 127, 3)), *beat(36, 3)], (0, False)),
    "GS, a part of drums": ([(0, exclusive(bytes.fromhex("41104212401415020bf7"))), *beat(36, 4 - 1)], (0, True)),
    "GS, no drums on channel 10": ([(0, exclusive(bytes.fromhex("411042124010150017f7"))), *beat(36, 9)], (0, False)),
    "XG, a part of drums": ([(0, exclusive(bytes.fromhex("43104c08030702f7"))), *beat(36, 3)], (0, True)),
    "GM 2, bank 121 on channel 10": ([(0, control(0, 121, 9)), (0, program(4, 9)), *beat(60, 9)], (4, False)),
    "a bank of a sound with pitch": ([(0, control(0, 8, 3)), (0, program(4, 3)), *beat(60, 3)], (4, False)),
}


@pytest.mark.parametrize("case", DRUMS)
def test_drums_are_told_by_channel_bank_or_part(tmp_path, case):
    events, expected = DRUMS[case]
    (part,) = read(tmp_path, song(track(*events)))
    assert (part.program, part.is_drum) == expected
    set_up = [event for event in events if event[1][0] & 0xF0 not in (0x80, 0x90)]
    notes = [event for event in events if event not in set_up]
    (part,) = read(tmp_path, song(track(*set_up), track(*notes)))
    assert (part.program, part.is_drum) == expected


# Bends


def bends(tmp_path: Path, *events: tuple[int, bytes]) -> list[tuple[float, float]]:
    """(beat, semitones) of the bends of a track."""
    (part,) = read(tmp_path, song(track(*events, *beat())))
    return list(zip((part.bend_time / BEAT).round(4).tolist(), part.bend.tolist(), strict=True))


def bend_range(semitones: int, cents: int = 0, first: int = 0) -> list[tuple[int, bytes]]:
    pairs = ((101, 0), (100, 0), (6, semitones), (38, cents))
    return [(first * (n == 0), control(*pair)) for n, pair in enumerate(pairs)]


FULL = 8192 // 2
BENDS = {
    "two semitones at first": ([(0, bend(FULL))], [(0.0, 1.0)]),
    "a range that changes": (
        [*bend_range(12), (0, bend(FULL)), (TICKS, bend(0)), *bend_range(4), (0, bend(FULL))],
        [(0.0, 6.0), (1.0, 0.0), (1.0, 2.0)],
    ),
    "a range that changes under a bend": (
        [(0, bend(FULL)), *bend_range(12, first=TICKS)],
        [(0.0, 1.0), (1.0, 6.0)],
    ),
    "cents": ([*bend_range(1, 50), (0, bend(FULL))], [(0.0, 0.75)]),
    "an unregistered parameter": (
        [
            (0, control(101, 0)),
            (0, control(100, 0)),
            (0, control(99, 1)),
            (0, control(98, 8)),
            (0, control(6, 64)),
            (0, bend(FULL)),
        ],
        [(0.0, 1.0)],
    ),
    "no parameter": (
        [*bend_range(12), (0, control(101, 127)), (0, control(100, 127)), (0, control(6, 3)), (0, bend(FULL))],
        [(0.0, 6.0)],
    ),
    "fine tuning": ([(0, control(101, 0)), (0, control(100, 1)), (0, control(6, 64)), (0, bend(FULL))], [(0.0, 1.0)]),
    "chosen again": ([*bend_range(12), (0, control(101, 127)), *bend_range(24), (0, bend(FULL))], [(0.0, 12.0)]),
    "a step of a cent up": ([*bend_range(2), *[(0, control(96, 0))] * 100, (0, bend(FULL))], [(0.0, 1.5)]),
    "a step of a cent down": ([*bend_range(2), *[(0, control(97, 0))] * 100, (0, bend(FULL))], [(0.0, 0.5)]),
    "all controllers reset": ([(0, bend(FULL)), (TICKS, control(121, 0))], [(0.0, 1.0), (1.0, 0.0)]),
}


@pytest.mark.parametrize("case", BENDS)
def test_bends_follow_the_range_of_their_moment(tmp_path, case):
    events, expected = BENDS[case]
    assert bends(tmp_path, *events) == expected


def test_bends_and_their_range_may_stand_in_another_track(tmp_path):
    (part,) = read(tmp_path, song(track(*bend_range(12), (TICKS, bend(FULL))), track(*beat(), *beat())))
    assert part.bend_at(part.onset).tolist() == [0.0, 6.0]


# Names

NAMES = {
    "ascii": (b"Piano", "Piano"),
    "Latin-1": ("Flöte 1".encode("latin-1"), "Flöte 1"),
    "Latin-1, an accent before letters": ("Guitare électrique".encode("latin-1"), "Guitare électrique"),
    "Latin-1, an accent first": ("Été à Nîmes".encode("latin-1"), "Été à Nîmes"),
    "Latin-1, Spanish": ("Señor Ñandú".encode("latin-1"), "Señor Ñandú"),
    "Windows-1252, an apostrophe": ("Don’t – stop".encode("cp1252"), "Don’t – stop"),
    "Latin-1, Swedish": ("Sång på blåsinstrument".encode("latin-1"), "Sång på blåsinstrument"),
    "UTF-8": ("Flöte".encode(), "Flöte"),
    "UTF-8 with a mark": ("Flöte".encode("utf-8-sig"), "Flöte"),
    "UTF-8, decomposed": (b"Flo\xcc\x88te", "Flo\u0308te"),
    "UTF-8, Japanese": ("ピアノ".encode(), "ピアノ"),
    "UTF-16 with a mark": ("Flöte".encode("utf-16"), "Flöte"),
    "UTF-16 without": ("Flute 2".encode("utf-16-le"), "Flute 2"),
    "Shift-JIS, katakana": ("ピアノ".encode("cp932"), "ピアノ"),
    "Shift-JIS, kanji": ("三味線".encode("cp932"), "三味線"),
    "Shift-JIS, one kanji": ("琴".encode("cp932"), "琴"),
    "Shift-JIS, mixed": ("ピアノ左手 L".encode("cp932"), "ピアノ左手 L"),
    "Shift-JIS, hiragana": ("うた 1".encode("cp932"), "うた 1"),
    "Shift-JIS, half-width": ("ﾋﾟｱﾉ".encode("cp932"), "ﾋﾟｱﾉ"),
    "Shift-JIS, half-width bass": ("ﾍﾞｰｽ".encode("cp932"), "ﾍﾞｰｽ"),
    "Windows-1251": ("Бас гитара".encode("cp1251"), "Бас гитара"),
    "Windows-1251, capitals": ("ФЛЕЙТА".encode("cp1251"), "ФЛЕЙТА"),
    "zeros behind": (b"Bass    \0\0\0", "Bass"),
    "a tag": (b"{@JP}" + "琴".encode("cp932"), "琴"),
    "no letters of any encoding": (b"\x81", "\x81"),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_are_read_in_their_encoding(tmp_path, case):
    data, name = NAMES[case]
    (part,) = read(tmp_path, song(track((0, meta(3, data)), *beat())))
    assert part.name == name


def test_the_names_of_a_file_have_one_encoding(tmp_path):
    """Alone, neither of the two would tell: the first could be Cyrillic, the second half-width katakana."""
    first, second = (track((0, meta(3, name.encode("latin-1"))), *beat()) for name in ("Flöte", "ÄÖÜ"))
    assert [part.name for part in read(tmp_path, song(first, second))] == ["Flöte", "ÄÖÜ"]


def test_a_track_without_a_name_has_that_of_its_instrument(tmp_path):
    events = [(0, meta(4, b"Flute")), (0, meta(3, b"\0 ")), *beat()]
    assert [part.name for part in read(tmp_path, song(track(*events)))] == ["Flute"]


def test_names_of_channels_are_told_by_prefix(tmp_path):
    """A song of one track that was made of several. Without prefixes nobody knows which name is whose."""
    title, names = (0, meta(3, b"Song")), [(0, meta(4, b"Flute")), (0, meta(3, b"Bass"))]
    prefixed = [event for n, name in enumerate(names) for event in ((0, meta(0x20, bytes([n]))), name)]
    notes = [*beat(72), *beat(40, channel=1)]
    assert [part.name for part in read(tmp_path, song(track(title, *prefixed, *notes), kind=0))] == ["Flute", "Bass"]
    loose = [(0, meta(3, b"Flute")), (0, meta(3, b"Bass"))]
    assert [part.name for part in read(tmp_path, song(track(*loose, *notes), kind=0))] == ["", ""]
    assert [part.name for part in read(tmp_path, song(track(title, *notes), kind=0))] == ["Song", "Song"]


def test_a_prefix_of_another_channel_hides_no_name(tmp_path):
    """Some writers put the same prefix before all names."""
    events = [(0, meta(0x20, b"\1")), (0, meta(3, b"Bass")), *beat(40, channel=5)]
    assert [part.name for part in read(tmp_path, song(track(*events)))] == ["Bass"]


def test_ports_have_channels_of_their_own(tmp_path):
    """More than sixteen channels: each set has its programs, and its drums on channel 10."""
    ports = [(0, meta(0x21, bytes([n]))) for n in (0, 1)]
    set_up = [track(ports[0], (0, program(33))), track(ports[1], (0, program(73)))]
    notes = [track(port, *beat(40)) for port in ports]
    assert [value for value, *_ in parts_of(tmp_path, *set_up, *notes)] == [33, 73]
    assert [drums for _, drums, _ in parts_of(tmp_path, track(ports[1], *beat(36, 9)))] == [True]


@pytest.mark.parametrize("name", ["ピアノ", "Flöte", "Flo\u0308te", "фортепиано", "🎹", "ﾋﾟｱﾉ"])
def test_names_that_we_write_are_read_back(tmp_path, name):
    part = part_from_notes([(0.0, 1.0, 60, 90)], name=name)
    (tmp_path / "a.mid").write_bytes(midi_bytes([part], 2.0))
    assert [part.name for part in read_midi(tmp_path / "a.mid")] == [name]
    assert mido.MidiFile(tmp_path / "a.mid", charset="utf-8").tracks[1].name == name


# Other readers


def well_formed(seed: int) -> bytes:
    """A file of five tracks by mido, with every message that all readers read alike."""
    rng = np.random.default_rng(seed)
    file = mido.MidiFile(ticks_per_beat=TICKS)
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=int(rng.integers(300_000, 900_000)))]))
    for number, channel in enumerate((0, 1, 9, 4)):
        events = [mido.MetaMessage("track_name", name=f"part {number}")]
        events += [mido.Message("program_change", channel=channel, program=int(rng.integers(128)))]
        for _ in range(60):
            pitch, length = int(rng.integers(30, 90)), int(rng.integers(1, 900))
            rest, value = int(rng.integers(0, 500)), int(rng.integers(-8192, 8192))
            events += [
                mido.Message("pitchwheel", channel=channel, pitch=value, time=rest),
                mido.Message("note_on", channel=channel, note=pitch, velocity=int(rng.integers(1, 128))),
                mido.Message("note_off", channel=channel, note=pitch, time=length),
            ]
        file.tracks.append(mido.MidiTrack(events))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("seed", range(4))
def test_well_formed_files_are_read_as_others_read_them(tmp_path, seed):
    content = well_formed(seed)
    parts = read(tmp_path, content)
    exact = symusic.Score.from_midi(content, ttype="second").tracks
    loose = pretty_midi.PrettyMIDI(io.BytesIO(content)).instruments
    for part, first, second in zip(parts, exact, loose, strict=True):
        assert (part.program, part.is_drum, part.name) == (first.program, first.is_drum, first.name)
        assert (part.program, part.is_drum, part.name) == (second.program, second.is_drum, second.name)
        notes, wheel = first.notes.numpy(), first.pitch_bends.numpy()
        assert np.array_equal(part.onset, notes["time"]) and np.array_equal(part.pitch, notes["pitch"])
        assert np.array_equal(part.offset, notes["time"] + notes["duration"].astype(float))
        assert np.array_equal(part.velocity, notes["velocity"])
        assert np.array_equal(part.bend_time, wheel["time"]) and np.array_equal(part.bend, wheel["value"] / 4096)
        others = [(note.start, note.end, note.pitch, note.velocity) for note in second.notes]
        np.testing.assert_allclose(rows(part), others, atol=1e-4)
