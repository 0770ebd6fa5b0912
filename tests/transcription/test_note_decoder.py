import numpy as np
import pytest

from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.score.parts import part_from_notes
from scoresep.score.piano_roll import rasterise
from scoresep.transcription.note_decoder import VELOCITY, NoteDecoder, attack_threshold, decode_notes, sort_notes

GRID = Grid()
FRAME = GRID.seconds(1)


def empty(frames: int) -> np.ndarray:
    return np.zeros((frames, PITCHES), dtype=np.float32)


def decoded(frame: np.ndarray, onset: np.ndarray) -> list[tuple[int, int, int]]:
    """First frame, frame after the last and key of each note."""
    notes = decode_notes(frame, onset, 0.5, 0.5, GRID)
    return [(round(a / FRAME), round(b / FRAME), round(p) - LOWEST_PITCH) for a, b, p, _ in notes]


def pushed(block: int, frame: np.ndarray, onset: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Notes (K, 4) of arrays (T, P) that are given so many frames at a time."""
    decoder = NoteDecoder(0.6, 0.8, GRID)
    parts = [slice(first, first + block) for first in range(0, len(frame), block)]
    notes = [note for part in parts for note in decoder.push(frame[part], onset[part], strength[part])]
    return sort_notes(notes + decoder.finish())


def test_roll_to_notes_and_back() -> None:
    rng = np.random.default_rng(0)
    notes = []
    for pitch in range(30, 100, 3):
        onset = 0.0
        for _ in range(12):
            onset += rng.uniform(0.07, 0.5)
            offset = onset + rng.uniform(0.1, 1.0)
            notes.append((onset, offset, pitch, 100))
            onset = offset + rng.choice([0.0, rng.uniform(0.07, 0.5)])  # some are struck again at once
    roll, onsets = rasterise([part_from_notes(notes)], GRID, 600)
    result = decode_notes(roll, onsets, 0.5, 0.5, GRID)
    again, onsets_again = rasterise([part_from_notes([tuple(note) for note in result])], GRID, 600)
    np.testing.assert_array_equal(again, roll)
    np.testing.assert_array_equal(onsets_again, onsets)


def test_repeated_notes_are_split_at_onset_peaks() -> None:
    frame, onset = empty(20), empty(20)
    frame[2:12, 40] = 0.9
    onset[2, 40] = onset[7, 40] = 0.8
    onset[6, 40] = 0.6  # the flank of a peak is no onset
    assert decoded(frame, onset) == [(2, 7, 40), (7, 12, 40)]


def test_key_that_sounds_without_an_onset_is_a_note() -> None:
    frame = empty(20)
    frame[5:9, 10] = 0.81  # four times the odds of 0.5 are 0.8
    assert decoded(frame, empty(20)) == [(5, 9, 10)]


def test_onset_without_a_sounding_key_is_none() -> None:
    onset = empty(20)
    onset[5, 10] = 0.9
    assert decoded(empty(20), onset) == []


def test_onset_may_come_a_frame_before_the_key() -> None:
    frame, onset = empty(20), empty(20)
    frame[6:9, 10] = 0.9
    onset[5, 10] = 0.9
    assert decoded(frame, onset) == [(5, 9, 10)]


def test_onset_just_after_the_key_moves_the_beginning() -> None:
    frame, onset = empty(20), empty(20)
    frame[4:9, 10] = 0.9
    onset[5, 10] = 0.9
    assert decoded(frame, onset) == [(5, 9, 10)]


def test_notes_open_at_either_end() -> None:
    frame, onset = empty(6), empty(6)
    frame[:, 0] = frame[4:, 87] = 0.9
    assert decoded(frame, onset) == [(0, 6, 0), (4, 6, 87)]


def test_flickers_are_dropped() -> None:
    frame = empty(20)
    frame[3, 10] = frame[7:9, 10] = frame[12:15, 10] = 0.9
    assert decoded(frame, empty(20)) == [(7, 9, 10), (12, 15, 10)]


def test_short_gaps_are_bridged() -> None:
    frame, onset = empty(30), empty(30)
    frame[[2, 3, 6, 7, 11, 12], 10] = 0.9  # gaps of two frames and of three
    assert decoded(frame, onset) == [(2, 8, 10), (11, 13, 10)]
    onset[6, 10] = 0.9  # unless a note begins after the gap
    assert decoded(frame, onset) == [(2, 4, 10), (6, 8, 10), (11, 13, 10)]


def test_two_thresholds_make_a_hysteresis() -> None:
    frame, onset = empty(40), empty(40)
    frame[2:10, 10] = [0.6, 0.7, 0.9, 0.6, 0.6, 0.9, 0.6, 0.6]  # begins where it is sure, goes on while it sounds
    frame[2:10, 11] = 0.7  # is never sure
    frame[2:10, 12] = 0.7  # nor here, but an onset is heard
    onset[2, 12] = onset[2, 13] = 0.9  # and an onset alone is nothing
    frame[2:6, 14], frame[9:11, 14] = 0.9, 0.7  # once it has fallen silent, it has to be sure again
    frame[20:22, 15] = 0.9
    frame[23:30, 15] = 0.6  # a gap that is bridged is not silence
    assert decoded(frame, onset) == [(2, 10, 12), (2, 6, 14), (4, 10, 10), (20, 30, 15)]


@pytest.mark.parametrize("threshold", [0.02, 0.34, 0.5, 0.98])
def test_the_attack_threshold_has_four_times_the_odds(threshold: float) -> None:
    attack = attack_threshold(threshold)
    assert attack / (1 - attack) == pytest.approx(4 * threshold / (1 - threshold))


def test_thresholds_are_reached_not_exceeded() -> None:
    frame = np.full((3, PITCHES), 0.5, dtype=np.float32)
    assert len(decode_notes(frame, empty(3), 0.2, 0.5, GRID)) == PITCHES  # four times the odds of 0.2 are 0.5
    assert len(decode_notes(frame, empty(3), 0.201, 0.5, GRID)) == 0
    frame[:2] = 0.9
    assert set(decode_notes(frame, empty(3), 0.5, 0.5, GRID)[:, 1]) == {3 * FRAME}
    assert set(decode_notes(frame, empty(3), 0.51, 0.5, GRID)[:, 1]) == {2 * FRAME}


def test_nothing_at_all() -> None:
    assert decode_notes(empty(0), empty(0), 0.5, 0.5, GRID).shape == (0, 4)
    assert decode_notes(empty(1), empty(1), 0.5, 0.5, GRID).shape == (0, 4)


@pytest.mark.parametrize("block", [1, 2, 3, 50])
def test_blocks_give_the_same_notes(block: int) -> None:
    rng = np.random.default_rng(1)
    frame = np.repeat(rng.random((40, PITCHES)), 5, axis=0).astype(np.float32)
    onset, strength = rng.random((2, 200, PITCHES)).astype(np.float32)
    whole, parts = pushed(200, frame, onset, strength), pushed(block, frame, onset, strength)
    assert len(whole) > 100
    np.testing.assert_array_equal(parts, whole)


def test_notes_of_a_key_do_not_overlap() -> None:
    rng = np.random.default_rng(2)
    notes = decode_notes(rng.random((500, PITCHES)), rng.random((500, PITCHES)), 0.3, 0.5, GRID)
    for pitch in range(LOWEST_PITCH, LOWEST_PITCH + PITCHES):
        of_key = notes[notes[:, 2] == pitch]
        assert (of_key[1:, 0] >= of_key[:-1, 1]).all()


def test_velocity_follows_the_loudest_frame() -> None:
    frame, strength = empty(20), empty(20)
    frame[2:6, 5] = frame[2:6, 6] = 0.9
    strength[2:6, 5], strength[4, 6] = 0.001, 1.0
    soft, loud = pushed(20, frame, empty(20), strength)[:, 3]
    for velocity, decibels in ((soft, -60), (loud, 0)):  # 40 log10(velocity / 127), 4 dB above the level for 127
        assert 40 * np.log10(velocity / 127) + 4 <= decibels < 40 * np.log10((velocity + 1) / 127) + 4
    assert set(decode_notes(frame, empty(20), 0.5, 0.5, GRID)[:, 3]) == {VELOCITY}
