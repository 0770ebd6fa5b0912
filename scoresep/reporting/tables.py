"""An evaluation as tables for a page: plain text in cells, nothing of HTML. Called by `page` and `panels`.

The terminal shows a choice of the same figures (`evaluation.terminal`); docs/evaluation.md defines them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scoresep.errors import ScoresepError
from scoresep.evaluation.baselines import BASELINES
from scoresep.evaluation.bss import FIGURES
from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.layout import (
    DETAILS,
    SCORES,
    leakage_shares,
    rows_of,
    separated,
    separation_figures,
    transcription_figures,
)
from scoresep.evaluation.records import MODEL
from scoresep.evaluation.summary import TRANSCRIPTIONS, mean
from scoresep.reporting.cells import NOTHING, Cell, Fact, Row, Table, decimal, gain, interval, percent

BETTER = "SI-SDR improvement"
NAMES = {"mixture": "off the mixture", "separated": "off the separated tracks"}
"""What notes were read off."""
LABELS = {
    "notes, offset": "notes with offset",
    "sep. frames": "frames, off separated tracks",
    "sep. notes": "notes, off separated tracks",
    "sep. offset": "notes with offset, off separated tracks",
}
"""Labels of `SCORES` spelt out: a page has more room than a terminal."""


def tables_of(evaluation: Evaluation, name: str) -> list[Table]:
    """All tables of an evaluation, the most important first.

    Args:
        name: what the evaluation is called in a message.

    Raises:
        ScoresepError: it lacks figures: another version made it, or no version.
    """
    return read(evaluation, name, all_tables)


def facts_of(evaluation: Evaluation, name: str) -> list[Fact]:
    """The few figures that tell most; raises as `tables_of`."""
    return read(evaluation, name, headline)


def read(evaluation: Evaluation, name: str, reader: Callable[[Evaluation], list[Any]]) -> list[Any]:
    try:
        return reader(evaluation)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as fault:
        raise ScoresepError(
            f"{name} lacks figures that this scoresep shows ({type(fault).__name__}: {fault}); "
            "evaluate anew with `scoresep evaluate --force`"
        ) from fault


def all_tables(evaluation: Evaluation) -> list[Table]:
    """See `tables_of`."""
    summary, found = evaluation.summary, []
    for record in evaluation.tracks:  # what the page reads of tracks later must be there, too
        merit(record)
        for name in summary["separation"]:
            figures_of_part(evaluation, record["track"], name)
    if separated(summary):
        found += [separation(summary), silence(summary)]
    if "bss_eval" in summary:
        found.append(bss(summary))
    if summary["transcription"]:
        found.append(transcription(summary))
        for key, source in TRANSCRIPTIONS.items():
            if summary[key]:
                rows = {label: (key, figure) for figure, label in DETAILS.items()}
                found.append(scores(summary, f"All scores, {NAMES[source]}", "0 to 1.", rows, folded=True))
        found += [leakage(summary, source) for source in summary["leakage"] if summary["leakage"][source]]
    if separated(summary):
        found.append(by_track(evaluation))
    return found


def headline(evaluation: Evaluation) -> list[Fact]:
    """See `facts_of`."""
    summary, facts = evaluation.summary, []
    mean = summary["mean"]
    if separated(summary):
        figures = mean["separation"]
        ends = figures["si_sdr_improvement_interval"]
        facts.append(Fact(gain(figures["si_sdr_improvement"], " dB"), f"{BETTER}, this model", interval(ends, "+.1f")))
        facts += [
            Fact(gain(mean["baselines"][row]["si_sdr_improvement"], " dB"), f"{BETTER}, {label}")
            for row, label in rows_of(summary, titles=True).items()
            if row not in (MODEL, "mixture")
        ]
    if summary["transcription"]:
        figures = mean["transcription"]
        for key, label in (("frame_f1", "frame F1"), ("note_f1", "note F1")):
            facts.append(Fact(decimal(figures[key], 2), label, interval(figures[f"{key}_interval"], ".2f")))
    return facts


def hint_of(evaluation: Evaluation) -> str:
    """How to read the headline figures."""
    words = ["Means over instruments; small: 95 % bootstrap interval over tracks."]
    rows = [name for name in evaluation.summary["baselines"] if name in BASELINES and name != "mixture"]
    if any(BASELINES[name].knows_stems for name in rows):
        words.append("The oracle mask knows the true stems.")
    if any(not BASELINES[name].knows_stems for name in rows):
        words.append("Harmonic mask and NMF know the score of the very song; this model knows the mixture alone.")
    return " ".join(words)


def separation(summary: Mapping[str, Any]) -> Table:
    """SI-SDR of every row, with improvement, interval and median."""
    rows = []
    for row, label in rows_of(summary, titles=True).items():
        cells = [separation_cell(values, row != "mixture") for values in separation_figures(summary, row)]
        rows.append(Row(label, tuple(cells), row == MODEL))
    counts = summary["counts"]
    left_out = [
        f"{counts[state]} pairs of track and instrument are left out: {why}."
        for state, why in (("silent", "the instrument is silent"), ("alone", "it plays alone"))
        if counts[state]
    ]
    about = (
        "Means over tracks in dB, in brackets the improvement over the mixture; below it the 95 % bootstrap interval "
        "of the mean improvement over tracks, and the median improvement (med.)."
    )
    columns = (*summary["separation"], "mean")
    return Table("Separation: SI-SDR", " ".join([about, *left_out]), "SI-SDR, dB", columns, tuple(rows))


def separation_cell(figures: Mapping[str, Any], improved: bool) -> Cell:
    if figures["si_sdr"] is None:
        return Cell(NOTHING)
    if not improved:
        return Cell(decimal(figures["si_sdr"], 1))
    ends, middle = figures["si_sdr_improvement_interval"], figures["si_sdr_improvement_median"]
    small = "\n".join(part for part in (interval(ends, "+.1f"), f"med. {gain(middle)}") if part)
    return Cell(f"{decimal(figures['si_sdr'], 1)} ({gain(figures['si_sdr_improvement'])})", small)


def silence(summary: Mapping[str, Any]) -> Table:
    """Energy left where an instrument rests, of every row."""
    rows = []
    for row, label in rows_of(summary, titles=True).items():
        cells = tuple(Cell(decimal(values["rest_leak_db"], 1)) for values in separation_figures(summary, row))
        rows.append(Row(label, cells, row == MODEL))
    about = "Energy of an estimate where its instrument rests, in dB relative to the mixture there: less is better."
    return Table("Leaks into rests", about, "dB", (*summary["separation"], "mean"), tuple(rows), folded=True)


def bss(summary: Mapping[str, Any]) -> Table:
    """BSS Eval v4 of every row."""
    found, names = summary["bss_eval"], (*summary["separation"], "mean")
    rows = [
        Row(
            f"{label}, {figure.upper()}",
            tuple(Cell(decimal(found["rows"][row][name][figure], 1)) for name in names),
            row == MODEL,
        )
        for row, label in rows_of(summary, titles=True).items()
        for figure in FIGURES
    ]
    about = (
        f"Medians over windows of a second, means over tracks; {found['dropped'][MODEL]} of {found['windows']} windows "
        "dropped, because a source is silent there."
    )
    return Table("Separation: BSS Eval v4", about, "dB", names, tuple(rows), folded=True)


def transcription(summary: Mapping[str, Any]) -> Table:
    """F1 with intervals."""
    about = (
        "F1 of keys in frames, pooled over tracks, and of notes, mean over tracks: onset within 50 ms. Below: 95 % "
        "bootstrap interval over tracks. Overall: keys and notes of all instruments taken together."
    )
    rows = {LABELS.get(label, label): place for label, place in SCORES.items()}
    return scores(summary, "Transcription: F1", about, rows)


def scores(
    summary: Mapping[str, Any], title: str, about: str, rows: Mapping[str, tuple[str, str]], folded: bool = False
) -> Table:
    """A row a figure: where it stands, and what it is."""
    names, lines = list(summary["separation"]), []
    for label, (key, figure) in rows.items():
        if summary[key]:
            cells = [
                Cell(decimal(part.get(figure), 2), interval(part.get(f"{figure}_interval"), ".2f"))
                for part in transcription_figures(summary, key)
            ]
            lines.append(Row(label, tuple(cells)))
    return Table(title, about, "this model", (*names, "mean", "overall"), tuple(lines), folded)


def leakage(summary: Mapping[str, Any], source: str) -> Table:
    """What an instrument's estimated notes are."""
    found = leakage_shares(summary, source)
    rows = [Row(name, tuple(Cell(percent(share)) for share in shares)) for name, shares in found.items()]
    about = "Whose notes an instrument's estimated notes truly are: those of another have leaked."
    columns = (*(f"of {name}" for name in found), "of none")
    return Table(f"Whose notes they are, {NAMES[source]}", about, "notes", columns, tuple(rows), folded=True)


