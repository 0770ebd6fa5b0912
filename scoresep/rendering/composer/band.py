"""Songs of whole bands: a style, a harmony, a form; who plays when; every part written, with the timing of people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scoresep.rendering.composer.harmony import Chord, Key, draw_key, draw_progression
from scoresep.rendering.composer.material import Chart, ChartSection, Groove, drawn
from scoresep.rendering.composer.patterns import Bar, Event, Hand, Pattern, Tempo, bend_curve, draw_hand, draw_weighted
from scoresep.rendering.composer.playing import in_harmony, sung
from scoresep.rendering.composer.styles import STYLES, Role, Style
from scoresep.rendering.song import Song, fingerprint, tidied
from scoresep.score.parts import Part, part_from_notes

VOCALS_PROGRAM = 53
"""General MIDI's "Voice Oohs": what a score names a singer by."""
SINGER = Role("vocals", (VOCALS_PROGRAM,), ((sung, 1.0),))
REGISTERS = ((45, 64, 55), (48, 67, 59), (53, 72, 63), (55, 76, 66))
"""Of singers, low to high: lowest and highest key, and the one about which they sing."""
DRUMMER = Role("drums", (0,), (), register=(0, 0, 0))
BAND_GROUPS = tuple(sorted({role.group for style in STYLES.values() for role in style.roles} | {"drums", "vocals"}))
"""Every group that a song may have parts of."""
TENSION = {"intro": 0.8, "verse": 0.85, "pre-chorus": 0.93, "chorus": 1.0, "solo": 1.0, "bridge": 0.9, "outro": 0.85}
"""Loudness of a section against the loudest."""
UNSUNG = ("intro", "solo", "instrumental", "interlude", "outro", "fadeout", "coda", "trans")


@dataclass(frozen=True)
class BandSection:
    """Bars `first` to `end` of a song, their chords, and who plays."""

    name: str
    first: int
    bars: tuple[tuple[Chord, ...], ...]
    key: Key
    playing: frozenset[str]

    @property
    def end(self) -> int:
        return self.first + len(self.bars)


@dataclass
class Member:
    """One of the band, while the song is being written.

    Attributes:
        follows: the member to whose melody this one sings a second voice, and how many steps of the scale away.
        lag: ms that this one is late.
    """

    name: str
    role: Role
    program: int
    lag: float
    level: float
    follows: tuple[str, int] | None = None
    events: dict[int, list[Event]] = field(default_factory=dict)


def compose_band(
    rng: np.random.Generator,
    seconds: float,
    charts: Sequence[Chart] = (),
    grooves: Sequence[Groove] = (),
    styles: Sequence[str] = tuple(STYLES),
) -> Song:
    """Write a song of `seconds` for a band, determined by the state of `rng` and by what it may choose from."""
    name = str(rng.choice(list(styles)))
    style = STYLES[name]
    chart = charts[int(rng.integers(len(charts)))] if charts else None
    bpm = float(np.round(rng.uniform(*style.tempo), 1))
    steps, beat = (chart.steps, chart.beat) if chart else (16, 4)
    tempo = _draw_tempo(rng, style, bpm, beat)
    count = max(1, int(np.ceil(seconds / (steps * tempo.step))))
    members = _draw_band(rng, style)
    sections = _draw_form(rng, style, chart, count, members)
    takes = drawn(grooves, style.grooves, bpm, rng) if steps == 16 and style.grooves else ()
    for member in members:
        _write(rng, member, members, style, sections, takes, steps, beat)
    parts = tuple(
        part for part in (_part(rng, m, style, tempo, steps, seconds, bool(takes)) for m in members) if len(part)
    )
    about = {
        "style": name,
        "chart": f"{chart.title} ({chart.artist})" if chart else "",
        "drummer": takes[0].drummer if takes else "",
        "key": sections[0].key.tonic,
        "mode": sections[0].key.mode,
        "metre": f"{steps}/16",
        "sections": [section.name for section in sections],
    }
    return Song(parts, seconds, bpm, fingerprint(parts), "", about)


def _pulled(x: float) -> float:
    """How far a string still is from its pitch when a share x of the bend is over: it is pulled up smoothly."""
    return 0.5 + 0.5 * float(np.cos(np.pi * x))


