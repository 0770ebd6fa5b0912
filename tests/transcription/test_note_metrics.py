import mir_eval.multipitch
import mir_eval.transcription
import numpy as np
import pytest
from mir_eval.util import midi_to_hz
from sklearn.metrics import precision_recall_fscore_support

from scoresep.transcription.note_metrics import (
    DRUM_CLASSES,
    Counts,
    frame_counts,
    match_notes,
    note_bleed,
    note_counts,
    note_scores,
    scores,
    stroke_counts,
)

RNG = np.random.default_rng(0)


def test_frame_scores_equal_scikit_learn() -> None:
    true, estimated = RNG.random((2, 50, 88)) < np.array([0.1, 0.15])[:, None, None]
    expected = precision_recall_fscore_support(true.ravel(), estimated.ravel(), average="binary")[:3]
    assert scores(frame_counts(true, estimated))[:3] == pytest.approx(expected)


def test_frame_scores_equal_those_of_mir_eval() -> None:
    """Multi-pitch metrics of two lists of sounding frequencies on one time axis."""
    true, estimated = RNG.random((2, 200, 88)) < np.array([0.05, 0.06])[:, None, None]
    true[::7], estimated[::5] = False, False
    estimated[1::2] |= true[1::2]
    times = np.arange(200) / 31.25
    lists = [[midi_to_hz(np.flatnonzero(frame) + 21) for frame in roll] for roll in (true, estimated)]
    official = mir_eval.multipitch.evaluate(times, lists[0], times, lists[1])
    result = scores(frame_counts(true, estimated))
    assert result.precision == pytest.approx(official["Precision"])
    assert result.recall == pytest.approx(official["Recall"])
    assert result.accuracy == pytest.approx(official["Accuracy"])


def test_frame_scores_by_hand() -> None:
    true, estimated = np.array([1, 1, 1, 0, 0], dtype=bool), np.array([1, 0, 0, 1, 0], dtype=bool)
    assert frame_counts(true, estimated) == (1, 1, 2)
    assert scores(frame_counts(true, estimated)) == pytest.approx((1 / 2, 1 / 3, 2 / 5, 1 / 4))


def test_scores_of_nothing() -> None:
    assert np.isnan(scores(Counts(0, 0, 0))).all()
    assert scores(Counts(0, 3, 0)) == (0, 0, 0, 0)
    assert scores(Counts(0, 0, 3)) == (0, 0, 0, 0)


def notes(*rows: tuple[float, float, int]) -> np.ndarray:
    return np.array([(*row, 80) for row in rows], dtype=np.float32)


def test_notes_by_hand() -> None:
    true = notes((0.0, 1.0, 60), (1.0, 2.0, 62), (2.0, 2.1, 64))
    estimated = notes(
        (0.04, 1.1, 60),  # right: 40 ms late, offset within 20 %
        (1.06, 2.0, 62),  # 60 ms late
        (2.0, 2.2, 64),  # right by its onset, its offset is more than 50 ms off
        (2.0, 2.1, 65),  # a semitone off
    )
    assert note_counts(true, estimated) == (3, 4, 2, 1)
    counts = note_counts(true, estimated)
    result, offset = note_scores(counts), note_scores(counts, offset=True)
    assert result.precision == pytest.approx(2 / 4)
    assert result.recall == pytest.approx(2 / 3)
    assert result.f1 == pytest.approx(4 / 7)
    assert offset.precision == pytest.approx(1 / 4)
    assert offset.recall == pytest.approx(1 / 3)
    assert offset.f1 == pytest.approx(2 / 7)


def test_notes_equal_mir_eval_by_its_own_evaluation() -> None:
    def some(count: int) -> np.ndarray:
        onset = np.sort(RNG.uniform(0, 20, count))
        return np.stack([onset, onset + RNG.uniform(0.05, 1, count), RNG.integers(50, 60, count), onset], axis=1)

    true, estimated = some(200), some(180)
    counts = note_counts(true, estimated)
    result, offset = note_scores(counts), note_scores(counts, offset=True)
    official = mir_eval.transcription.evaluate(
        true[:, :2], midi_to_hz(true[:, 2]), estimated[:, :2], midi_to_hz(estimated[:, 2])
    )
    assert result.f1 == pytest.approx(official["F-measure_no_offset"])
    assert result.precision == pytest.approx(official["Precision_no_offset"])
    assert result.recall == pytest.approx(official["Recall_no_offset"])
    assert offset.precision == pytest.approx(official["Precision"])
    assert offset.recall == pytest.approx(official["Recall"])
    assert offset.f1 == pytest.approx(official["F-measure"])


def test_notes_of_nothing() -> None:
    some, none = notes((0.0, 1.0, 60)), np.zeros((0, 4))
    assert note_scores(note_counts(some, none)) == (0, 0, 0, 0)
    assert np.isnan(note_scores(note_counts(none, some))).all()
    assert note_scores(note_counts(some, notes((0.0, 0.0, 60)))).f1 == 1  # an empty interval is no fault


def test_strokes_count_by_class() -> None:
    """Another snare, another tom and a ride for a crash are right; a tom for a snare is not; cowbells do not count."""
    true = notes((0.0, 0.1, 38), (1.0, 1.1, 45), (2.0, 2.1, 49), (3.0, 3.1, 40), (4.0, 4.1, 56), (5.0, 5.1, 36))
    heard = notes((0.01, 0.1, 40), (1.0, 1.1, 50), (2.0, 2.1, 51), (3.0, 3.1, 47), (4.0, 4.1, 36))
    assert stroke_counts(true, heard)[:3] == (5, 5, 3)
    assert note_counts(true, heard)[:3] == (6, 5, 0)
    assert stroke_counts(np.zeros((0, 4)), heard)[:3] == (0, 5, 0)
    together = [key for keys in DRUM_CLASSES.values() for key in keys]
    assert len(together) == len(set(together)), "a key has one class"


def test_bleed_notes_by_hand() -> None:
    """Five notes estimated for the guitar: one right, one a piano note, one of both others, two of nobody."""
    guitar = notes((0.0, 1.0, 60), (5.0, 6.0, 50))
    piano = notes((0.0, 1.0, 60), (1.0, 2.0, 64), (2.0, 3.0, 67))
    bass = notes((2.0, 3.0, 67), (3.0, 4.0, 40))
    estimated = notes((0.0, 1.0, 60), (1.02, 2.0, 64), (2.0, 3.0, 67), (3.0, 4.0, 41), (3.2, 4.0, 40))
    right = match_notes(guitar, estimated)
    assert note_bleed([guitar, piano, bass], estimated, 0, right) == ([1, 2, 1], 2)  # the unison is the guitar's own
    assert note_bleed([guitar], estimated, 0, right) == ([1], 0)
    none = np.zeros((0, 4))
    assert note_bleed([guitar, piano, bass], none, 1, match_notes(piano, none)) == ([0, 0, 0], 0)


def test_scores_of_many_counts() -> None:
    counts = RNG.integers(0, 3, (4, 5, 3))
    result = scores(counts)
    for place in np.ndindex(4, 5):
        one = scores(Counts(*counts[place].tolist()))
        assert [score[place] for score in result] == pytest.approx(list(one), nan_ok=True)
