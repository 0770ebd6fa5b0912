"""The composer: determinism, variety, registers, and music that MIDI can hold."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from scoresep.rendering.composer.compose import CORE, PLAYERS, TEMPO_RANGE, compose
from scoresep.rendering.composer.harmony import Chord, near, scale_step, voice
from scoresep.rendering.composer.patterns import Tempo
from scoresep.rendering.song import Song, fingerprint, tidied
from scoresep.score.midi_writing import midi_bytes
from scoresep.score.parts import SHORTEST_NOTE, Part, part_from_notes, read_midi


@pytest.fixture(scope="module")
def songs() -> list[Song]:
    return [compose(np.random.default_rng([7, number]), 20.0) for number in range(60)]


def _midi(song: Song) -> bytes:
    return midi_bytes(song.parts, song.seconds, song.tempo)


def test_same_seed_same_music_other_seed_other_music(songs):
    again = compose(np.random.default_rng([7, 0]), 20.0)
    assert again.uuid == songs[0].uuid
    assert _midi(again) == _midi(songs[0])
    assert len({song.uuid for song in songs}) == len(songs)


def test_every_song_has_piano_guitar_and_bass_in_their_registers(songs):
    for song in songs:
        assert set(CORE) <= {part.name for part in song.parts}
        for part in song.parts:
            assert part.offset.max() <= song.seconds
            if not part.is_drum:
                low, high = PLAYERS[part.name.split()[0]].register
                assert low <= part.pitch.min() and part.pitch.max() <= high, part.name


def test_no_note_overlaps_another_of_its_pitch(songs):
    for part in (part for song in songs for part in song.parts):
        for pitch in np.unique(part.pitch):
            own = part.pitch == pitch
            assert (part.onset[own][1:] >= part.offset[own][:-1]).all()
        assert (part.offset - part.onset).min() > 0.02


def test_music_is_varied(songs):
    keys = Counter(song.style["key"] for song in songs)
    assert len(keys) >= 10 and max(keys.values()) <= 15
    assert len({song.style["mode"] for song in songs}) >= 4
    assert len({song.style["metre"] for song in songs}) >= 3
    tempi = [song.tempo for song in songs]
    assert TEMPO_RANGE[0] <= min(tempi) < 75 and 145 < max(tempi) <= TEMPO_RANGE[1]
    for name, fewest in (("piano", 15), ("guitar", 8), ("bass", 7)):
        assert len({pattern for song in songs for pattern in song.style["patterns"][name]}) >= fewest
    assert any(len(part.bend) for song in songs for part in song.parts if part.name.startswith("guitar"))
    assert 3.8 < np.mean([len(song.parts) for song in songs]) < 5


def _active(song: Song, name: str) -> np.ndarray:
    frames = np.zeros(int(song.seconds * 20), dtype=bool)
    for part in song.parts:
        if part.name.split()[0] == name:
            for onset, offset in zip(part.onset, part.offset, strict=True):
                frames[int(onset * 20) : int(offset * 20) + 1] = True
    return frames


def test_instruments_rest_at_times_and_mostly_sound_together(songs):
    active = {name: [_active(song, name) for song in songs] for name in CORE}
    for name in CORE:
        assert 0.6 < np.mean([frames.mean() for frames in active[name]]) < 0.9, name
    together = [np.mean(np.logical_and.reduce(frames)) for frames in zip(*active.values(), strict=True)]
    assert 0.5 < np.mean(together) < 0.8
    alone = np.mean([(np.sum(frames, axis=0) == 1).mean() for frames in zip(*active.values(), strict=True)])
    assert alone > 0.03


def test_polyphony_of_piano_spreads_and_bass_is_one_voice(songs):
    voices = {name: Counter() for name in ("piano", "bass")}
    for song in songs:
        for part in song.parts:
            if part.name in voices:
                for time in np.arange(0.5, song.seconds, 0.5):
                    voices[part.name][int(((part.onset <= time) & (part.offset > time)).sum())] += 1
    piano = [voices["piano"][n] / voices["piano"].total() for n in range(7)]
    assert min(piano[1:6]) > 0.05
    assert sum(count for n, count in voices["bass"].items() if n > 1) < 0.06 * voices["bass"].total()


def test_a_song_shorter_than_a_bar_is_possible():
    song = compose(np.random.default_rng(3), 2.0)
    assert song.seconds == 2.0 and all(part.offset.max() <= 2.0 for part in song.parts)


def test_midi_reads_back_as_written(songs, tmp_path):
    song = next(song for song in songs if any(len(part.bend) for part in song.parts))
    path = tmp_path / "song.mid"
    path.write_bytes(_midi(song))
    for written, read in zip(song.parts, read_midi(path), strict=True):
        assert (written.program, written.is_drum, written.name) == (read.program, read.is_drum, read.name)
        assert len(written) == len(read)
        order = np.lexsort((written.pitch, np.round(written.onset, 2)))
        again = np.lexsort((read.pitch, np.round(read.onset, 2)))
        np.testing.assert_allclose(np.sort(written.onset), np.sort(read.onset), atol=2e-3)
        np.testing.assert_array_equal(np.sort(written.pitch[order]), np.sort(read.pitch[again]))
        np.testing.assert_allclose(written.bend, read.bend, atol=1e-3)


def test_wide_bends_set_their_range(tmp_path):
    part = part_from_notes([(0.5, 2.0, 60, 90)], bend_time=np.array([0.5, 1.0]), bend=np.array([-7.0, 3.5]))
    path = tmp_path / "wide.mid"
    path.write_bytes(midi_bytes([part], 3.0))
    np.testing.assert_allclose(read_midi(path)[0].bend, [-7.0, 3.5], atol=0.01)


def test_tidied_cuts_overlaps_and_leaves_the_end_out():
    part = tidied(
        part_from_notes([(0.0, 2.0, 60, 90), (1.0, 1.5, 60, 90), (3.99, 4.5, 64, 90), (1.0, 3.0, 62, 90)]), 4.0
    )
    assert part.pitch.tolist() == [60, 60, 62]
    np.testing.assert_allclose(part.offset, [1.0, 1.5, 3.0])


def test_no_note_is_too_short():
    """MMA writes strokes of 2 ms; of a note that sounded before the song begins, less than a click is left."""
    rows = [(0.5, 0.502, 36, 90), (0.6, 0.6, 36, 90), (1.0, 1.002, 60, 90), (-1.0, 0.01, 62, 90), (3.9, 3.902, 36, 90)]
    for is_drum in (True, False):
        part = tidied(part_from_notes(rows, is_drum=is_drum), 4.0)
        assert part.onset.tolist() == [0.5, 0.6, 1.0, 3.9]
        np.testing.assert_allclose(part.offset, part.onset + SHORTEST_NOTE)


def test_of_strikes_too_fast_to_tell_the_last_is_kept():
    """Two at once, a flam, and a roll of which every second stroke fits."""
    strokes = [0.0, 0.0, 1.0, 1.02, *(2.0 + 0.02 * n for n in range(5))]
    part = tidied(part_from_notes([(time, time + 0.002, 38, 90) for time in strokes], is_drum=True), 4.0)
    np.testing.assert_allclose(part.onset, [0.0, 1.02, 2.0, 2.04, 2.08])
    assert (part.offset[:-1] <= part.onset[1:]).all()


def test_fingerprint_ignores_programs_but_not_notes():
    part = part_from_notes([(0.0, 1.0, 60, 90)], program=0)
    other = part_from_notes([(0.0, 1.0, 60, 40)], program=30)
    moved = part_from_notes([(0.0, 1.0, 61, 90)], program=0)
    assert fingerprint([part]) == fingerprint([other]) != fingerprint([moved])
    assert fingerprint([part]) != fingerprint([Part(**{**vars(part), "is_drum": True})])


def test_swing_keeps_beats_and_delays_the_eighths_between():
    clock = Tempo(0.1, 4 / 3)
    assert clock.at(8) == pytest.approx(0.8)
    assert clock.at(6) == pytest.approx(0.4 + 4 * 0.1 * 2 / 3)
    assert Tempo(0.1, 1.0).at(7.5) == pytest.approx(0.75)


def test_voicings_hold_the_chord_and_move_little():
    first = voice(Chord(0, (0, 4, 7), 0), [], 60, 48, 72, 3)
    second = voice(Chord(5, (0, 4, 7), 5), first, 60, 48, 72, 3)
    assert {pitch % 12 for pitch in first} == {0, 4, 7} and {pitch % 12 for pitch in second} == {5, 9, 0}
    assert sum(abs(a - b) for a, b in zip(first, second, strict=True)) <= 4


def test_near_and_scale_step():
    assert near(0, 61, 48, 72) == 60
    assert near(11, 30, 28, 55) == 35
    assert scale_step(60, 2, (0, 2, 4, 5, 7, 9, 11)) == 64
    assert scale_step(60, -1, (0, 2, 4, 5, 7, 9, 11)) == 59