def _draw_tempo(rng: np.random.Generator, style: Style, bpm: float, beat: int) -> Tempo:
    steady = style.loose <= 2
    waves = [] if steady else [(rng.uniform(0, 0.012), rng.uniform(100, 400), rng.uniform(0, 6.3)) for _ in range(3)]
    swing = float(rng.uniform(*style.swing)) if beat == 4 else 1.0
    return Tempo(60.0 / bpm / beat, swing, tuple(waves))


def _draw_band(rng: np.random.Generator, style: Style) -> list[Member]:
    names: dict[str, int] = {}
    members: list[Member] = []

    def join(role: Role, follows: tuple[str, int] | None = None) -> Member:
        names[role.group] = names.get(role.group, 0) + 1
        name = role.group if names[role.group] == 1 else f"{role.group} {names[role.group]}"
        program = int(rng.choice(role.programs))
        member = Member(name, role, program, float(rng.normal(0, 4)), float(rng.uniform(0.85, 1.05)), follows)
        members.append(member)
        return member

    for role in style.roles:
        if rng.random() < role.likely:
            join(role)
    if rng.random() < style.drummer:
        join(replace(DRUMMER, patterns=style.drums))
    if rng.random() < style.sung:
        singer = join(replace(SINGER, register=REGISTERS[rng.integers(len(REGISTERS))]))
        if rng.random() < 0.35:
            join(singer.role, (singer.name, int(rng.choice([0, 2, -2, -5]))))
    return members


def _draw_form(
    rng: np.random.Generator, style: Style, chart: Chart | None, count: int, members: Sequence[Member]
) -> list[BandSection]:
    """`count` bars of a song from a random section on: of a chart, else of a form of its own."""
    form, key = (chart.sections, chart.key) if chart else _own_form(rng, style)
    start = int(rng.integers(max(1, len(form) - 1))) if rng.random() < 0.7 else 0
    sections: list[BandSection] = []
    first = 0
    shift = int(rng.integers(12)) if chart else 0
    key = Key((key.tonic + shift) % 12, key.mode)
    while first < count:
        part = form[(start + len(sections)) % len(form)]
        bars = tuple(tuple(_moved(chord, shift) for chord in bar) for bar in part.bars[: count - first])
        sections.append(BandSection(part.name, first, bars, key, _cast(rng, part.name, members)))
        first += len(bars)
    return sections


def _moved(chord: Chord, semitones: int) -> Chord:
    return Chord((chord.root + semitones) % 12, chord.intervals, (chord.bass + semitones) % 12)


def _own_form(rng: np.random.Generator, style: Style) -> tuple[tuple[ChartSection, ...], Key]:
    key = draw_key(rng)
    themes = {name: _theme(rng, key, style) for name in ("verse", "chorus", "bridge")}
    themes |= {"intro": themes["verse"][:4], "solo": themes[str(rng.choice(["verse", "chorus"]))]}
    order = ("intro", "verse", "chorus", "verse", "chorus", "solo", "bridge", "chorus")
    return tuple(ChartSection(name, themes[name]) for name in order), key


def _theme(rng: np.random.Generator, key: Key, style: Style) -> tuple[tuple[Chord, ...], ...]:
    """Eight bars of a cycle of chords."""
    _, changes = draw_progression(rng, key, style.colour)
    halves = [change.chord for change in changes for _ in range(round(2 * change.bars))]
    halves = [halves[n % len(halves)] for n in range(16)]
    return tuple((a,) if a is b else (a, b) for a, b in zip(halves[::2], halves[1::2], strict=True))


def _cast(rng: np.random.Generator, section: str, members: Sequence[Member]) -> frozenset[str]:
    """Who plays in a section: few in an intro, soloists where nobody sings, one of the others rests at times."""
    quiet = section in UNSUNG
    playing = {m.name for m in members if m.role.group != "vocals" and not m.role.solo}
    if section == "intro" and rng.random() < 0.5 and len(playing) > 1:
        playing = set(rng.choice(sorted(playing), size=int(rng.integers(1, 3)), replace=False).tolist())
    for name in sorted(playing):
        if len(playing) > 2 and rng.random() < 0.12:
            playing.discard(name)
    singers = [m.name for m in members if m.role.group == "vocals"]
    soloists = [m.name for m in members if m.role.solo]
    if singers and (not quiet or rng.random() < 0.1):
        playing.update(singers if section == "chorus" or rng.random() < 0.3 else singers[:1])
        soloists = [name for name in soloists if rng.random() < 0.15]
    elif len(soloists) > 1 and rng.random() < 0.7:
        soloists = [str(rng.choice(soloists))]
    return frozenset(playing.union(soloists) or {members[0].name})


