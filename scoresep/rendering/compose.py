"""The built-in composer: seeded, varied multi-instrument music to train and test on.
A song is a row of sections. A section has a harmony (a cycle of chords), a set of instruments that play in it, and one
pattern per instrument (`patterns`, `rhythm_section`). Variety of pitch, polyphony and rhythm matters more than beauty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scoresep.rendering import patterns as p
from scoresep.rendering import rhythm_section as r
from scoresep.rendering.harmony import Change, Chord, Key, draw_key, draw_progression
from scoresep.rendering.song import Song, fingerprint, tidied
from scoresep.score.parts import Part, part_from_notes

COMPOSER_VERSION = 1
"""Goes into a corpus's settings: raise it when the same seed gives other music."""
TEMPO_RANGE = (60.0, 160.0)
REGISTERS = {"piano": (36, 88), "guitar": (40, 76), "bass": (28, 55), "strings": (43, 84), "organ": (43, 84)}
CORE = ("piano", "guitar", "bass")
GROUPS = (*REGISTERS, "drums")
"""Every group a song may have parts of."""
_METRES = ((16, 4), (12, 4), (12, 6), (20, 4), (28, 4))  # (steps of a bar, steps of a beat): 4/4, 3/4, 6/8, 5/4, 7/4
_METRE_WEIGHTS = (0.68, 0.14, 0.12, 0.04, 0.02)
_PROGRAMS = {"piano": 0, "guitar": 25, "bass": 33, "strings": 48, "organ": 16, "drums": 0, "piano 2": 4, "guitar 2": 27}

_PIANO: tuple[tuple[str, p.Pattern, float], ...] = (
    ("block", p.block, 3),
    ("stabs", p.stabs, 2),
    ("sustained", p.sustained, 1.5),
    ("arpeggio", p.arpeggio, 2.5),
    ("alberti", p.alberti, 1.5),
    ("broken", p.broken, 1.5),
    ("melody", p.melody, 2.5),
    ("wander", p.wander, 2),
)
_LEFT: tuple[tuple[str, p.Pattern, float], ...] = (
    ("roots", p.roots, 3),
    ("alberti", p.alberti, 1),
    ("block", p.block, 1),
    ("arpeggio", p.arpeggio, 1),
)
_GUITAR: tuple[tuple[str, p.Pattern, float], ...] = (
    ("strum", r.strum, 3.5),
    ("fingerpick", r.fingerpick, 2.5),
    ("power", r.power, 1),
    ("skank", r.skank, 0.8),
    ("lead", r.lead, 3),
    ("riff", r.riff, 1.5),
    ("picked", r.picked, 2),
    ("wander", p.wander, 1),
)
_BASS: tuple[tuple[str, p.Pattern, float], ...] = (
    ("long_roots", r.long_roots, 1.5),
    ("pulse", r.pulse, 2),
    ("root_fifth", r.root_fifth, 2),
    ("octaves", r.octaves, 1),
    ("walking", r.walking, 2.5),
    ("syncopated", r.syncopated, 2.5),
    ("bass_line", r.bass_line, 1.5),
)
_DRUMS: tuple[tuple[str, p.Pattern, float], ...] = (
    ("groove", r.groove, 4),
    ("four_floor", r.four_floor, 1),
    ("light", r.light, 1.5),
)
_PADS: tuple[tuple[str, p.Pattern, float], ...] = (
    ("sustained", p.sustained, 3),
    ("melody", p.melody, 1),
    ("block", p.block, 1),
)


@dataclass(frozen=True)
class Clock:
    """Steps to seconds: constant tempo, with swung eighths (`swing` 1 = straight, 4/3 = triplets)."""

    step_seconds: float
    swing: float

    def at(self, step: float) -> float:
        """Seconds of a position in steps from the song's start; swing moves what lies inside a pair of eighths."""
        beat, inside = divmod(step, 4.0)
        moved = inside * self.swing if inside <= 2 else 4.0 - (4.0 - inside) * (2.0 - self.swing)
        return (4.0 * beat + moved) * self.step_seconds


