import numpy as np

from scoresep.evaluation.summary import finite, mean, median, summarise
from scoresep.instruments import choose


def pair(state: str, model: float = 0.0, leak: float | None = None) -> dict:
    if state == "silent":
        return {"state": state, "leak_db": leak}
    figures = {"model": model, "mixture": 1.0}
    return {"state": state, "si_sdr": figures, "si_sdr_improvement": {"model": model - 1.0, "mixture": 0.0}}


def notes(counts: list[int], f1: float | None) -> dict:
    return {
        "frame_counts": counts,
        "note_precision": f1,
        "note_recall": f1,
        "note_f1": f1,
        "note_offset_f1": f1,
        "notes": 0 if f1 is None else 5,
    }


RECORDS = [
    {
        "separation": {"piano": pair("scored", 2.0), "bass": pair("silent", leak=-30.0)},
        "transcription": {"piano": notes([8, 2, 0], 0.5), "bass": notes([0, 5, 0], None)},
    },
    {
        "separation": {"piano": pair("scored", 4.0), "bass": pair("alone", 70.0)},
        "transcription": {"piano": notes([0, 0, 10], 0.25), "bass": notes([5, 0, 0], 1.0)},
    },
    {
        "separation": {"piano": pair("scored", 9.0), "bass": pair("silent", leak=-10.0)},
        "transcription": {"piano": notes([0, 0, 0], None), "bass": notes([0, 0, 0], None)},
    },
]
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