def _write(
    rng: np.random.Generator,
    member: Member,
    band: Sequence[Member],
    style: Style,
    sections: Sequence[BandSection],
    takes: Sequence[Groove],
    steps: int,
    beat: int,
) -> None:
    """Fill `member.events`, bar by bar."""
    learned: dict[str, tuple[Pattern, Hand]] = {}
    followed, interval = member.follows or ("", 0)
    leader = next((m for m in band if m.name == followed), None)
    turn = int(rng.integers(1 << 16))
    for section in sections:
        if section.name not in learned:
            learned[section.name] = _draw_playing(rng, member.role, steps, beat)
        pattern, hand = learned[section.name]
        if member.name not in section.playing:
            continue
        for number in range(section.first, section.end):
            bar = _bar(section, number, steps, beat)
            if leader is not None:
                events = in_harmony(leader.events.get(number, ()), bar, interval)
            elif member.role.group == "drums" and takes:
                events = _stroke(takes, number + turn, bar.last)
            else:
                events = [event for event in pattern(bar, hand, rng) if event.start < steps]
            level = TENSION.get(section.name, 0.92)
            member.events[number] = [replace(event, loud=event.loud * level) for event in events]


def _draw_playing(rng: np.random.Generator, role: Role, steps: int, beat: int) -> tuple[Pattern, Hand]:
    pattern, _ = draw_weighted(rng, role.patterns)
    low, high, centre = role.register
    about = (0.0, 1.0) if role.group == "drums" else (centre - 3.0, centre + 3.0)
    hand = draw_hand(rng, steps, beat, low, high, about, role.sizes)
    if role.group == "vocals":
        hand = replace(
            hand, cell=tuple(sorted({0, *hand.cell, *(s for s in range(0, steps, 2) if rng.random() < 0.4)}))
        )
    return pattern, hand


def _stroke(takes: Sequence[Groove], number: int, last: bool) -> list[Event]:
    """A bar as the drummer played it: of the beat, or of a fill where a section ends."""
    take = takes[1 + number % (len(takes) - 1)] if last and len(takes) > 1 else takes[0]
    return list(take.bars[number % len(take.bars)])


def _bar(section: BandSection, number: int, steps: int, beat: int) -> Bar:
    chords = section.bars[number - section.first]
    places = sorted(
        {round(n * steps / len(chords) / (beat // 2)) * (beat // 2): c for n, c in enumerate(chords)}.items()
    )
    after = section.bars[number - section.first + 1][0] if number + 1 < section.end else section.bars[0][0]
    return Bar(steps, beat, tuple(places), after, section.key.scale, number + 1 == section.end)


def _part(
    rng: np.random.Generator, member: Member, style: Style, tempo: Tempo, steps: int, seconds: float, grooved: bool
) -> Part:
    """Events to notes: the tempo, small errors of timing and of force, and bends as curves."""
    drums = member.role.group == "drums"
    played = drums and grooved
    rows, bends = [], []
    for number, events in member.events.items():
        for event in sorted(events, key=lambda e: e.start):
            late = 0.0 if played else float(np.clip(rng.normal(member.lag, style.loose), -25, 25)) / 1000
            onset = max(0.0, tempo.at(number * steps + event.start, not played) + late + event.delay / 1000)
            offset = tempo.at(number * steps + event.start + event.length, not played) + late
            force = 127 * event.loud * member.level
            velocity = int(np.clip(force + rng.normal(0, 0 if played else 5), 12, 127))
            if onset < seconds - 0.1:
                rows.append((onset, max(offset, onset + 0.04), event.pitch, velocity))
                if event.scoop:
                    bends.append((onset, offset, event.scoop))
    time, bend = bend_curve(bends, 0.25, 2, 10, _pulled)
    fields = {"program": member.program, "is_drum": drums, "name": member.name}
    return tidied(part_from_notes(rows, bend_time=time, bend=bend, **fields), seconds)
