import fast_bss_eval
import mir_eval.multipitch
import mir_eval.transcription
import numpy as np
import pytest
from mir_eval.util import midi_to_hz
from sklearn.metrics import precision_recall_fscore_support

from scoresep.evaluation.metrics import (
    LIMIT_DB,
    Counts,
    frame_counts,
    leak_db,
    note_counts,
    note_leaks,
    note_scores,
    rest_leak_db,
    resting,
    scores,
    si_sdr,
)

RNG = np.random.default_rng(0)


def test_si_sdr_by_hand() -> None:
    """Estimate = 2 r + e with e orthogonal to r: target energy 4 |r|^2 = 8, error energy 2 -> 10 log10 4."""
    reference, error = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, -1.0])
    assert si_sdr(reference, 2 * reference + error) == pytest.approx(10 * np.log10(4))


@pytest.mark.parametrize("noise", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_si_sdr_equals_fast_bss_eval(noise: float, offset: float) -> None:
    reference = RNG.standard_normal(5000) + offset
    estimate = 0.3 * reference + noise * RNG.standard_normal(5000)
    expected = fast_bss_eval.si_sdr(reference[None], estimate[None], zero_mean=False)
    assert si_sdr(reference, estimate) == pytest.approx(float(expected.squeeze()), abs=1e-3)


def test_si_sdr_ignores_scale_and_works_in_float32() -> None:
    reference = RNG.standard_normal(100_000).astype(np.float32)
    estimate = reference + 0.1 * RNG.standard_normal(100_000).astype(np.float32)
    assert si_sdr(reference, 1e-3 * estimate) == pytest.approx(si_sdr(reference, estimate), abs=1e-4)


def test_si_sdr_at_its_limits() -> None:
    signal = RNG.standard_normal(100)
    assert np.isnan(si_sdr(np.zeros(100), signal))
    assert si_sdr(signal, signal) == LIMIT_DB
    assert si_sdr(signal, np.zeros(100)) == -LIMIT_DB
    assert si_sdr(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == -LIMIT_DB


def test_leak() -> None:
    mixture = RNG.standard_normal(100)
    assert leak_db(mixture, 0.1 * mixture) == pytest.approx(-20)
    assert leak_db(mixture, np.zeros(100)) == -LIMIT_DB
    assert np.isnan(leak_db(np.zeros(100), mixture))


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
    found = scores(frame_counts(true, estimated))
    assert found.precision == pytest.approx(official["Precision"])
    assert found.recall == pytest.approx(official["Recall"])
    assert found.accuracy == pytest.approx(official["Accuracy"])


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
    found, offset = note_scores(counts), note_scores(counts, offset=True)
    assert found.precision == pytest.approx(2 / 4)
    assert found.recall == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(4 / 7)
    assert offset.precision == pytest.approx(1 / 4)
    assert offset.recall == pytest.approx(1 / 3)
    assert offset.f1 == pytest.approx(2 / 7)


def test_notes_equal_mir_eval_by_its_own_evaluation() -> None:
    def some(count: int) -> np.ndarray:
        onset = np.sort(RNG.uniform(0, 20, count))
        return np.stack([onset, onset + RNG.uniform(0.05, 1, count), RNG.integers(50, 60, count), onset], axis=1)

    true, estimated = some(200), some(180)
    counts = note_counts(true, estimated)
    found, offset = note_scores(counts), note_scores(counts, offset=True)
    official = mir_eval.transcription.evaluate(
        true[:, :2], midi_to_hz(true[:, 2]), estimated[:, :2], midi_to_hz(estimated[:, 2])
    )
    assert found.f1 == pytest.approx(official["F-measure_no_offset"])
    assert found.precision == pytest.approx(official["Precision_no_offset"])
    assert found.recall == pytest.approx(official["Recall_no_offset"])
    assert offset.precision == pytest.approx(official["Precision"])
    assert offset.recall == pytest.approx(official["Recall"])
    assert offset.f1 == pytest.approx(official["F-measure"])


def test_notes_of_nothing() -> None:
    some, none = notes((0.0, 1.0, 60)), np.zeros((0, 4))
    assert note_scores(note_counts(some, none)) == (0, 0, 0, 0)
    assert np.isnan(note_scores(note_counts(none, some))).all()
    assert note_scores(note_counts(some, notes((0.0, 0.0, 60)))).f1 == 1  # an empty interval is no fault


def test_leaked_notes_by_hand() -> None:
    """Five notes estimated for the guitar: one right, one a piano note, one of both others, two of nobody."""
    guitar = notes((0.0, 1.0, 60), (5.0, 6.0, 50))
    piano = notes((0.0, 1.0, 60), (1.0, 2.0, 64), (2.0, 3.0, 67))
    bass = notes((2.0, 3.0, 67), (3.0, 4.0, 40))
    estimated = notes((0.0, 1.0, 60), (1.02, 2.0, 64), (2.0, 3.0, 67), (3.0, 4.0, 41), (3.2, 4.0, 40))
    counts, leaked = note_leaks([guitar, piano, bass], estimated, own=0)
    assert counts.tolist() == [1, 2, 1]  # the unison at 0 s is the guitar's own
    assert leaked == 2
    counts, leaked = note_leaks([guitar], estimated, own=0)
    assert (counts.tolist(), leaked) == ([1], 0)
    counts, leaked = note_leaks([guitar, piano, bass], np.zeros((0, 4)), own=1)
    assert (counts.tolist(), leaked) == ([0, 0, 0], 0)


def test_rests_by_hand() -> None:
    """2.1 s at 100 Hz: nine windows of a quarter second, of which the instrument is silent in the third to the last."""
    rng = np.random.default_rng(1)
    stem, other = rng.standard_normal((2, 210))
    stem[45:] *= 1e-5  # -100 dB; the second window still holds five samples
    mixture = stem + other
    rests = resting(mixture, stem, 100)
    assert rests.tolist() == [False, False, *[True] * 7]
    expected = 10 * np.log10(np.square(0.1 * other[50:]).sum() / np.square(mixture[50:]).sum())
    assert rest_leak_db(mixture, 0.1 * other, rests, 100) == pytest.approx(expected)
    assert rest_leak_db(mixture, 0 * other, rests, 100) == -LIMIT_DB
    assert np.isnan(rest_leak_db(mixture, other, np.zeros(9, dtype=bool), 100))


def test_an_instrument_that_never_plays_rests_throughout() -> None:
    mixture = RNG.standard_normal(1000)
    rests = resting(mixture, np.zeros(1000), 100)
    assert rests.all()
    assert rest_leak_db(mixture, 0.1 * mixture, rests, 100) == pytest.approx(leak_db(mixture, 0.1 * mixture))


def test_scores_of_many_counts() -> None:
    counts = RNG.integers(0, 3, (4, 5, 3))
    found = scores(counts)
    for place in np.ndindex(4, 5):
        one = scores(Counts(*counts[place].tolist()))
        assert [score[place] for score in found] == pytest.approx(list(one), nan_ok=True)
