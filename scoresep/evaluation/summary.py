"""Track records to the figures of a result. Called by `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from scoresep.evaluation.metrics import Counts, scores
from scoresep.instruments import Instrument

SILENT_DB = -60.0
"""An instrument whose stem has less energy than this, relative to the mixture, does not play."""
ALONE_DB = 15.0
"""SI-SDR of the mixture above which an instrument plays (all but) alone."""

SEPARATION = ("si_sdr", "si_sdr_improvement")
NOTES = ("note_precision", "note_recall", "note_f1", "note_offset_f1")


def finite(value: float) -> float | None:
    """`value`, or None if it is not a number: JSON has no NaN."""
    return float(value) if np.isfinite(value) else None


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the defined values, None if there are none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def median(values: Iterable[float | None]) -> float | None:
    """Median of the defined values, None if there are none."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def summarise(
    records: Sequence[dict[str, Any]], instruments: Sequence[Instrument], rows: Sequence[str]
) -> dict[str, Any]:
    """Figures of a split from the records of `evaluate_track`.

    Args:
        rows: the model's row, then the baselines'.

    Returns:
        `separation.<instrument>`: si_sdr, si_sdr_improvement, their medians (`..._median`), and tracks scored, silent
            and alone, and leak_db where silent;
        `transcription.<instrument>`: frame_* (pooled), note_* (means over tracks), tracks with notes; empty where the
            model does not transcribe;
        `baselines.<row>.<instrument>`: as separation, without the counts;
        `mean.{separation,transcription,baselines.<row>}`: means over the instruments;
        `counts`: tracks, and pairs scored, silent and alone.
    """
    model, *baselines = rows
    names = [instrument.name for instrument in instruments]
    separation = {name: {**_separation(records, name, model), **_states(records, name)} for name in names}
    scored = [item.name for item in instruments if item.scored and any(record["transcription"] for record in records)]
    transcription = {name: _transcription(records, name) for name in scored}
    reference = {row: {name: _separation(records, name, row) for name in names} for row in baselines}
    states = ("scored", "silent", "alone")
    return {
        "separation": separation,
        "transcription": transcription,
        "baselines": reference,
        "mean": {
            "separation": _over_instruments(separation, list(_separation([], "", ""))),
            "transcription": _over_instruments(transcription, ["frame_precision", "frame_recall", "frame_f1", *NOTES]),
            "baselines": {
                row: _over_instruments(figures, list(_separation([], "", ""))) for row, figures in reference.items()
            },
        },
        "counts": {
            "tracks": len(records),
            **{state: sum(separation[name][state] for name in names) for state in states},
        },
    }


def _separation(records: Sequence[dict[str, Any]], instrument: str, row: str) -> dict[str, float | None]:
    """Means and medians of one row over the scored pairs of an instrument."""
    pairs = [record["separation"][instrument] for record in records if record["separation"]]
    scored = [pair for pair in pairs if pair["state"] == "scored"]
    figures: dict[str, float | None] = {}
    for name in SEPARATION:
        values = [pair[name][row] for pair in scored]
        figures |= {name: mean(values), f"{name}_median": median(values)}
    return figures


def _states(records: Sequence[dict[str, Any]], instrument: str) -> dict[str, Any]:
    pairs = [record["separation"][instrument] for record in records if record["separation"]]
    states = [pair["state"] for pair in pairs]
    return {
        **{state: states.count(state) for state in ("scored", "silent", "alone")},
        "leak_db": mean(pair["leak_db"] for pair in pairs if pair["state"] == "silent"),
    }


def _transcription(records: Sequence[dict[str, Any]], instrument: str) -> dict[str, Any]:
    found = [record["transcription"][instrument] for record in records]
    frame = scores(Counts(*np.sum([record["frame_counts"] for record in found], axis=0).tolist()))
    return {
        **{f"frame_{key}": finite(value) for key, value in frame._asdict().items()},
        **{name: mean(record[name] for record in found) for name in NOTES},
        "tracks": sum(record["notes"] > 0 for record in found),
    }


def _over_instruments(figures: dict[str, dict[str, Any]], names: Sequence[str]) -> dict[str, float | None]:
    return {name: mean(values[name] for values in figures.values()) for name in names}