@dataclass
class Section:
    """Bars `first` to `end` with who plays."""

    first: int
    end: int
    key: Key
    changes: list[Change]
    playing: tuple[str, ...]


@dataclass
class Player:
    """One part while it is being written."""

    name: str
    draw: Callable[[np.random.Generator], tuple[str, p.Pattern, p.Hand]]
    lag: float
    level: float
    used: list[str]
    events: list[tuple[float, p.Event]]


def compose(rng: np.random.Generator, seconds: float) -> Song:
    """Write a song of `seconds`, determined by the state of `rng`.

    It always has piano, guitar and bass, mostly drums, sometimes strings, organ, or a second guitar or piano. `style`
    of the result says what was drawn.
    """
    steps, beat = _METRES[rng.choice(len(_METRES), p=_METRE_WEIGHTS)]
    tempo = float(np.round(rng.uniform(*TEMPO_RANGE), 1))
    swing = float(rng.uniform(1.15, 1.34)) if beat == 4 and rng.random() < 0.25 else 1.0
    clock = Clock(60.0 / tempo / (4 if beat == 4 else 6), swing)
    bars = max(1, int(np.ceil(seconds / (steps * clock.step_seconds))))
    players = _draw_players(rng, steps, beat)
    sections, styles = _draw_sections(rng, bars, steps * clock.step_seconds, [player.name for player in players])
    _play(rng, sections, players, steps, beat)
    parts = tuple(part for part in (_part(rng, player, clock, seconds) for player in players) if len(part))
    style = {
        "key": sections[0].key.tonic,
        "mode": sections[0].key.mode,
        "metre": f"{steps // 2 if beat == 6 else steps // 4}/{8 if beat == 6 else 4}",
        "swing": swing,
        "harmony": styles,
        "patterns": {player.name: player.used for player in players},
    }
    return Song(parts, seconds, tempo, fingerprint(parts), "", style)


def _draw_players(rng: np.random.Generator, steps: int, beat: int) -> list[Player]:
    names = list(CORE)
    names += ["drums"] * (rng.random() < 0.75) + ["strings"] * (rng.random() < 0.22) + ["organ"] * (rng.random() < 0.18)
    names += [str(rng.choice(["guitar 2", "guitar 2", "piano 2"]))] * (rng.random() < 0.18)
    players = []
    for name in names:
        lag, level = float(rng.normal(0, 4)), float(rng.uniform(0.75, 1.05))
        players.append(Player(name, _drawer(name.split()[0], steps, beat), lag, level, [], []))
    return players


def _drawer(group: str, steps: int, beat: int) -> Callable[[np.random.Generator], tuple[str, p.Pattern, p.Hand]]:
    """A function that draws a section's pattern and hand for one instrument."""

    def choose(rng: np.random.Generator, table: tuple[tuple[str, p.Pattern, float], ...]) -> tuple[str, p.Pattern]:
        weights = np.array([weight for _, _, weight in table])
        name, pattern, _ = table[rng.choice(len(table), p=weights / weights.sum())]
        return name, pattern

    def piano(rng: np.random.Generator) -> tuple[str, p.Pattern, p.Hand]:
        name, upper = choose(rng, _PIANO)
        if rng.random() < 0.45:
            low, high = REGISTERS["piano"]
            return name, upper, p.draw_hand(rng, steps, beat, low, high, (50, 76), (2, 3, 3, 4, 5))
        other, lower = choose(rng, _LEFT)
        left = p.draw_hand(rng, steps, beat, 36, 60, (42, 54), (3,))
        hand = p.draw_hand(rng, steps, beat, 57, 88, (62, 80), (2, 3, 3, 4))
        return f"{name}+{other}", p.right_and_left(upper, lower, left), hand

    def guitar(rng: np.random.Generator) -> tuple[str, p.Pattern, p.Hand]:
        name, pattern = choose(rng, _GUITAR)
        sizes = (4, 5, 6) if name in ("strum", "fingerpick", "picked") else (2, 3, 3, 4)
        return name, pattern, p.draw_hand(rng, steps, beat, *REGISTERS["guitar"], (48, 68), sizes)

    def bass(rng: np.random.Generator) -> tuple[str, p.Pattern, p.Hand]:
        name, pattern = choose(rng, _BASS)
        return name, pattern, p.draw_hand(rng, steps, beat, *REGISTERS["bass"], (33, 46), (3,))

    def drums(rng: np.random.Generator) -> tuple[str, p.Pattern, p.Hand]:
        name, pattern = choose(rng, _DRUMS)
        return name, pattern, p.draw_hand(rng, steps, beat, 0, 0, (0, 1), (3,))

    def pad(rng: np.random.Generator) -> tuple[str, p.Pattern, p.Hand]:
        name, pattern = choose(rng, _PADS)
        return name, pattern, p.draw_hand(rng, steps, beat, *REGISTERS[group], (55, 72), (2, 3, 4))

    return {"piano": piano, "guitar": guitar, "bass": bass, "drums": drums}.get(group, pad)


