"""The built-in composer: seeded, varied multi-instrument music to train and test on.
A song is a row of sections. A section has a harmony (a cycle of chords), a set of instruments that play in it, and one
pattern per instrument (`patterns`, `rhythm_section`). Variety of pitch, polyphony and rhythm matters more than beauty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scoresep.rendering.composer import patterns as p
from scoresep.rendering.composer import rhythm_section as r
from scoresep.rendering.composer.harmony import Change, Chord, Key, draw_key, draw_progression
from scoresep.rendering.composer.patterns import Bar, Event, Tempo, bend_curve
from scoresep.rendering.song import Song, fingerprint, tidied
from scoresep.score.parts import Part, part_from_notes

COMPOSER_VERSION = 1
"""Goes into a corpus's settings: raise it when the same seed gives other music."""
TEMPO_RANGE = (60.0, 160.0)
CORE = ("piano", "guitar", "bass")
_METRES = ((16, 4), (12, 4), (12, 6), (20, 4), (28, 4))  # (steps of a bar, steps of a beat): 4/4, 3/4, 6/8, 5/4, 7/4
_METRE_WEIGHTS = (0.68, 0.14, 0.12, 0.04, 0.02)

Patterns = tuple[tuple[str, p.Pattern, float], ...]
"""Rows of name, pattern, weight in the draw."""

PIANO: Patterns = (
    ("block", p.block, 3),
    ("stabs", p.stabs, 2),
    ("sustained", p.sustained, 1.5),
    ("arpeggio", p.arpeggio, 2.5),
    ("alberti", p.alberti, 1.5),
    ("broken", p.broken, 1.5),
    ("melody", p.melody, 2.5),
    ("wander", p.wander, 2),
)
LEFT_HAND: Patterns = (
    ("roots", p.roots, 3),
    ("alberti", p.alberti, 1),
    ("block", p.block, 1),
    ("arpeggio", p.arpeggio, 1),
)
GUITAR: Patterns = (
    ("strum", r.strum, 3.5),
    ("fingerpick", r.fingerpick, 2.5),
    ("power", r.power, 1),
    ("skank", r.skank, 0.8),
    ("lead", r.lead, 3),
    ("riff", r.riff, 1.5),
    ("picked", p.arpeggio, 2),
    ("wander", p.wander, 1),
)
BASS: Patterns = (
    ("long_roots", r.long_roots, 1.5),
    ("pulse", r.pulse, 2),
    ("root_fifth", r.root_fifth, 2),
    ("octaves", r.octaves, 1),
    ("walking", r.walking, 2.5),
    ("syncopated", r.syncopated, 2.5),
    ("bass_line", p.melody, 1.5),
)
DRUMS: Patterns = (
    ("groove", r.groove, 4),
    ("four_floor", r.four_floor, 1),
    ("light", r.light, 1.5),
)
PADS: Patterns = (
    ("sustained", p.sustained, 3),
    ("melody", p.melody, 1),
    ("block", p.block, 1),
)
_FULL_CHORDS = ("strum", "fingerpick", "picked")

Drawn = tuple[str, p.Pattern, p.Hand]
"""Name of what a section's musician plays, its pattern, and the hand that plays it."""


@dataclass(frozen=True)
class Player:
    """An instrument that the composer writes for.

    Attributes:
        programs: General MIDI program of its first part and, where songs have two, of its second.
        register: lowest and highest pitch.
        draw: what it plays in a section, from a generator, the steps of a bar and the steps of a beat.
        is_drum: whether its parts are drums.
    """

    programs: tuple[int, ...]
    register: tuple[int, int]
    draw: Callable[[np.random.Generator, int, int], Drawn]
    is_drum: bool = False


def _choose(rng: np.random.Generator, table: Patterns) -> tuple[str, p.Pattern]:
    name, pattern, _ = p.draw_weighted(rng, table)
    return name, pattern


def _piano(rng: np.random.Generator, steps: int, beat: int) -> Drawn:
    """One hand over the whole register, or two."""
    name, upper = _choose(rng, PIANO)
    if rng.random() < 0.45:
        return name, upper, p.draw_hand(rng, steps, beat, *PLAYERS["piano"].register, (50, 76), (2, 3, 3, 4, 5))
    other, lower = _choose(rng, LEFT_HAND)
    left = p.draw_hand(rng, steps, beat, 36, 60, (42, 54), (3,))
    right = p.draw_hand(rng, steps, beat, 57, 88, (62, 80), (2, 3, 3, 4))
    return f"{name}+{other}", p.right_and_left(upper, lower, left), right


