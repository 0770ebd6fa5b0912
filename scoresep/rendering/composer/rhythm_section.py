"""Guitar, bass and drum patterns of the built-in composer."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from scoresep.rendering.composer.harmony import near, scale_step
from scoresep.rendering.composer.patterns import Bar, Event, Hand, accent, melody

KICK, RIM, SNARE, CLOSED, PEDAL, OPEN, CRASH, RIDE = 36, 37, 38, 42, 44, 46, 49, 51
TOMS = (50, 48, 45, 43)
TAMBOURINE, SHAKER = 54, 70


# Guitar


def strum(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Four to six strings on the section's rhythm, up-strokes off the beat softer and thinner."""
    events = []
    hits = [*hand.cell, bar.steps]
    for hit, following in itertools.pairwise(hits):
        pitches = hand.chord(bar.chord_at(hit))
        down = hit % 4 == 0 or rng.random() < 0.3
        strings = pitches if down else pitches[::-1][:4]
        gap = float(rng.uniform(6, 22))
        length = (following - hit) * max(hand.hold, 0.5)
        loud = accent(bar, hit) - (0.0 if down else 0.08)
        events += [Event(hit, length, p, loud - 0.02 * n, delay=gap * n) for n, p in enumerate(strings)]
    return events


def fingerpick(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """The thumb alternates low strings on the beats, fingers pick the others between and sometimes with it."""
    events = []
    for count, step in enumerate(range(0, bar.steps, 2)):
        if step == 0 or any(start == step for start, _ in bar.chords):
            hand.chord(bar.chord_at(step))
        low, upper = hand.voicing[:2], hand.voicing[1:]
        if step % 4 == 0:
            events.append(Event(step, 3.8, low[(step // 4) % len(low)], 0.72))
        if step % 4 or rng.random() < 0.25:
            events.append(Event(step, 3.5, upper[hand.order[count % len(hand.order)] % len(upper)], 0.62))
    return events


def power(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Root, fifth and octave in eighths, or on the section's rhythm and ringing."""
    running = hand.hold < 0.75
    hits = list(range(0, bar.steps, 2)) if running else list(hand.cell)
    events = []
    for hit, following in zip(hits, [*hits[1:], bar.steps], strict=True):
        root = near(bar.chord_at(hit).root, 44, 40, 52)
        events += [
            Event(hit, (following - hit) * hand.hold, root + i, accent(bar, hit)) for i in (0, 7, 12)[: hand.size]
        ]
    return events


def skank(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Short chords on every off-beat."""
    off = bar.beat // 2
    return [
        Event(step, 1.2, pitch, 0.68, delay=6.0 * n)
        for step in range(off, bar.steps, bar.beat)
        for n, pitch in enumerate(hand.chord(bar.chord_at(step)))
    ]


def lead(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """A melody with some notes bent into from one or two semitones below."""
    return [
        replace(event, scoop=float(rng.choice([1.0, 2.0, 2.0])))
        if event.length > 1.5 and rng.random() < 0.22
        else event
        for event in melody(bar, hand, rng)
    ]


def riff(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """The section's rhythm and contour, moved to every chord's root."""
    events = []
    hits = [*hand.cell, bar.steps]
    for count, (hit, following) in enumerate(itertools.pairwise(hits)):
        root = near(bar.chord_at(hit).root, hand.centre, hand.low, hand.high)
        step = hand.order[count % len(hand.order)] * 2 - 2
        pitch = int(np.clip(scale_step(root, step, bar.scale), hand.low, hand.high))
        events.append(Event(hit, (following - hit) * hand.hold, pitch, accent(bar, hit)))
    return events


# Bass


def _bass_root(bar: Bar, hand: Hand, step: float) -> int:
    return near(bar.chord_at(step).bass, hand.centre, hand.low, hand.high)


def long_roots(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """The root of every chord, held."""
    return [Event(start, (end - start) * 0.95, _bass_root(bar, hand, start), 0.75) for start, end, _ in bar.spans()]


def pulse(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Roots in even notes."""
    unit = max(hand.unit, 2)
    steps = range(0, bar.steps, unit)
    return [Event(step, unit * hand.hold, _bass_root(bar, hand, step), accent(bar, step)) for step in steps]


def root_fifth(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Root and fifth in turn on the beats."""
    events = []
    for count, step in enumerate(range(0, bar.steps, bar.beat)):
        root = _bass_root(bar, hand, step)
        pitch = root if count % 2 == 0 else near(bar.chord_at(step).fifth, root - 3, hand.low, hand.high)
        events.append(Event(step, bar.beat * hand.hold, pitch, accent(bar, step)))
    return events


def octaves(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Root and octave in turn."""
    events = []
    for count, step in enumerate(range(0, bar.steps, 2)):
        root = near(bar.chord_at(step).bass, min(hand.centre, 36), hand.low, hand.high - 12)
        events.append(Event(step, 2 * hand.hold, root + 12 * (count % 2), accent(bar, step)))
    return events


def walking(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """A note a beat: root on a new chord, then chord and scale tones, a neighbour before the next root."""
    events = []
    beats = list(range(0, bar.steps, bar.beat if bar.beat == 4 else 2))
    for step, after in zip(beats, [*beats[1:], bar.steps], strict=True):
        chord = bar.chord_at(step)
        fresh = any(abs(start - step) < 0.5 for start, _ in bar.chords)
        here = hand.pitch or int(hand.centre)
        if fresh:
            pitch = near(chord.bass, here, hand.low, hand.high)
        elif after == bar.steps or any(start == after for start, _ in bar.chords):
            goal = near((bar.following if after == bar.steps else bar.chord_at(after)).bass, here, hand.low, hand.high)
            pitch = goal + int(rng.choice([-1, 1, 2, -2]))
        else:
            pitch = scale_step(here, int(rng.choice([-2, -1, 1, 2])), bar.scale)
            if rng.random() < 0.5:
                pitch = near(int(rng.choice(chord.classes)), pitch, hand.low, hand.high)
        hand.pitch = int(np.clip(pitch, hand.low, hand.high))
        events.append(Event(step, (after - step) * max(hand.hold, 0.8), hand.pitch, accent(bar, step)))
    return events


def syncopated(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """The section's rhythm on root, fifth, octave and seventh."""
    events = []
    hits = [*hand.cell, bar.steps]
    for hit, following in itertools.pairwise(hits):
        root = _bass_root(bar, hand, hit)
        pitch = root if hit == 0 or rng.random() < 0.6 else root + int(rng.choice([7, 12, 10, -5, 5, -12]))
        pitch = pitch if hand.low <= pitch <= hand.high else root
        events.append(Event(hit, (following - hit) * hand.hold, pitch, accent(bar, hit)))
    return events


# Drums: a hand's cell serves as the kick's rhythm, its order chooses details


def _drum(start: float, pitch: int, loud: float) -> Event:
    return Event(start, 0.9, pitch, loud)


def groove(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Kick on the section's rhythm, back beat, hats or ride in even notes, ghost notes, a fill at the end."""
    cymbal = RIDE if hand.centre > 0.7 else CLOSED
    back = [s for n, s in enumerate(range(0, bar.steps, bar.beat)) if n % 2 == 1] or [bar.steps // 2]
    kicks = [hit for hit in hand.cell if hit % 2 == 0 and hit not in back] or [0]
    events = [_drum(hit, KICK, 0.85) for hit in kicks]
    events += [_drum(hit, RIM if hand.centre < 0.2 else SNARE, 0.88) for hit in back]
    for step in range(0, bar.steps, hand.unit):
        opened = cymbal == CLOSED and step == bar.steps - 2 and rng.random() < 0.2
        events.append(_drum(step, OPEN if opened else cymbal, 0.5 + 0.15 * (step % bar.beat == 0)))
    events += [_drum(step, SNARE, 0.28) for step in range(1, bar.steps, 2) if rng.random() < 0.05]
    return _with_fill(bar, events, rng)


def four_floor(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Kick on every beat, open hat between."""
    events = []
    for count, step in enumerate(range(0, bar.steps, bar.beat)):
        events += [_drum(step, KICK, 0.9), _drum(step + bar.beat // 2, OPEN if hand.centre > 0.5 else CLOSED, 0.6)]
        if count % 2:
            events.append(_drum(step, SNARE, 0.8))
    return _with_fill(bar, events, rng)


def light(bar: Bar, hand: Hand, rng: np.random.Generator) -> list[Event]:
    """Ride or shaker, pedal hat on weak beats, few rim shots: little competition for the others."""
    hand_drum = SHAKER if hand.centre < 0.4 else TAMBOURINE if hand.centre < 0.55 else RIDE
    events = [_drum(step, hand_drum, 0.4 + 0.15 * (step % bar.beat == 0)) for step in range(0, bar.steps, 2)]
    events += [_drum(step, PEDAL, 0.5) for n, step in enumerate(range(0, bar.steps, bar.beat)) if n % 2]
    events += [_drum(step, RIM, 0.55) for step in hand.cell if step % 4 and rng.random() < 0.5]
    return events


def _with_fill(bar: Bar, events: list[Event], rng: np.random.Generator) -> list[Event]:
    """Replace the end of a section's last bar by a fill (mostly), or the first beat by a crash at random."""
    if not bar.last or rng.random() < 0.3:
        return events + [_drum(0, CRASH, 0.8)] * (rng.random() < 0.08)
    start = bar.steps - int(rng.choice([4, 4, 8]))
    drums = (SNARE, *TOMS)
    fill = [
        _drum(step, drums[int((step - start) / (bar.steps - start) * len(drums))], 0.6 + 0.25 * rng.random())
        for step in range(start, bar.steps)
        if rng.random() < 0.75
    ]
    return [event for event in events if event.start < start] + fill
