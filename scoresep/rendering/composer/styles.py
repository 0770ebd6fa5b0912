"""The styles of bands: a style is a row of `STYLES`."""

from __future__ import annotations

from dataclasses import dataclass

from scoresep.rendering.composer import patterns as p
from scoresep.rendering.composer import playing as b
from scoresep.rendering.composer import rhythm_section as r

Choice = tuple[p.Pattern, float]
"""A pattern and its weight."""


@dataclass(frozen=True)
class Role:
    """What one member of a band plays.

    Attributes:
        group: instrument group, key of `scoresep.instruments.INSTRUMENTS`.
        programs: General MIDI programs of which one is drawn for the song.
        patterns: of which one is drawn for each section.
        likely: probability that the band has this member.
        register: lowest and highest key, and the key about which it plays.
        sizes: voices of its chords.
        solo: whether it plays where nobody sings, and rests where somebody does.
    """

    group: str
    programs: tuple[int, ...]
    patterns: tuple[Choice, ...]
    likely: float = 1.0
    register: tuple[int, int, int] = (43, 84, 60)
    sizes: tuple[int, ...] = (3, 3, 4)
    solo: bool = False


@dataclass(frozen=True)
class Style:
    """A style of music.

    Attributes:
        tempo: slowest and fastest, beats a minute.
        roles: the band.
        drums: patterns for the drums where no drummer's playing is at hand.
        grooves: how the styles of drummers' takes that fit begin.
        drummer: probability that there are drums.
        swing: length of the first of two eighths, 1 straight, 4/3 a triplet's; a range.
        colour: share of sevenths and other colours in its own harmony.
        sung: probability that somebody sings.
        loose: standard deviation of the timing of the players, ms.
    """

    tempo: tuple[int, int]
    roles: tuple[Role, ...]
    drums: tuple[Choice, ...] = ((r.groove, 1.0),)
    grooves: tuple[str, ...] = ("rock", "pop")
    drummer: float = 0.95
    swing: tuple[float, float] = (1.0, 1.0)
    colour: float = 0.15
    sung: float = 0.75
    loose: float = 6.0


def _keys(*patterns: Choice, programs: tuple[int, ...] = (0, 0, 1), likely: float = 0.7) -> Role:
    return Role("piano", programs, patterns, likely, (40, 84, 60))


def _guitar(*patterns: Choice, programs: tuple[int, ...], likely: float = 1.0) -> Role:
    return Role("guitar", programs, patterns, likely, (40, 76, 55), (4, 5))


def _lead(programs: tuple[int, ...], likely: float = 0.6) -> Role:
    return Role("guitar", programs, ((b.solo, 1.0),), likely, (52, 88, 69), solo=True)


def _bass(*patterns: Choice, programs: tuple[int, ...] = (33, 33, 34)) -> Role:
    return Role("bass", programs, patterns, 1.0, (28, 55, 36))


def _wind(group: str, programs: tuple[int, ...], likely: float) -> Role:
    return Role(
        group, programs, ((p.melody, 1.0), (b.comped((6, 14), 1.5), 0.6)), likely, (50, 82, 66), (1, 2, 3), solo=True
    )


def _pad(group: str, programs: tuple[int, ...], likely: float) -> Role:
    return Role(group, programs, ((p.sustained, 3.0), (p.melody, 0.6)), likely, (48, 84, 66))


_FOLK_STRUMS = (
    (b.strummed("D---D-UD-UD-U---"), 1.0),
    (b.strummed("D---D-U---U-D-U-"), 1.0),
    (b.strummed("D-D-D-DUD-D-DUDU"), 0.7),
)
_PICKING = ((b.fingered((0, 3, 2, 4, 1, 3, 2, 4)), 1.0), (b.fingered((0, 2, 3, 4, 3, 2)), 0.8), (p.arpeggio, 0.4))
_ROOTS = ((r.pulse, 2.0), (r.root_fifth, 1.0), (r.syncopated, 1.0))

