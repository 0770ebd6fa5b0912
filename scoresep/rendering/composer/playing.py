"""How the players of a band play: patterns beside those of `patterns` and `rhythm_section`, and second voices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scoresep.rendering.composer.harmony import near, scale_step
from scoresep.rendering.composer.patterns import Bar, Event, Hand, Pattern, accent

# Guitar: the strings of an open chord, lowest first
OPEN_STRINGS = (40, 45, 50, 55, 59, 64)


def grip(classes: Sequence[int], bass: int) -> list[int]:
    """A chord as a hand grips it on six strings: on each the nearest tone at most four frets above a common fret.

    Strings below the bass note are not played.
    """
    best: tuple[int, list[int]] | None = None
    for fret in range(8):
        pitches: list[int] = []
        for string in OPEN_STRINGS:
            tones = [string + n for n in range(fret, fret + 4) if (string + n) % 12 in classes]
            if not pitches and (not tones or tones[0] % 12 != bass):
                continue
            pitches += tones[:1]
        cost = fret - 2 * len({pitch % 12 for pitch in pitches}) - len(pitches)
        if len(pitches) >= 3 and (best is None or cost < best[0]):
            best = cost, pitches
    if best:
        return best[1]
    root = near(bass, 45, 40, 52)
    return [root, *sorted(root + (pc - root) % 12 or 12 for pc in classes)]


def strummed(strokes: str) -> Pattern:
    """A strum: a letter for each sixteenth, D down, U up, x muted by the hand, - nothing; it repeats over the bar."""

    def play(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
        events = []
        stroke = [step for step in range(bar.steps) if strokes[step % len(strokes)] != "-"]
        for step, following in itertools.pairwise([*stroke, bar.steps]):
            chord, kind = bar.chord_at(step), strokes[step % len(strokes)]
            strings = grip(chord.classes, chord.bass)
            strings = strings if kind == "D" else strings[-4:][::-1] if kind == "U" else strings[:4]
            length = 0.35 if kind == "x" else (following - step) * max(hand.hold, 0.7)
            loud = accent(bar, step) * (0.6 if kind == "x" else 0.9 if kind == "U" else 1.0)
            gap = float(rng.uniform(4, 18)) * (1.0 if kind == "D" else 0.6)
            events += [Event(step, length, p, loud * rng.uniform(0.9, 1.0), gap * n) for n, p in enumerate(strings)]
        return events

    return play


def power_chords(palm: str) -> Pattern:
    """Power chords: a letter for each eighth, p muted by the palm, o open, - nothing."""

    def play(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
        events = []
        strokes = [s for s in range(0, bar.steps, 2) if palm[(s // 2) % len(palm)] != "-"]
        for step, following in itertools.pairwise([*strokes, bar.steps]):
            root = near(bar.chord_at(step).bass, 45, 40, 51)
            muted = palm[(step // 2) % len(palm)] == "p"
            length, loud = (0.9, 0.62) if muted else ((following - step) * 0.97, 0.9)
            events += [
                Event(step, length, root + i, loud * rng.uniform(0.93, 1.0)) for i in (0, 7, 12)[: 2 + (not muted)]
            ]
        return events

    return play


def fingered(order: Sequence[int]) -> Pattern:
    """Strings of a grip picked one after the other and left to ring until the chord changes: indices, 0 the bass."""

    def play(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
        events = []
        for first, end, chord in bar.spans():
            strings = grip(chord.classes, chord.bass)
            for count, step in enumerate(range(first, end, 2)):
                index = order[count % len(order)]
                pitch = strings[0] if index == 0 else strings[1:][(index - 1) % (len(strings) - 1)]
                events.append(Event(step, end - step, pitch, 0.72 if index == 0 else 0.6 * rng.uniform(0.9, 1.05)))
        return events

    return play


def chops(steps: Sequence[int], length: float = 0.9) -> Pattern:
    """Short chords on some sixteenths of the bar: funk, reggae, ska, disco."""

    def play(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
        return [
            Event(step, length, pitch, 0.7 * rng.uniform(0.9, 1.05), delay=5.0 * n)
            for step in steps
            if step < bar.steps and rng.random() > 0.08
            for n, pitch in enumerate(grip(bar.chord_at(step).classes, bar.chord_at(step).root)[-3:])
        ]

    return play


def solo(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """A lead guitar: pentatonic runs in eighths and sixteenths, bent and held notes, double stops, rests."""
    scale = [bar.scale[n] for n in (0, 1, 2, 4, 5)] if rng.random() < 0.8 else list(bar.scale)
    events: list[Event] = []
    step = 0.0
    if rng.random() < 0.12:
        return events
    while step < bar.steps - 0.5:
        length = float(rng.choice([1, 2, 2, 3, 4, 6], p=[0.2, 0.3, 0.2, 0.1, 0.12, 0.08]))
        here = hand.pitch or int(hand.centre)
        pull = -1 if here > hand.centre + 9 else 1 if here < hand.centre - 9 else 0
        pitch = scale_step(here, int(rng.choice([-2, -1, -1, 1, 1, 2])) + pull or 1, scale)
        if length >= 3 and rng.random() < 0.6:
            pitch = near(int(rng.choice(bar.chord_at(step).classes)), pitch, hand.low, hand.high)
        hand.pitch = int(np.clip(pitch, hand.low, hand.high))
        if rng.random() > 0.12:
            bend = float(rng.choice([1.0, 2.0, 2.0])) if length >= 2 and rng.random() < 0.3 else 0.0
            events.append(Event(step, length * 0.97, hand.pitch, accent(bar, step) + 0.12, scoop=bend))
            if not bend and rng.random() < 0.08:
                events.append(Event(step, length * 0.97, hand.pitch + 5, accent(bar, step) + 0.05))
        step += length
    return events


# Bass


def lined(figure: Sequence[tuple[float, float, int]]) -> Pattern:
    """A bass figure: (step, length, interval above the root), in a bar of sixteen."""

    def play(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
        events = []
        for step, length, interval in figure:
            if step >= bar.steps:
                continue
            chord = bar.chord_at(step)
            root = near(chord.bass if interval == 0 else chord.root, min(hand.centre, 36), hand.low, hand.high - 12)
            tone = root + interval if interval % 12 in (0, 7) else near((chord.root + interval) % 12, root + 5, 28, 55)
            events.append(Event(step, length, tone, accent(bar, step) * rng.uniform(0.9, 1.05)))
        return events

    return play


# Keys


def comped(steps: Sequence[int], length: float) -> Pattern:
    """Chords on some sixteenths of the bar."""

    def play(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
        return [
            Event(step, length, pitch, accent(bar, step) * rng.uniform(0.85, 1.0), delay=float(rng.uniform(0, 8)))
            for step in steps
            if step < bar.steps and rng.random() > 0.06
            for pitch in hand.chord(bar.chord_at(step))
        ]

    return play


# Singers


def sung(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """A singer: phrases on the section's rhythm with a breath at their end, small steps, chord tones on long notes."""
    cell = [hit for hit in hand.cell if hit < bar.steps and (hit % 2 == 0 or rng.random() < 0.25)]
    if rng.random() < 0.15:
        return []
    breath = bar.steps - int(rng.choice([0, 2, 4, 4, 6]))
    events = []
    for count, (hit, following) in enumerate(itertools.pairwise([*[c for c in cell if c < breath], breath])):
        here = hand.pitch or int(hand.centre)
        move = hand.order[count % len(hand.order)] % 5 - 2
        pull = -1 if here > hand.centre + 5 else 1 if here < hand.centre - 5 else 0
        pitch = scale_step(here, move + pull, bar.scale) if move + pull else here
        if following - hit >= 4 or hit % 8 == 0:
            pitch = near(int(rng.choice(bar.chord_at(hit).classes)), pitch, hand.low, hand.high)
        hand.pitch = int(np.clip(pitch, hand.low, hand.high))
        events.append(Event(hit, (following - hit) * float(rng.uniform(0.85, 1.0)), hand.pitch, accent(bar, hit) + 0.1))
    return events


def in_harmony(events: Sequence[Event], bar: Bar, steps: int) -> list[Event]:
    """Another voice to a melody: the same rhythm, `steps` of the scale away; 0 doubles it."""
    return [
        replace(
            event, pitch=scale_step(event.pitch, steps, bar.scale) if steps else event.pitch, loud=event.loud * 0.85
        )
        for event in events
    ]
