"""Songs of bands: what every one must have, and what styles and charts promise."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from scoresep.rendering.composer.band import compose_band
from scoresep.rendering.composer.harmony import Chord, Key
from scoresep.rendering.composer.material import Chart, ChartSection, Groove
from scoresep.rendering.composer.patterns import Event, Tempo
from scoresep.rendering.composer.playing import OPEN_STRINGS, grip
from scoresep.rendering.composer.styles import STYLES

SECONDS = 24.0
C, F = Chord(0, (0, 4, 7), 0), Chord(5, (0, 4, 7), 5)
CHART = Chart("Two Chords", "Nobody", 16, 4, Key(0, "major"), (ChartSection("verse", ((C,), (F,))),))


@pytest.mark.parametrize("style", STYLES)
def test_parts_can_be_played(style: str) -> None:
    for seed in range(4):
        song = compose_band(np.random.default_rng(seed), SECONDS, styles=[style])
        assert song.parts and song.style["style"] == style
        for part in song.parts:
            assert (part.onset >= 0).all() and (part.offset <= SECONDS).all() and (part.offset > part.onset).all()
            assert part.pitch.min() >= 21 and part.pitch.max() <= 96
            assert part.velocity.min() >= 1 and part.velocity.max() <= 127


def test_the_same_seed_writes_the_same_song() -> None:
    first, again, other = (compose_band(np.random.default_rng(seed), SECONDS, [CHART]) for seed in (5, 5, 6))
    assert first.uuid == again.uuid != other.uuid


@pytest.mark.parametrize("style", ["rock", "reggae", "bossa", "ballad"])
def test_harmony_is_the_chart_s(style: str) -> None:
    """Whatever key a chart of two triads is moved to, bass and chords stay on their tones."""
    for seed in range(4):
        song = compose_band(np.random.default_rng(seed), SECONDS, [CHART], styles=[style])
        shift = song.style["key"]
        allowed = {(tone + shift) % 12 for chord in (C, F) for tone in chord.classes}
        chords = [p for p in song.parts if p.name in ("guitar", "piano", "bass", "organ")]
        pitches = np.concatenate([part.pitch for part in chords]).astype(int)
        assert np.isin(pitches % 12, list(allowed)).mean() > 0.8


def test_a_drummer_s_strokes_keep_their_timing() -> None:
    bars = tuple((Event(0.0, 0.9, 36, 0.8), Event(4.3, 0.9, 38, 0.7)) for _ in range(8))
    take = Groove("drummer1", "rock", 120.0, False, bars)
    songs = (compose_band(np.random.default_rng(n), SECONDS, (), [take], ["rock"]) for n in range(40))
    drums = next(p for song in songs if song.style["drummer"] for p in song.parts if p.is_drum and len(p) > 8)
    kick, snare = drums.onset[drums.pitch == 36], drums.onset[drums.pitch == 38]
    count = min(len(kick), len(snare))
    steps = (snare[:count] - kick[:count]) / np.median(np.diff(kick)) * 16
    assert steps == pytest.approx(4.3, abs=0.15)


def test_a_harmony_voice_sings_with_the_singer() -> None:
    songs = (compose_band(np.random.default_rng(n), SECONDS, [CHART], styles=["pop"]) for n in range(60))
    pairs = [{p.name: p for p in s.parts if p.name.startswith("vocals")} for s in songs]
    both = [pair for pair in pairs if len(pair) == 2]
    assert both
    for pair in both:
        gaps = np.abs(pair["vocals 2"].onset[:, None] - pair["vocals"].onset).min(axis=1)
        assert np.median(gaps) < 0.05


def test_tempo_breathes_but_goes_on() -> None:
    tempo = Tempo(0.125, 1.0, ((0.012, 100.0, 1.0), (0.012, 300.0, 2.0), (0.012, 200.0, 0.5)))
    times = np.array([tempo.at(step) for step in np.arange(0, 2000, 0.5)])
    assert times[0] == 0 and (np.diff(times) > 0).all()
    assert np.diff(times) / 0.0625 == pytest.approx(1.0, abs=0.04)
    assert np.ptp(np.diff(times)) > 0


def test_swing_moves_the_second_eighth() -> None:
    assert Tempo(0.1, 4 / 3).at(2.0) == pytest.approx(0.1 * 8 / 3)
    assert Tempo(0.1, 4 / 3).at(2.0, swung=False) == pytest.approx(0.2)


def test_grips_can_be_held() -> None:
    """The bass lowest, a string for every tone, no stretch beyond four frets: some fingering of all is such."""
    for root in range(12):
        for intervals in ((0, 4, 7), (0, 3, 7), (0, 4, 7, 10), (0, 3, 7, 10)):
            pitches = grip(Chord(root, intervals, root).classes, root)
            assert pitches[0] % 12 == root and 3 <= len(pitches) <= 6
            assert {p % 12 for p in pitches} <= {(root + i) % 12 for i in intervals}
            frets = [np.subtract(pitches, strings) for strings in combinations(OPEN_STRINGS, len(pitches))]
            assert any(fret.min() >= 0 and np.ptp(fret) <= 3 for fret in frets), (root, intervals, pitches)
