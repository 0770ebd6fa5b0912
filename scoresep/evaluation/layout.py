"""What tables of a result show, wherever: their rows, and the figures of each. Called by `terminal` and `reporting`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoresep.evaluation.baselines import BASELINES
from scoresep.evaluation.records import MODEL
from scoresep.evaluation.summary import STATES

MODEL_LABEL = "this model"
SCORES = {
    "frames": ("transcription", "frame_f1"),
    "notes": ("transcription", "note_f1"),
    "notes, offset": ("transcription", "note_offset_f1"),
    "sep. frames": ("transcription_separated", "frame_f1"),
    "sep. notes": ("transcription_separated", "note_f1"),
    "sep. offset": ("transcription_separated", "note_offset_f1"),
}
"""Rows of the short table of transcription: where a figure stands, and what it is."""
DETAILS = {
    f"{kind}_{score}": f"{label} {title}"
    for kind, label in (("frame", "frame"), ("note", "note"), ("note_offset", "offset"))
    for score, title in (("precision", "prec."), ("recall", "recall"), ("f1", "F1"), ("accuracy", "acc."))
    if kind == "frame" or score != "accuracy"
}
"""Rows of the long ones."""


def separated(summary: Mapping[str, Any]) -> bool:
    """Whether there were stems to compare with."""
    return any(summary["counts"][state] for state in STATES)


def rows_of(summary: Mapping[str, Any], titles: bool = False) -> dict[str, str]:
    """Labels of the rows in the order of what they know: the model before those that know the stems.

    A reference that is not known any more keeps its name.

    Args:
        titles: whether there is room for titles in place of labels.
    """
    known = {row: BASELINES.get(row) for row in summary["baselines"]}
    labels = {row: (found.title if titles else found.label) if found else row for row, found in known.items()}
    told = [row for row, found in known.items() if found and found.knows_stems]
    blind = {row: label for row, label in labels.items() if row not in told}
    return {**blind, MODEL: MODEL_LABEL, **{row: labels[row] for row in told}}


def separation_figures(summary: Mapping[str, Any], row: str) -> list[Mapping[str, Any]]:
    """Figures of separation of a row: every instrument's, then their mean's."""
    figures = summary["separation"] if row == MODEL else summary["baselines"][row]
    mean = summary["mean"]["separation"] if row == MODEL else summary["mean"]["baselines"][row]
    return [*figures.values(), mean]


def transcription_figures(summary: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Figures of the transcription `key`: every instrument's ({} if it has no notes), their mean's, those overall."""
    names = summary["separation"]
    return [*(summary[key].get(name, {}) for name in names), summary["mean"][key], summary["overall"][key]]


def leakage_shares(summary: Mapping[str, Any], source: str) -> dict[str, list[float | None]]:
    """Instrument to the shares of its estimated notes that are truly each instrument's, in order, and nobody's."""
    found = summary["leakage"][source]
    return {
        name: [
            *(figures["notes_of"][other] for other in found),
            None if figures["right"] is None else 1 - figures["right"] - figures["leaked"],
        ]
        for name, figures in found.items()
    }