def _guitar(rng: np.random.Generator, steps: int, beat: int) -> Drawn:
    name, pattern = _choose(rng, GUITAR)
    sizes = (4, 5, 6) if name in _FULL_CHORDS else (2, 3, 3, 4)
    return name, pattern, p.draw_hand(rng, steps, beat, *PLAYERS["guitar"].register, (48, 68), sizes)


def _single(
    table: Patterns, register: tuple[int, int], centre: tuple[int, int], sizes: tuple[int, ...]
) -> Callable[[np.random.Generator, int, int], Drawn]:
    """A musician with one hand, whatever the pattern."""

    def draw(rng: np.random.Generator, steps: int, beat: int) -> Drawn:
        name, pattern = _choose(rng, table)
        return name, pattern, p.draw_hand(rng, steps, beat, *register, centre, sizes)

    return draw


_BASS, _PAD, _KIT = (28, 55), (43, 84), (0, 0)
PLAYERS: dict[str, Player] = {
    "piano": Player((0, 4), (36, 88), _piano),
    "guitar": Player((25, 27), (40, 76), _guitar),
    "bass": Player((33,), _BASS, _single(BASS, _BASS, (33, 46), (3,))),
    "strings": Player((48,), _PAD, _single(PADS, _PAD, (55, 72), (2, 3, 4))),
    "organ": Player((16,), _PAD, _single(PADS, _PAD, (55, 72), (2, 3, 4))),
    "drums": Player((0,), _KIT, _single(DRUMS, _KIT, (0, 1), (3,)), is_drum=True),
}
GROUPS = tuple(PLAYERS)
"""Every instrument group that a song may have parts of."""


@dataclass
class Section:
    """Bars `first` to `end` with who plays."""

    first: int
    end: int
    key: Key
    changes: list[Change]
    playing: tuple[str, ...]


@dataclass
class Musician:
    """One part while it is being written."""

    name: str
    player: Player
    lag: float
    level: float
    used: list[str]
    events: list[tuple[float, Event]]


def compose(rng: np.random.Generator, seconds: float) -> Song:
    """Write a song of `seconds`, determined by the state of `rng`.

    It always has piano, guitar and bass, mostly drums, sometimes strings, organ, or a second guitar or piano. `style`
    of the result says what was drawn.
    """
    steps, beat = _METRES[rng.choice(len(_METRES), p=_METRE_WEIGHTS)]
    tempo = float(np.round(rng.uniform(*TEMPO_RANGE), 1))
    swing = float(rng.uniform(1.15, 1.34)) if beat == 4 and rng.random() < 0.25 else 1.0
    clock = Tempo(60.0 / tempo / beat, swing)
    bars = max(1, int(np.ceil(seconds / (steps * clock.step))))
    musicians = _draw_musicians(rng)
    sections, styles = _draw_sections(rng, bars, steps * clock.step, [musician.name for musician in musicians])
    _play(rng, sections, musicians, steps, beat)
    parts = tuple(part for part in (_part(rng, musician, clock, seconds) for musician in musicians) if len(part))
    style = {
        "key": sections[0].key.tonic,
        "mode": sections[0].key.mode,
        "metre": f"{steps // 2 if beat == 6 else steps // 4}/{8 if beat == 6 else 4}",
        "swing": swing,
        "harmony": styles,
        "patterns": {musician.name: musician.used for musician in musicians},
    }
    return Song(parts, seconds, tempo, fingerprint(parts), "", style)


def _draw_musicians(rng: np.random.Generator) -> list[Musician]:
    names = list(CORE)
    names += ["drums"] * (rng.random() < 0.75) + ["strings"] * (rng.random() < 0.22) + ["organ"] * (rng.random() < 0.18)
    names += [str(rng.choice(["guitar 2", "guitar 2", "piano 2"]))] * (rng.random() < 0.18)
    musicians = []
    for name in names:
        lag, level = float(rng.normal(0, 4)), float(rng.uniform(0.75, 1.05))
        musicians.append(Musician(name, PLAYERS[name.split()[0]], lag, level, [], []))
    return musicians


