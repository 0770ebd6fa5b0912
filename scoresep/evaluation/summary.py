"""Track records to the figures of a result. Called by `evaluate`.

Frame scores are pooled: hits and misses of all frames of the split are added up before F1 is computed. Note scores are
means over the tracks in which there are notes. Only `scored` pairs (see `records`) enter SI-SDR and BSS Eval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from scoresep.evaluation.bss import FIGURES
from scoresep.evaluation.metrics import Counts, NoteCounts, NoteScores, Scores, note_scores, scores
from scoresep.evaluation.statistics import Bootstrap, Statistic, f1_of, finite, mean_of, median_of
from scoresep.instruments import Instrument

SEPARATION = ("si_sdr", "si_sdr_improvement")
FRAMES = tuple(f"frame_{name}" for name in Scores._fields)
NOTES = tuple(f"note_{name}" for name in NoteScores._fields)
F1 = ("frame_f1", "note_f1", "note_offset_f1")
"""Figures of transcription that get an interval."""
STATES = ("scored", "silent", "alone")
TRANSCRIPTIONS = {"transcription": "mixture", "transcription_separated": "separated"}
"""Transcriptions of a record by what they were read from."""

Record = Mapping[str, Any]


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the defined values, None if there are none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def median(values: Iterable[float | None]) -> float | None:
    """Median of the defined values, None if there are none."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def array(values: Iterable[float | None]) -> np.ndarray:
    """float64 (n,), NaN for None."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def summarise(records: Sequence[Record], instruments: Sequence[Instrument], rows: Sequence[str]) -> dict[str, Any]:
    """Figures of a split from the records of `evaluate_track`.

    Args:
        rows: the model's row, then the references'.

    Returns:
        `separation.<instrument>`: si_sdr, si_sdr_improvement, each with `..._median` and `..._interval` (and the
            interval of the median improvement); rest_leak_db with its median; tracks scored, silent and alone, leak_db
            where silent, and seconds of rests;
        `baselines.<row>.<instrument>`: the same of a reference, without the counts;
        `transcription.<instrument>`: frame_* (pooled), note_* (means over tracks), with `..._interval` of F1 and
            `..._median` over tracks, tracks with notes; empty where the model does not transcribe;
        `transcription_separated.<instrument>`: the same, read off the separated tracks;
        `mean.{separation,transcription,transcription_separated,baselines.<row>}`: means over the instruments;
        `overall.{transcription,transcription_separated}`: the same figures with the counts of all instruments added;
        `leakage.{mixture,separated}.<instrument>`: see `leakage`;
        `bss_eval`: see `bss_summary`; absent if it was not computed;
        `counts`: tracks, and pairs scored, silent and alone.
    """
    model, *references = rows
    names = [instrument.name for instrument in instruments]
    scored = [instrument.name for instrument in instruments if instrument.scored]
    draw = Bootstrap(len(records))
    separation = {row: {name: _separation(records, name, row, draw) for name in names} for row in rows}
    own = {name: {**separation[model][name], **_states(records, name)} for name in names}
    summary: dict[str, Any] = {"separation": own}
    means: dict[str, Any] = {
        "separation": _mean_separation(records, separation[model], model, draw),
        "baselines": {row: _mean_separation(records, separation[row], row, draw) for row in references},
    }
    overall, leaks = {}, {}
    for key, source in TRANSCRIPTIONS.items():
        heard = [record for record in records if record[key]]
        known = {name: _transcription(_of(heard, key, name), draw) for name in scored} if heard else {}
        summary[key] = known
        means[key] = _mean_transcription(heard, key, known, draw)
        overall[key] = _transcription([_added(record[key]) for record in heard], draw) if heard else {}
        leaks[source] = {name: leakage(_of(heard, key, name)) for name in scored} if heard else {}
    bss = {"bss_eval": bss_summary(records, names, rows)} if any("bss_eval" in record for record in records) else {}
    return {
        **summary,
        "baselines": {row: separation[row] for row in references},
        "mean": means,
        "overall": overall,
        "leakage": leaks,
        **bss,
        "counts": {
            "tracks": len(records),
            **{state: sum(own[name][state] for name in names) for state in STATES},
        },
    }


def _of(records: Sequence[Record], key: str, instrument: str) -> list[Record]:
    return [record[key][instrument] for record in records]


def _pairs(records: Sequence[Record], instrument: str) -> list[Record]:
    return [record["separation"][instrument] for record in records if record["separation"]]


def _scored(records: Sequence[Record], instrument: str, name: str, row: str) -> list[float | None]:
    """A figure of every track, None where the pair is not scored."""
    return [pair[name][row] if pair["state"] == "scored" else None for pair in _pairs(records, instrument)]


def _separation(records: Sequence[Record], instrument: str, row: str, draw: Bootstrap) -> dict[str, Any]:
    """Means, medians and intervals of one row over the scored pairs of an instrument."""
    figures: dict[str, Any] = {}
    for name in SEPARATION:
        values = _scored(records, instrument, name, row)
        figures |= {name: mean(values), f"{name}_median": median(values), f"{name}_interval": None}
        if values:
            figures[f"{name}_interval"] = draw.interval(mean_of(array(values)))
    gains = _scored(records, instrument, "si_sdr_improvement", row)
    figures["si_sdr_improvement_median_interval"] = draw.interval(median_of(array(gains))) if gains else None
    leaks = [pair["rests"]["leak_db"][row] for pair in _pairs(records, instrument)]
    return {**figures, "rest_leak_db": mean(leaks), "rest_leak_db_median": median(leaks)}


def _states(records: Sequence[Record], instrument: str) -> dict[str, Any]:
    pairs = _pairs(records, instrument)
    states = [pair["state"] for pair in pairs]
    return {
        **{state: states.count(state) for state in STATES},
        "leak_db": mean(pair["leak_db"] for pair in pairs if pair["state"] == "silent"),
        "rest_seconds": float(sum(pair["rests"]["seconds"] for pair in pairs)),
        "rest_tracks": sum(pair["rests"]["seconds"] > 0 for pair in pairs),
    }


def _mean_separation(
    records: Sequence[Record], figures: Mapping[str, Mapping[str, Any]], row: str, draw: Bootstrap
) -> dict[str, Any]:
    found = _over_instruments(
        figures, [*SEPARATION, *(f"{name}_median" for name in SEPARATION), "rest_leak_db", "rest_leak_db_median"]
    )
    for name in SEPARATION:
        values = [array(_scored(records, instrument, name, row)) for instrument in figures]
        found[f"{name}_interval"] = draw.interval(*map(mean_of, values)) if any(map(len, values)) else None
    return found


def _transcription(found: Sequence[Record], draw: Bootstrap) -> dict[str, Any]:
    """Figures from one transcription record a track."""
    frame = scores(Counts(*np.sum([record["frame_counts"] for record in found], axis=0).tolist()))
    return {
        **{f"frame_{key}": finite(value) for key, value in frame._asdict().items()},
        **{name: mean(record[name] for record in found) for name in NOTES},
        **{f"{name}_median": median(record[name] for record in found if plays(record)) for name in F1},
        **{f"{name}_interval": draw.interval(_statistic(found, name)) for name in F1},
        "tracks": sum(record["notes"] > 0 for record in found),
    }


def plays(record: Record) -> bool:
    """Whether a key truly sounds in any frame."""
    hit, _, missed = record["frame_counts"]
    return hit + missed > 0


def _statistic(found: Sequence[Record], name: str) -> Statistic:
    if name == "frame_f1":
        return f1_of(np.array([record["frame_counts"] for record in found]))
    return mean_of(array(record[name] for record in found))


def _added(parts: Mapping[str, Record]) -> dict[str, Any]:
    """A track's record with all instruments taken together: counts added, so that a note must have the right one."""
    frames = Counts(*np.sum([part["frame_counts"] for part in parts.values()], axis=0).tolist())
    notes = NoteCounts(*np.sum([part["note_counts"] for part in parts.values()], axis=0).tolist())
    return {
        **{f"frame_{key}": finite(value) for key, value in scores(frames)._asdict().items()},
        **{f"note_{key}": finite(value) for key, value in note_scores(notes)._asdict().items()},
        "frame_counts": list(frames),
        "notes": notes.true,
    }


