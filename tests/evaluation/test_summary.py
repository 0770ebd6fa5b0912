import numpy as np

from scoresep.evaluation.statistics import finite
from scoresep.evaluation.summary import FRAMES, NOTES, mean, median, summarise
from scoresep.instruments import choose


def pair(state: str, model: float = 0.0, leak: float | None = None) -> dict:
    """Half a second of rests, in which the model leaks -20 dB and the mixture is the mixture."""
    rests = {"rests": {"seconds": 0.5, "leak_db": {"model": -20.0, "mixture": 0.0}}}
    if state == "silent":
        return {"state": state, "leak_db": leak, **rests}
    figures = {"model": model, "mixture": 1.0}
    return {"state": state, "si_sdr": figures, "si_sdr_improvement": {"model": model - 1.0, "mixture": 0.0}, **rests}


def notes(
    frames: list[int], f1: float | None, counts: tuple[int, int, int, int] = (0, 0, 0, 0), leaked: int = 0
) -> dict:
    return {
        **dict.fromkeys(FRAMES, f1),
        **dict.fromkeys(NOTES, f1),
        "frame_counts": frames,
        "note_counts": list(counts),
        "notes": counts[0],
        "estimated_notes": counts[1],
        "leaked_notes": leaked,
        "notes_of": {"piano": counts[2], "bass": leaked},
    }


RECORDS = [
    {
        "separation": {"piano": pair("scored", 2.0), "bass": pair("silent", leak=-30.0)},
        "transcription": {
            "piano": notes([8, 2, 0], 0.5, (5, 10, 4, 2), 3),
            "bass": notes([0, 5, 0], None, (0, 5, 0, 0), 2),
        },
    },
    {
        "separation": {"piano": pair("scored", 4.0), "bass": pair("alone", 70.0)},
        "transcription": {"piano": notes([0, 0, 10], 0.25, (5, 0, 0, 0)), "bass": notes([5, 0, 0], 1.0, (5, 5, 5, 5))},
    },
    {
        "separation": {"piano": pair("scored", 9.0), "bass": pair("silent", leak=-10.0)},
        "transcription": {"piano": notes([0, 0, 0], None), "bass": notes([0, 0, 0], None)},
    },
]
for record in RECORDS:
    record["transcription_separated"] = record["transcription"]
SUMMARY = summarise(RECORDS, choose(["piano", "bass"]), ("model", "mixture"))


def test_means_and_medians_over_scored_pairs() -> None:
    piano = SUMMARY["separation"]["piano"]
    assert (piano["si_sdr"], piano["si_sdr_median"]) == (5.0, 4.0)
    assert (piano["si_sdr_improvement"], piano["si_sdr_improvement_median"]) == (4.0, 3.0)
    assert (piano["scored"], piano["silent"], piano["alone"], piano["leak_db"]) == (3, 0, 0, None)


def test_silent_and_alone_are_left_out_and_counted() -> None:
    bass = SUMMARY["separation"]["bass"]
    assert bass["si_sdr"] is None
    assert (bass["scored"], bass["silent"], bass["alone"], bass["leak_db"]) == (0, 2, 1, -20.0)
    assert SUMMARY["counts"] == {"tracks": 3, "scored": 3, "silent": 2, "alone": 1}
    assert SUMMARY["mean"]["separation"]["si_sdr"] == 5.0


def test_frames_are_pooled_and_notes_averaged() -> None:
    piano, bass = (SUMMARY["transcription"][name] for name in ("piano", "bass"))
    assert piano["frame_f1"] == 2 * 8 / (2 * 8 + 2 + 10)
    assert piano["note_f1"] == 0.375
    assert (piano["tracks"], bass["tracks"]) == (2, 1)
    assert bass["frame_precision"] == 0.5
    assert SUMMARY["mean"]["transcription"]["note_f1"] == (0.375 + 1.0) / 2


def test_undefined_values() -> None:
    assert finite(np.nan) is None
    assert finite(np.inf) is None
    assert finite(np.float32(0.5)) == 0.5
    assert mean([None, 2.0, 4.0]) == 3.0
    assert mean([None]) is None
    assert median([]) is None


def test_intervals_hold_their_figure_and_are_of_the_tracks_that_count() -> None:
    piano, bass = (SUMMARY["separation"][name] for name in ("piano", "bass"))
    low, high = piano["si_sdr_interval"]
    assert 2.0 <= low < 5.0 < high <= 9.0
    assert bass["si_sdr_interval"] is None
    low, high = SUMMARY["transcription"]["piano"]["frame_f1_interval"]
    assert low < SUMMARY["transcription"]["piano"]["frame_f1"] < high


def test_instruments_together() -> None:
    """The first track: 8 hits, 2 and 5 false alarms of frames; 5 notes, 15 estimated, 4 right."""
    overall = SUMMARY["overall"]["transcription"]
    assert overall["frame_accuracy"] == 13 / (13 + 7 + 10)
    first, second = 2 * 4 / (5 + 15), 2 * 5 / (10 + 5)
    assert abs(overall["note_f1"] - (first + second) / 2) < 1e-12
    assert overall["tracks"] == 2


def test_leakage_is_a_share_of_all_estimated_notes() -> None:
    found = SUMMARY["leakage"]["separated"]
    assert found["piano"] == {"estimated": 10, "right": 0.4, "leaked": 0.3, "notes_of": {"piano": 0.4, "bass": 0.3}}
    assert (found["bass"]["right"], found["bass"]["leaked"]) == (0.5, 0.2)


def test_rests() -> None:
    bass = SUMMARY["separation"]["bass"]
    assert (bass["rest_leak_db"], bass["rest_seconds"], bass["rest_tracks"]) == (-20.0, 1.5, 3)
    assert SUMMARY["baselines"]["mixture"]["bass"]["rest_leak_db"] == 0.0
