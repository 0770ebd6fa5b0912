"""What each instrument plays in one bar: the patterns of the built-in composer.
A pattern is a function (bar, hand, rng) -> events. Time inside a bar counts in steps (sixteenths; in compound metres a
beat has 6 steps). A `Hand` is the player's memory over a section: register, rhythm cell, last voicing, last pitch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from scoresep.rendering.composer.harmony import Chord, near, scale_step, voice


@dataclass(frozen=True)
class Event:
    """A note of a bar: start and length in steps, pitch, loudness 0-1, delay in ms, semitones it is bent up from."""

    start: float
    length: float
    pitch: int
    loud: float = 0.7
    delay: float = 0.0
    scoop: float = 0.0


@dataclass(frozen=True)
class Bar:
    """The harmony of one bar.

    Attributes:
        steps: its length in sixteenths.
        beat: steps of a beat (4, or 6 in compound metres).
        chords: (first step, chord), ordered, the first at step 0.
        following: the chord after the bar.
        scale: pitch classes of the key.
        last: whether the section ends with this bar (drums fill, melodies rest).
    """

    steps: int
    beat: int
    chords: tuple[tuple[int, Chord], ...]
    following: Chord
    scale: tuple[int, ...]
    last: bool = False

    def chord_at(self, step: float) -> Chord:
        return [chord for start, chord in self.chords if start <= step + 0.5][-1]

    def spans(self) -> list[tuple[int, int, Chord]]:
        """(first step, end step, chord) of every chord."""
        ends = [start for start, _ in self.chords[1:]] + [self.steps]
        return [(start, end, chord) for (start, chord), end in zip(self.chords, ends, strict=True)]


@dataclass
class Hand:
    """A player's memory during a section.

    Attributes:
        low, high: register.
        centre: where voicings and melodies tend to.
        size: voices of a chord.
        cell: rhythm of the section: steps of a bar on which it plays.
        order: figure of the section, indices into a voicing (taken modulo its size).
        unit: steps between the notes of a running figure.
        hold: share of the time to the next note that a note sounds.
        voicing, pitch: what it played last.
    """

    low: int
    high: int
    centre: float
    size: int = 3
    cell: tuple[int, ...] = (0,)
    order: tuple[int, ...] = (0, 1, 2)
    unit: int = 2
    hold: float = 0.9
    voicing: list[int] = field(default_factory=list)
    pitch: int = 0

    def chord(self, chord: Chord) -> list[int]:
        self.voicing = voice(chord, self.voicing, self.centre, self.low, self.high, self.size)
        return self.voicing


Pattern = Callable[[Bar, Hand, np.random.Generator], list[Event]]


Weighted = TypeVar("Weighted", bound=tuple[Any, ...])


def draw_weighted(rng: np.random.Generator, rows: Sequence[Weighted]) -> Weighted:
    """One of `rows`, each of which ends with its weight."""
    weights = np.array([row[-1] for row in rows])
    return rows[int(rng.choice(len(rows), p=weights / weights.sum()))]


def draw_cell(rng: np.random.Generator, steps: int, beat: int, density: float) -> tuple[int, ...]:
    """A rhythm of one bar: beats are likely, off-beats less, sixteenths rare; `density` 0-1 scales all."""
    grid = np.arange(0, steps)
    weight = np.where(grid % beat == 0, 0.9, np.where(grid % 2 == 0, 0.5, 0.14)) * (0.45 + density)
    hits = grid[rng.random(steps) < weight]
    if rng.random() < 0.75 or not len(hits):
        hits = np.union1d(hits, [0])
    return tuple(int(hit) for hit in hits)


def draw_hand(
    rng: np.random.Generator,
    steps: int,
    beat: int,
    low: int,
    high: int,
    centre: tuple[float, float],
    sizes: Sequence[int],
) -> Hand:
    """A hand with register, rhythm and figure drawn for one section."""
    size = int(rng.choice(sizes))
    length = int(rng.choice([3, 4, 4, 6, 8]))
    return Hand(
        low=low,
        high=high,
        centre=float(rng.uniform(*centre)),
        size=size,
        cell=draw_cell(rng, steps, beat, float(rng.uniform(0.1, 0.6))),
        order=_figure(rng, size, length),
        unit=int(rng.choice([1, 2, 2, 2, 4])) if beat == 4 else 2,
        hold=float(rng.uniform(0.4, 1.0)),
    )


def _figure(rng: np.random.Generator, size: int, length: int) -> tuple[int, ...]:
    up = list(range(size))
    shapes = (up, up[::-1], up + up[-2:0:-1], [0, size - 1, size // 2, size - 1], list(rng.integers(0, size, length)))
    return tuple(int(index) for index in shapes[rng.integers(len(shapes))])


def _gaps(cell: Sequence[int], steps: int) -> list[int]:
    """Steps from each hit to the next (the last: to the end of the bar)."""
    return [after - hit for hit, after in zip(cell, [*cell[1:], steps], strict=True)]


def accent(bar: Bar, step: float) -> float:
    """Loudness of a position: the bar's first beat most, then beats, then the rest."""
    return 0.85 if step == 0 else 0.75 if step % bar.beat == 0 else 0.62