def _draw_sections(
    rng: np.random.Generator, bars: int, bar_seconds: float, names: list[str]
) -> tuple[list[Section], list[str]]:
    """Cut the song into sections of about 4 to 9 seconds; harmony returns or changes, keys sometimes move."""
    key, colour = draw_key(rng), float(rng.choice([0.05, 0.3, 0.8]))
    themes = [(key, *draw_progression(rng, key, colour))]
    sections, first = [], 0
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


def _play(rng: np.random.Generator, sections: list[Section], players: list[Player], steps: int, beat: int) -> None:
    """Let every player write its events, section by section."""
    for player in players:
        name, pattern, hand = player.draw(rng)
        for number, section in enumerate(sections):
            if number and rng.random() < 0.6:
                name, pattern, hand = player.draw(rng)
            if player.name not in section.playing:
                continue
            player.used.append(name)
            for index in range(section.first, section.end):
                bar = _bar(section, index, steps, beat)
                player.events += [(index * steps, event) for event in pattern(bar, hand, rng) if event.start < steps]


def _bar(section: Section, index: int, steps: int, beat: int) -> p.Bar:
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
    return p.Bar(steps, beat, tuple(chords), chord_at(position + 1.0), section.key.scale, last)


def _part(rng: np.random.Generator, player: Player, clock: Clock, seconds: float) -> Part:
    """Events to notes: swing, small errors of timing and of force, and bends as curves."""
    group = player.name.split()[0]
    rows, scoops = [], []
    for bar_start, event in sorted(player.events, key=lambda item: item[0] + item[1].start):
        start = bar_start + event.start
        jitter = float(np.clip(rng.normal(player.lag, 5.0), -20, 20))
        onset = max(0.0, clock.at(start) + (jitter + event.delay) / 1000)
        offset = clock.at(start + event.length) + jitter / 1000
        velocity = int(np.clip(127 * event.loud * player.level + rng.normal(0, 6), 20, 127))
        if onset < seconds - 0.1:
            rows.append((onset, max(offset, onset + 0.06), event.pitch, velocity))
            if event.scoop:
                scoops.append((onset, offset, event.scoop))
    time, bend = _bend_curve(scoops)
    fields = {"program": _PROGRAMS[player.name], "is_drum": group == "drums", "name": player.name}
    return tidied(part_from_notes(rows, bend_time=time, bend=bend, **fields), seconds)


def _bend_curve(scoops: list[tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Bend of a line whose notes start `semitones` low and rise to pitch within a third of the note, 0.12 s at most."""
    rows: list[tuple[float, float]] = []
    for onset, offset, semitones in scoops:
        rise = min(0.12, (offset - onset) / 3)
        rows += [(onset + rise * x, -semitones * (1.0 - x)) for x in np.linspace(0.0, 1.0, 8)]
    return np.array([time for time, _ in rows]), np.array([bend for _, bend in rows])