def _draw_sections(
    rng: np.random.Generator, bars: int, bar_seconds: float, names: list[str]
) -> tuple[list[Section], list[str]]:
    """Cut the song into sections of about 4 to 9 seconds; harmony returns or changes, keys sometimes move."""
    key, colour = draw_key(rng), float(rng.choice([0.05, 0.3, 0.8]))
    themes = [(key, *draw_progression(rng, key, colour))]
    sections: list[Section] = []
    first = 0
    while first < bars:
        length = max(1, round(float(rng.uniform(4.0, 9.0)) / bar_seconds))
        if sections and rng.random() < 0.5:
            moved = Key((key.tonic + int(rng.choice([0, 0, 5, 7, 2, 3, 9]))) % 12, key.mode)
            themes.append((moved, *draw_progression(rng, moved, colour)))
        theme = themes[-1] if rng.random() < 0.7 else themes[rng.integers(len(themes))]
        end = min(first + length, bars)
        sections.append(Section(first, end, theme[0], theme[2], _draw_cast(rng, names)))
        first = end
    return sections, [style for _, style, _ in themes]


def _draw_cast(rng: np.random.Generator, names: list[str]) -> tuple[str, ...]:
    """Who plays in a section: mostly piano, guitar and bass together, at times two of them or one."""
    core = list(CORE)
    size = int(rng.choice([3, 2, 1], p=[0.77, 0.16, 0.07]))
    chosen = set(rng.choice(core, size=size, replace=False))
    others = [name for name in names if name not in core and rng.random() < (0.7 if size > 1 else 0.25)]
    return tuple(name for name in names if name in chosen or name in others)


def _play(rng: np.random.Generator, sections: list[Section], musicians: list[Musician], steps: int, beat: int) -> None:
    """Let every musician write its events, section by section."""
    for musician in musicians:
        name, pattern, hand = musician.player.draw(rng, steps, beat)
        for number, section in enumerate(sections):
            if number and rng.random() < 0.6:
                name, pattern, hand = musician.player.draw(rng, steps, beat)
            if musician.name not in section.playing:
                continue
            musician.used.append(name)
            for index in range(section.first, section.end):
                bar = _bar(section, index, steps, beat)
                musician.events += [(index * steps, event) for event in pattern(bar, hand, rng) if event.start < steps]


def _bar(section: Section, index: int, steps: int, beat: int) -> Bar:
    """The harmony of bar `index` of the song: the section's cycle repeated from its first bar."""
    total = sum(change.bars for change in section.changes)
    position = float(index - section.first)

    def chord_at(bars: float) -> Chord:
        rest = bars % total
        for change in section.changes:
            if rest < change.bars - 1e-9:
                return change.chord
            rest -= change.bars
        return section.changes[0].chord

    # Half a bar falls on a beat: 2 of 4, 2 of 3, 3 of 5.
    half = beat * ((steps // beat + 1) // 2)
    chords = [(0, chord_at(position))]
    if chord_at(position + 0.5) is not chords[0][1]:
        chords.append((half, chord_at(position + 0.5)))
    last = index == section.end - 1
    return Bar(steps, beat, tuple(chords), chord_at(position + 1.0), section.key.scale, last)


def _part(rng: np.random.Generator, musician: Musician, clock: Tempo, seconds: float) -> Part:
    """Events to notes: swing, small errors of timing and of force, and bends as curves."""
    rows, scoops = [], []
    for bar_start, event in sorted(musician.events, key=lambda item: item[0] + item[1].start):
        start = bar_start + event.start
        jitter = float(np.clip(rng.normal(musician.lag, 5.0), -20, 20))
        onset = max(0.0, clock.at(start) + (jitter + event.delay) / 1000)
        offset = clock.at(start + event.length) + jitter / 1000
        velocity = int(np.clip(127 * event.loud * musician.level + rng.normal(0, 6), 20, 127))
        if onset < seconds - 0.1:
            rows.append((onset, max(offset, onset + 0.06), event.pitch, velocity))
            if event.scoop:
                scoops.append((onset, offset, event.scoop))
    time, bend = bend_curve(scoops, 0.12, 3, 8, lambda x: 1.0 - x)
    second = musician.name.endswith(" 2")
    part = part_from_notes(
        rows,
        program=musician.player.programs[second],
        is_drum=musician.player.is_drum,
        name=musician.name,
        bend_time=time,
        bend=bend,
    )
    return tidied(part, seconds)
