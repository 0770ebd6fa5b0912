from collections.abc import Iterator

import numpy as np
import pytest
import scipy.stats

from scoresep.evaluation.figures import RESAMPLES, FigureRow, Figures, bootstrap, finite, record_of, rows_of
from scoresep.evaluation.metric_table import MEAN, METRICS, MODEL, OVERALL, nanmean
from scoresep.evaluation.tables import bleed_table

NAN = np.nan
RNG = np.random.default_rng(0)
INSTRUMENTS = ("piano", "bass")
STEMS = {
    "a": {"piano": ("scored", 2.0), "bass": ("silent", -30.0)},
    "b": {"piano": ("scored", 4.0), "bass": ("alone", 70.0)},
    "c": {"piano": ("scored", 9.0), "bass": ("silent", -10.0)},
}
"""State of a pair, and the model's SI-SDR; where it is silent, its bleed."""
FRAMES = {
    "a": {"piano": (8, 2, 0), "bass": (0, 5, 0)},
    "b": {"piano": (0, 0, 10), "bass": (5, 0, 0)},
    "c": {"piano": (0, 0, 0), "bass": (0, 0, 0)},
}
NOTES = {
    "a": {"piano": (5, 10, 4, 2), "bass": (0, 5, 0, 0)},
    "b": {"piano": (5, 0, 0, 0), "bass": (5, 5, 5, 5)},
    "c": {"piano": (0, 0, 0, 0), "bass": (0, 0, 0, 0)},
}
BLEED = {
    "a": {"piano": (10, 3, 4, 3), "bass": (5, 2, 2, 0)},
    "b": {"piano": (0, 0, 0, 0), "bass": (5, 0, 0, 5)},
    "c": {"piano": (0, 0, 0, 0), "bass": (0, 0, 0, 0)},
}
"""Estimated notes; another's; the piano's; the bass's."""


def stem_rows(track: str, name: str) -> Iterator[FigureRow]:
    state, value = STEMS[track][name]
    for estimator, si_sdr, rest in ((MODEL, value, -20.0), ("mixture", 1.0, 0.0)):
        figures = {"rest_bleed_db": rest, "rest_seconds": 0.5}
        figures |= {"bleed_db": value} if state == "silent" else {"si_sdr": si_sdr, "si_sdr_improvement": si_sdr - 1.0}
        for metric, figure in figures.items():
            yield FigureRow(track, "separation", estimator, name, metric, figure, (), state)


def note_rows(track: str, name: str) -> Iterator[FigureRow]:
    state = "scored" if FRAMES[track][name][0] + FRAMES[track][name][2] else "no_notes"
    for metric, counts in (("frame", FRAMES), ("note", NOTES), ("bleed_notes", BLEED)):
        for full in METRICS:
            if full.startswith(metric):
                each = counts[track][name]
                value = float(METRICS[full].score(np.array(each)))
                yield FigureRow(track, "transcription", MODEL, name, full, value, each, state)


ROWS = [row for track in STEMS for name in INSTRUMENTS for of in (stem_rows, note_rows) for row in of(track, name)]
FIGURES = Figures([*STEMS], INSTRUMENTS, ROWS)
SUMMARY = FIGURES.summary()


def test_means_and_medians_over_scored_pairs() -> None:
    piano = SUMMARY["separation"]["piano"]
    assert (piano["si_sdr"], piano["si_sdr_median"]) == (5.0, 4.0)
    assert (piano["si_sdr_improvement"], piano["si_sdr_improvement_median"]) == (4.0, 3.0)
    assert (piano["scored"], piano["silent"], piano["alone"], piano["bleed_db"]) == (3, 0, 0, None)
    assert SUMMARY["baselines"]["mixture"]["piano"]["si_sdr_improvement"] == 0