def _mean_transcription(
    records: Sequence[Record], key: str, figures: Mapping[str, Mapping[str, Any]], draw: Bootstrap
) -> dict[str, Any]:
    found = _over_instruments(figures, [*FRAMES, *NOTES, *(f"{name}_median" for name in F1)])
    for name in F1:
        statistics = [_statistic(_of(records, key, instrument), name) for instrument in figures]
        found[f"{name}_interval"] = draw.interval(*statistics) if statistics else None
    return found


def _over_instruments(figures: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    return {name: mean(values[name] for values in figures.values()) for name in names}


def leakage(found: Sequence[Record]) -> dict[str, Any]:
    """What an instrument's estimated notes are, over all tracks.

    Returns:
        `estimated`: how many; shares of them, None if there are none: `right`: notes of this instrument; `leaked`: not
        right, but a note of another; `notes_of.<instrument>`: not right, but a note of that one (of the instrument
        itself: right).
    """
    estimated = sum(record["estimated_notes"] for record in found)
    per = (lambda count: count / estimated) if estimated else (lambda count: None)
    names = list(found[0]["notes_of"])
    return {
        "estimated": estimated,
        "right": per(sum(record["note_counts"][2] for record in found)),
        "leaked": per(sum(record["leaked_notes"] for record in found)),
        "notes_of": {name: per(sum(record["notes_of"][name] for record in found)) for name in names},
    }


def bss_summary(records: Sequence[Record], names: Sequence[str], rows: Sequence[str]) -> dict[str, Any]:
    """BSS Eval over the scored pairs.

    Returns:
        `windows`, `dropped.<row>`: windows of all tracks, and those without a value;
        `rows.<row>.<instrument>`: sdr, isr, sir, sar (means over tracks of medians over windows), their `..._median`
            over tracks, and `tracks` with a value; under `mean` the means over instruments.
    """
    held = [record for record in records if "bss_eval" in record]
    return {
        "windows": sum(record["bss_eval"]["windows"] for record in held),
        "dropped": {row: sum(record["bss_eval"]["dropped"].get(row, 0) for record in held) for row in rows},
        "rows": {row: _bss_row(held, names, row) for row in rows},
    }


def _bss_row(records: Sequence[Record], names: Sequence[str], row: str) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name in names:
        found = [
            record["bss_eval"]["rows"][row][name]
            for record in records
            if record["separation"][name]["state"] == "scored"
        ]
        figures[name] = {
            **{key: mean(values[key] for values in found) for key in FIGURES},
            **{f"{key}_median": median(values[key] for values in found) for key in FIGURES},
            "tracks": sum(values["sdr"] is not None for values in found),
        }
    keys = [*FIGURES, *(f"{key}_median" for key in FIGURES)]
    return {**figures, "mean": _over_instruments(figures, keys)}