# When notes are played: steps to seconds, and bends as curves


@dataclass(frozen=True)
class Tempo:
    """Steps to seconds: swung eighths, and a tempo that breathes.

    Attributes:
        step: seconds of a step.
        swing: length of the first of two eighths, 1 straight.
        waves: amplitude (share of the tempo), period in steps and phase of what the tempo does; their sum is small.
    """

    step: float
    swing: float
    waves: tuple[tuple[float, float, float], ...] = ()

    def at(self, position: float, swung: bool = True) -> float:
        """Seconds of a position in steps from the song's start."""
        beat, inside = divmod(position, 4.0)
        if swung:
            inside = inside * self.swing if inside <= 2 else 4.0 - (4.0 - inside) * (2.0 - self.swing)
        straight = 4.0 * beat + inside
        drift = sum(a * t / (2 * np.pi) * (np.sin(2 * np.pi * straight / t + f) - np.sin(f)) for a, t, f in self.waves)
        return float((straight + drift) * self.step)


def bend_curve(
    bends: Sequence[tuple[float, float, float]], longest: float, part: int, count: int, below: Callable[[float], float]
) -> tuple[np.ndarray, np.ndarray]:
    """Bend of notes that begin below their pitch: times in seconds and semitones, (K,) each.

    Args:
        bends: onset, offset and semitones of each.
        longest, part: the pitch is reached after so many seconds, or a `part`-th of the note if that is less.
        count: points of a bend.
        below: share of the semitones that are left when a share of the time is over, 1 at 0 and 0 at 1.
    """
    rows: list[tuple[float, float]] = []
    for onset, offset, semitones in bends:
        rise = min(longest, (offset - onset) / part)
        rows += [(onset + rise * x, -semitones * below(x)) for x in np.linspace(0.0, 1.0, count).tolist()]
    return np.array([time for time, _ in rows]), np.array([bend for _, bend in rows])


# Chords: piano, organ, strings, guitar