def test_silent_and_alone_are_left_out_and_counted() -> None:
    bass = SUMMARY["separation"]["bass"]
    assert bass["si_sdr"] is None
    assert (bass["scored"], bass["silent"], bass["alone"], bass["bleed_db"]) == (0, 2, 1, -20.0)
    assert SUMMARY["counts"] == {"tracks": 3, "scored": 3, "silent": 2, "alone": 1}
    assert SUMMARY["mean"]["separation"]["si_sdr"] == 5.0


def test_frames_are_pooled_and_notes_averaged() -> None:
    piano, bass = (SUMMARY["transcription"][name] for name in ("piano", "bass"))
    assert piano["frame_f1"] == 2 * 8 / (2 * 8 + 2 + 10)
    assert piano["note_f1"] == pytest.approx((2 * 4 / 15 + 0) / 2)
    assert (piano["scored"], bass["scored"], bass["no_notes"]) == (2, 1, 2)
    assert bass["frame_precision"] == 0.5 and piano["frame_f1_counts"] == [8, 2, 10]
    assert SUMMARY["mean"]["transcription"]["note_f1"] == pytest.approx((4 / 15 + 1.0) / 2)


def test_what_counts_by_track_depends_on_the_truth_alone() -> None:
    """Frames of an instrument that does not play are pooled, but are no track's F1."""
    assert np.isnan(FIGURES.series("transcription", MODEL, "frame_f1", "bass")).tolist() == [True, False, True]
    np.testing.assert_allclose(FIGURES.series("transcription", MODEL, "frame_f1", MEAN), [16 / 18, 0.5, NAN])


def test_intervals_hold_their_figure_and_are_of_the_tracks_that_count() -> None:
    piano, bass = (SUMMARY["separation"][name] for name in INSTRUMENTS)
    low, high = piano["si_sdr_interval"]
    assert 2.0 <= low < 5.0 < high <= 9.0
    assert bass["si_sdr_interval"] is None
    low, high = SUMMARY["transcription"]["piano"]["frame_f1_interval"]
    assert low < SUMMARY["transcription"]["piano"]["frame_f1"] < high
    assert SUMMARY["mean"]["separation"]["si_sdr_interval"] == piano["si_sdr_interval"]


def test_a_pooled_interval_pools_within_each_resample() -> None:
    counts = np.array([FRAMES[track]["piano"] for track in STEMS])
    drawn = np.random.default_rng(0).integers(0, 3, (2000, 3))
    hit, false, missed = counts[drawn].sum(axis=1).T
    some = hit + false + missed > 0
    f1 = 2 * hit[some] / (2 * hit + false + missed)[some]
    expected = np.percentile(f1, [2.5, 97.5])
    assert FIGURES.interval("transcription", MODEL, "frame_f1", "piano") == pytest.approx(list(expected))


def test_instruments_together() -> None:
    """The first track: 8 hits, 2 and 5 false alarms of frames; 5 notes, 15 estimated, 4 right."""
    overall = SUMMARY["overall"]["transcription"]
    assert overall["frame_accuracy"] == 13 / (13 + 7 + 10)
    first, second = 2 * 4 / (5 + 15), 2 * 5 / (10 + 5)
    assert overall["note_f1"] == pytest.approx((first + second) / 2)
    assert overall["frame_f1_counts"] == [13, 7, 10]
    assert "si_sdr" not in SUMMARY["overall"].get("separation", {})


def test_bleed_is_a_share_of_all_estimated_notes() -> None:
    piano, bass = (SUMMARY["transcription"][name] for name in INSTRUMENTS)
    assert (piano["bleed_notes"], bass["bleed_notes"]) == (0.3, 0.2)
    lines = {line.label: [cell.text for cell in line.cells] for line in bleed_table(FIGURES, "transcription").lines}
    assert lines == {"piano": ["40 %", "30 %", "30 %"], "bass": ["20 %", "50 %", "30 %"]}


def test_rests() -> None:
    bass = SUMMARY["separation"]["bass"]
    assert (bass["rest_bleed_db"], bass["rest_seconds"]) == (-20.0, 1.5)
    assert SUMMARY["baselines"]["mixture"]["bass"]["rest_bleed_db"] == 0.0