def by_track(evaluation: Evaluation) -> Table:
    """The model's improvement on every track."""
    names = tuple(evaluation.summary["separation"])
    rows = []
    for record in evaluation.tracks:
        pairs = [record["separation"].get(name) for name in names]
        cells = tuple(Cell(state_or_gain(pair)) for pair in pairs)
        rows.append(Row(str(record["track"]), cells))
    return Table("Track by track", "Improvement of SI-SDR by this model, dB.", "track", names, tuple(rows), folded=True)


def state_or_gain(pair: Mapping[str, Any] | None) -> str:
    if not pair:
        return NOTHING
    return gain(pair["si_sdr_improvement"][MODEL]) if pair["state"] == "scored" else str(pair["state"])


def merit(record: dict[str, Any]) -> float | None:
    """What a track is ranked by: the mean improvement, or note F1 where nothing was separated; None if undefined."""
    gains = [pair["si_sdr_improvement"][MODEL] for pair in record["separation"].values() if pair["state"] == "scored"]
    notes = [part["note_f1"] for part in record["transcription"].values() if part["note_f1"] is not None]
    known = gains or (notes if not record["separation"] else [])
    return mean(known)


def figures_of_part(evaluation: Evaluation, track: str, name: str) -> list[Row]:
    """SI-SDR of every row, and the note scores, of one instrument on one track; nothing if it was not evaluated."""
    record = next((record for record in evaluation.tracks if record["track"] == track), None)
    if record is None:
        return []
    rows = []
    pair = record["separation"].get(name)
    if pair and pair["state"] != "silent":
        rows = [
            Row(f"SI-SDR, {label}", (Cell(f"{decimal(pair['si_sdr'][row], 1)} dB"),), row == MODEL)
            for row, label in rows_of(evaluation.summary, titles=True).items()
            if row in pair["si_sdr"]
        ]
    if part := record["transcription"].get(name):
        rows += [
            Row(label, (Cell(decimal(part[key], 2)),))
            for label, key in (("frame F1", "frame_f1"), ("note F1", "note_f1"))
        ]
    return rows