def block(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Chords on the section's rhythm."""
    events = []
    for hit, gap in zip(hand.cell, _gaps(hand.cell, bar.steps), strict=True):
        pitches = hand.chord(bar.chord_at(hit))
        if rng.random() < 0.15:
            pitches = pitches[1:]
        events += [Event(hit, gap * hand.hold, pitch, accent(bar, hit)) for pitch in pitches]
    return events


def stabs(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Comping: short chords, mostly off the beat, anew in every bar."""
    places = [step for step in range(0, bar.steps, 2) if rng.random() < (0.45 if step % bar.beat else 0.22)]
    events = []
    for hit in places or [bar.beat // 2]:
        length = float(rng.choice([1.0, 1.5, 3.0]))
        events += [Event(hit, length, pitch, 0.65) for pitch in hand.chord(bar.chord_at(hit))]
    return events


def sustained(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Every chord once, held until the next."""
    events = []
    for start, end, chord in bar.spans():
        pitches = hand.chord(chord)
        spread = float(rng.choice([0.0, 0.0, 25.0]))
        events += [Event(start, (end - start) * 0.98, p, 0.6, delay=spread * n) for n, p in enumerate(pitches)]
    return events


def arpeggio(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """The section's figure over the voicing and its upper octave, notes ringing over each other or not."""
    events = []
    ring = 3.0 if hand.hold > 0.7 else hand.hold
    for count, step in enumerate(range(0, bar.steps, hand.unit)):
        if step == 0 or any(start == step for start, _ in bar.chords):
            hand.chord(bar.chord_at(step))
        ladder = hand.voicing + [pitch + 12 for pitch in hand.voicing if pitch + 12 <= hand.high]
        index = hand.order[count % len(hand.order)] + (hand.size if (count // len(hand.order)) % 2 else 0)
        if rng.random() < 0.06:
            continue
        length = min(hand.unit * ring, bar.steps - step)
        events.append(Event(step, length, ladder[index % len(ladder)], accent(bar, step)))
    return events


def alberti(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Lowest, highest, middle, highest of the voicing in even notes."""
    events = []
    for count, step in enumerate(range(0, bar.steps, hand.unit)):
        pitches = hand.chord(bar.chord_at(step)) if count % 4 == 0 or not hand.voicing else hand.voicing
        pitch = (pitches[0], pitches[-1], pitches[len(pitches) // 2], pitches[-1])[count % 4]
        events.append(Event(step, hand.unit * hand.hold, pitch, 0.55 + 0.15 * (count % 4 == 0)))
    return events


def broken(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Lowest note on the strong beats, the rest of the chord on the weak ones."""
    events = []
    for count, step in enumerate(range(0, bar.steps, bar.beat)):
        pitches = hand.chord(bar.chord_at(step))
        chosen = pitches[:1] if count % 2 == 0 else pitches[1:]
        events += [Event(step, bar.beat * hand.hold, pitch, accent(bar, step)) for pitch in chosen]
    return events


def wander(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """One to four scale or chord tones at any height on the section's rhythm: little music, much variety of pitch."""
    events = []
    for hit, gap in zip(hand.cell, _gaps(hand.cell, bar.steps), strict=True):
        pool = bar.chord_at(hit).classes if rng.random() < 0.8 else bar.scale
        for _ in range(int(rng.integers(1, 5))):
            target = rng.normal(hand.centre, 7.0)
            pitch = near(int(rng.choice(pool)), float(target), hand.low, hand.high)
            events.append(Event(hit, gap * hand.hold, pitch, accent(bar, hit) * float(rng.uniform(0.8, 1.1))))
    return events


def melody(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """A line on the section's rhythm: chord tones on beats, steps and small leaps between them."""
    events = []
    for hit, gap in zip(hand.cell, _gaps(hand.cell, bar.steps), strict=True):
        if rng.random() < (0.4 if bar.last and hit > bar.steps // 2 else 0.06):
            continue
        here = hand.pitch or int(hand.centre)
        pull = 0.5 * np.sign(hand.centre - here) * (abs(hand.centre - here) > 7)
        pitch = scale_step(here, round(rng.normal(pull, 1.8)), bar.scale)
        if hit % bar.beat == 0 and rng.random() < 0.7:
            pitch = near(int(rng.choice(bar.chord_at(hit).classes)), pitch, hand.low, hand.high)
        hand.pitch = int(np.clip(pitch, hand.low, hand.high))
        events.append(Event(hit, gap * max(hand.hold, 0.6), hand.pitch, accent(bar, hit) + 0.08))
    return events


def right_and_left(upper: Pattern, lower: Pattern, left: Hand) -> Pattern:
    """Two hands of one pianist; `left` is the lower one's memory."""

    def both(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
        return upper(bar, hand, rng) + lower(bar, left, rng)

    return both


def roots(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """A pianist's left hand: the bass note of every chord, alone, with its octave or its fifth."""
    extra = hand.order[0] % 3
    events = []
    for start, end, chord in bar.spans():
        pitch = near(chord.bass, hand.centre, hand.low, hand.high - 12)
        pitches = [pitch] + [pitch + (12, 7, 12)[extra]] * (extra < 2)
        events += [Event(start, (end - start) * 0.95, p, 0.7) for p in pitches]
    return events