def test_records_hold_the_tidy_rows() -> None:
    rows = [row for row in ROWS if row.track == "a"]
    record = record_of("a", 3.0, rows)
    assert record["values"]["separation"][MODEL]["piano"]["si_sdr"] == 2.0
    assert record["counts"]["transcription"][MODEL]["piano"]["note_f1"] == [5, 10, 4, 2]
    assert record["states"]["separation"] == {"piano": "scored", "bass": "silent"}
    back = {row[:5]: row for row in rows_of(record)}
    assert len(back) == len(rows)
    for row in rows:
        other = back[row[:5]]
        assert other[6:] == row[6:] and other.value == pytest.approx(row.value, nan_ok=True)


def test_a_metric_of_a_package_that_is_gone_is_not_shown() -> None:
    gone = [*ROWS, FigureRow("a", "separation", MODEL, "piano", "of_yore", 1.0)]
    assert Figures([*STEMS], INSTRUMENTS, gone).summary() == SUMMARY


def test_counts_of_another_metric_are_refused() -> None:
    bad = [FigureRow("a", "transcription", MODEL, "piano", "frame_f1", 0.5, (1, 2))]
    with pytest.raises(ValueError, match="unpack"):
        Figures(["a"], INSTRUMENTS, bad)


def test_overall_is_for_counts_and_whole_tracks() -> None:
    rows = [FigureRow("a", "separation", MODEL, OVERALL, "dropped_windows", 0.2, (10, 2))]
    result = Figures(["a"], INSTRUMENTS, [*rows, *(row for row in ROWS if row.track == "a")])
    assert result.value("separation", MODEL, "dropped_windows", OVERALL) == 0.2
    assert result.summary()["overall"]["separation"]["dropped_windows_counts"] == [10, 2]


def interval(values: np.ndarray, of=np.mean) -> list[float] | None:
    return bootstrap(len(values), [lambda drawn: of(values[drawn], axis=-1)])


@pytest.mark.parametrize("of", [np.mean, np.median])
def test_intervals_are_those_of_scipy(of) -> None:
    """The same percentile method and draws; `scipy.stats.bootstrap` has no interval where a resample is undefined."""
    values = RNG.normal(3.0, 2.0, 40)
    expected = scipy.stats.bootstrap(
        (values,), of, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert interval(values, of) == pytest.approx(list(expected))


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    hits = 0
    for _ in range(400):
        low, high = interval(RNG.normal(1.0, 1.0, 40))
        hits += low <= 1.0 <= high
    assert 0.89 <= hits / 400 <= 0.98


def test_seeded_and_undefined() -> None:
    values = RNG.normal(0, 1, 10)
    assert interval(values) == interval(values)
    assert interval(values[:1]) is None
    assert bootstrap(0, [lambda drawn: drawn.sum(axis=-1)]) is None
    assert bootstrap(3, []) is None
    assert bootstrap(3, [lambda drawn: np.full(len(drawn), NAN)]) is None
    assert interval(np.array([NAN, 1.0, 1.0]), lambda drawn, axis: nanmean(drawn, axis)) == [1.0, 1.0]


def test_a_mean_over_instruments_draws_their_tracks_together() -> None:
    """Two instruments that differ by the sign: their mean is zero in every resample."""
    values = RNG.normal(0, 1, 20)
    both = [lambda drawn, sign=sign: sign * values[drawn].mean(axis=-1) for sign in (1, -1)]
    assert bootstrap(20, both) == pytest.approx([0, 0], abs=1e-12)


def test_nothing_left_is_undefined_without_a_warning() -> None:
    values = np.array([[NAN, NAN], [1.0, NAN], [1.0, 2.0]])
    np.testing.assert_array_equal(nanmean(values, axis=1), [NAN, 1.0, 1.5])
    assert np.isnan(nanmean(values[0], of=np.nanmedian)) and nanmean(values[2], of=np.nanmedian) == 1.5
    assert (finite(np.nan), finite(np.inf), finite(np.float32(0.5))) == (None, None, 0.5)