STYLES: dict[str, Style] = {
    "rock": Style(
        (95, 150),
        (
            _guitar(
                (b.power_chords("oooooooo"), 1.0),
                (b.power_chords("opp-opo-"), 1.0),
                (b.strummed("D---D-U-D-U-D-U-"), 1.5),
                programs=(27, 29, 29, 30),
            ),
            _guitar((p.arpeggio, 1.0), (r.riff, 1.0), (b.strummed("D-DUD-DU"), 1.0), programs=(26, 27, 25), likely=0.5),
            _bass(*_ROOTS, programs=(33, 34, 34)),
            _lead((29, 30, 27), 0.7),
            _keys((p.block, 1.0), (p.sustained, 1.0), (p.broken, 1.0), likely=0.35),
            _pad("organ", (16, 18), 0.25),
        ),
    ),
    "punk": Style(
        (150, 200),
        (
            _guitar((b.power_chords("oooooooo"), 2.0), (b.power_chords("o-oo"), 1.0), programs=(30, 29)),
            _bass((r.pulse, 1.0), programs=(34,)),
            _guitar((b.power_chords("o-------"), 1.0), programs=(29, 30), likely=0.5),
        ),
        ((r.groove, 1.0),),
        ("punk", "rock"),
    ),
    "metal": Style(
        (100, 180),
        (
            _guitar(
                (b.power_chords("ppopppop"), 2.0), (b.power_chords("pppppppp"), 1.0), (r.riff, 1.0), programs=(30,)
            ),
            _guitar((b.power_chords("o---o---"), 1.0), programs=(30,)),
            _bass((r.pulse, 2.0), (r.riff, 1.0), programs=(34,)),
            _lead((30,), 0.7),
        ),
        ((r.groove, 1.0),),
        ("rock", "punk"),
        sung=0.6,
    ),
    "funk": Style(
        (90, 120),
        (
            _guitar(
                (b.chops((0, 3, 6, 8, 11, 14)), 1.0),
                (b.strummed("D-xxU-xUx-xUD-xU"), 1.5),
                (b.chops((4, 12), 0.7), 0.6),
                programs=(27, 27, 28),
            ),
            _bass(
                (b.lined(((0, 1.5, 0), (3, 0.8, 12), (6, 1, 10), (8, 1, 0), (11, 0.8, 7), (14, 1.5, 10))), 1.5),
                (r.syncopated, 1.0),
                (r.octaves, 0.7),
                programs=(33, 36, 37),
            ),
            _keys((b.comped((0, 3, 7, 10, 14), 0.8), 1.0), (p.stabs, 1.0), programs=(7, 4, 4), likely=0.7),
            _wind("brass", (61, 56), 0.5),
            _wind("reed", (65, 66), 0.3),
        ),
        grooves=("funk", "soul"),
        colour=0.6,
    ),
    "soul": Style(
        (70, 115),
        (
            _guitar((b.chops((4, 12), 1.0), 1.0), (p.arpeggio, 0.7), programs=(26, 27)),
            _bass((r.syncopated, 2.0), (r.walking, 0.7)),
            _keys((p.block, 1.0), (b.comped((0, 6, 8, 14), 2.0), 1.0), programs=(0, 4, 5), likely=0.9),
            _pad("organ", (16, 17), 0.5),
            _wind("brass", (61,), 0.45),
            _pad("strings", (48,), 0.3),
        ),
        grooves=("soul", "gospel", "funk"),
        colour=0.5,
    ),
    "reggae": Style(
        (66, 92),
        (
            _guitar((b.chops((4, 12), 1.2), 1.0), (b.chops((4, 6, 12, 14), 0.8), 0.5), programs=(27, 26)),
            _bass(
                (b.lined(((0, 3, 0), (6, 1.5, 7), (8, 2, 0), (12, 1.5, 10), (14, 1.5, 7))), 1.0),
                (r.syncopated, 1.0),
                programs=(33, 32),
            ),
            _keys((b.comped((4, 12), 1.0), 1.0), programs=(0, 4), likely=0.6),
            Role("organ", (16, 17), ((b.comped((2, 4, 6, 10, 12, 14), 0.8), 1.0),), 0.7),
        ),
        grooves=("reggae",),
        colour=0.2,
        swing=(1.0, 1.2),
    ),
    "country": Style(
        (85, 130),
        (
            _guitar((b.strummed("D---D-U-"), 1.0), *_FOLK_STRUMS, programs=(25,)),
            _bass((r.root_fifth, 3.0), (r.walking, 0.5), programs=(32, 33)),
            _lead((27, 25), 0.6),
            _keys((p.block, 1.0), (p.broken, 1.0), likely=0.4),
            Role("strings", (40,), ((p.melody, 1.0),), 0.4, (55, 88, 72), (1,), True),
        ),
        grooves=("country", "rock"),
        colour=0.05,
    ),
    "blues": Style(
        (60, 120),
        (
            _guitar((b.chops((4, 12), 1.0), 0.7), (b.strummed("D-U-D-U-"), 1.0), (r.riff, 0.7), programs=(27, 26, 29)),
            _bass((r.walking, 2.0), (r.pulse, 0.5), programs=(32, 33)),
            _lead((27, 29), 0.8),
            _keys((p.stabs, 1.0), (p.broken, 1.0), likely=0.6),
            Role("pipe", (22,), ((p.melody, 1.0),), 0.15, (60, 84, 72), (1,), True),
        ),
        ((r.groove, 1.0), (r.light, 0.5)),
        ("rock/shuffle", "funk/purdieshuffle", "jazz"),
        swing=(1.25, 1.34),
        colour=0.5,
    ),
    "jazz": Style(
        (90, 210),
        (
            _keys((p.stabs, 3.0), (b.comped((6, 14), 2.0), 1.0), likely=0.95),
            _bass((r.walking, 4.0), (r.long_roots, 0.4), programs=(32,)),
            _guitar((b.comped((0, 4, 8, 12), 2.0), 1.0), (p.stabs, 1.0), programs=(26,), likely=0.35),
            _wind("reed", (65, 66), 0.45),
            _wind("brass", (56,), 0.2),
        ),
        ((r.light, 1.0),),
        ("jazz/swing", "jazz"),
        swing=(1.2, 1.34),
        colour=0.9,
        sung=0.3,
        loose=9.0,
    ),
    "bossa": Style(
        (110, 150),
        (
            _guitar((b.comped((0, 3, 6, 10, 13), 1.5), 2.0), (b.fingered((0, 2, 3, 2)), 0.5), programs=(24,)),
            _bass((b.lined(((0, 5, 0), (6, 1.5, 7), (8, 5, 7), (14, 1.5, 0))), 1.0), programs=(32, 33)),
            _keys((p.stabs, 1.0), likely=0.5),
            _wind("pipe", (73,), 0.3),
            _wind("reed", (66,), 0.2),
        ),
        ((r.light, 1.0),),
        ("latin", "jazz"),
        colour=0.9,
        sung=0.6,
    ),
    "ballad": Style(
        (56, 84),
        (
            _keys((p.arpeggio, 1.0), (p.broken, 1.0), (p.block, 1.0), likely=0.95),
            _guitar(*_PICKING, programs=(25, 24, 26), likely=0.5),
            _bass((r.long_roots, 2.0), (r.root_fifth, 0.7)),
            _pad("strings", (48, 49), 0.6),
            _lead((29, 27), 0.25),
            _pad("synth_pad", (89, 90), 0.2),
        ),
        ((r.light, 1.0), (r.groove, 1.0)),
        ("pop/soft", "pop", "rock/halftime"),
        drummer=0.7,
        colour=0.3,
        sung=0.9,
    ),
    "disco": Style(
        (105, 130),
        (
            _guitar((b.chops((2, 6, 10, 14), 0.8), 1.0), (b.strummed("x-DUx-xUx-DUx-xU"), 1.0), programs=(27,)),
            _bass((r.octaves, 2.0), (r.syncopated, 0.7)),
            _keys((b.comped((0, 4, 8, 12), 1.5), 1.0), programs=(0, 4), likely=0.6),
            _pad("strings", (48,), 0.7),
            _wind("brass", (61,), 0.3),
        ),
        ((r.four_floor, 1.0),),
        ("dance", "pop"),
        colour=0.4,
    ),
    "house": Style(
        (118, 130),
        (
            _keys(
                (b.comped((0, 3, 6, 11, 14), 1.2), 1.0),
                (b.comped((2, 6, 10, 14), 1.0), 1.0),
                programs=(0, 1, 4),
                likely=0.8,
            ),
            _bass(
                (r.pulse, 1.0),
                (r.octaves, 1.0),
                (b.lined(((2, 1, 0), (6, 1, 0), (10, 1, 0), (14, 1, 12))), 1.0),
                programs=(38, 39),
            ),
            _pad("synth_pad", (89, 91, 95), 0.6),
            Role("synth_lead", (80, 81), ((p.arpeggio, 1.0), (r.riff, 1.0)), 0.6, (55, 88, 72), (3,)),
        ),
        ((r.four_floor, 1.0),),
        (),
        colour=0.4,
        sung=0.4,
        loose=1.0,
    ),
    "hip hop": Style(
        (75, 100),
        (
            _keys((b.comped((0, 10), 3.0), 1.0), (p.arpeggio, 0.6), programs=(4, 0, 5), likely=0.7),
            _bass((r.syncopated, 1.0), (r.long_roots, 1.0), programs=(38, 33)),
            _guitar((p.arpeggio, 1.0), (r.riff, 0.6), programs=(24, 26), likely=0.35),
            _pad("strings", (48, 45), 0.35),
        ),
        ((r.groove, 1.0),),
        ("hiphop",),
        colour=0.6,
        sung=0.5,
        swing=(1.0, 1.15),
    ),
    "folk": Style(
        (76, 130),
        (
            _guitar(*_FOLK_STRUMS, *_PICKING, programs=(25, 25, 24)),
            _guitar(*_PICKING, programs=(25, 24), likely=0.4),
            _bass((r.root_fifth, 1.0), (r.long_roots, 1.0), programs=(32, 33)),
            _keys((p.block, 1.0), likely=0.25),
            Role("strings", (40,), ((p.melody, 1.0),), 0.25, (55, 88, 72), (1,), True),
        ),
        ((r.light, 1.0),),
        ("country", "pop/soft"),
        drummer=0.4,
        colour=0.05,
        sung=0.9,
    ),
    "singer-songwriter": Style(
        (70, 120),
        (
            _keys((p.arpeggio, 1.0), (p.block, 1.5), (p.broken, 1.0), likely=1.0),
            _bass((r.long_roots, 1.0), (r.pulse, 1.0)),
            _pad("strings", (48,), 0.35),
        ),
        ((r.groove, 1.0), (r.light, 1.0)),
        ("pop", "rock"),
        drummer=0.5,
        colour=0.2,
        sung=1.0,
    ),
    "pop": Style(
        (90, 128),
        (
            _guitar(
                (b.strummed("D-DUD-DU"), 1.0),
                (p.arpeggio, 1.0),
                (b.chops((4, 12)), 0.5),
                programs=(25, 26, 27),
                likely=0.9,
            ),
            _keys(
                (p.block, 1.0),
                (b.comped((0, 3, 6, 8, 11, 14), 1.5), 1.0),
                (p.arpeggio, 0.7),
                programs=(0, 1, 4),
                likely=0.8,
            ),
            _bass(*_ROOTS, programs=(33, 34, 38)),
            _pad("synth_pad", (88, 89), 0.35),
            _lead((27, 29), 0.25),
            Role("synth_lead", (80, 81), ((r.riff, 1.0),), 0.2, (60, 88, 74), (1,)),
        ),
        ((r.groove, 1.0),),
        ("pop", "rock/indie", "dance"),
    ),
}
"""Name to style."""
