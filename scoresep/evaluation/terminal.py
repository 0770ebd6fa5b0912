"""Tables of a result and of a comparison for a terminal. Called by the command line, which prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scoresep.evaluation.bss import FIGURES
from scoresep.evaluation.compare import FIGURES as FIGURES_COMPARED
from scoresep.evaluation.compare import Comparison
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

SOURCES = {"transcription": "off the mixture", "transcription_separated": "off separated"}
"""Transcriptions, and the corner of the table of each."""


def result_tables(evaluation: Evaluation, details: bool = False) -> RenderableType:
    """Tables of SI-SDR (and improvement) of every row and of the model's frame and note scores; counts and notes below.

    Fits 80 columns for three instruments, 100 for four.

    Args:
        details: all scores of transcription, what estimated notes are, and BSS Eval of every row, instead of a choice.
    """
    summary, about = evaluation.summary, evaluation.about
    tracks = summary["counts"]["tracks"]
    heading = f"{about['corpus']} corpus, {tracks} {about['split']} tracks (split set {about['split_set']})"
    tables = [_separation_table(summary)] if separated(summary) else []
    if "bss_eval" in summary:
        tables.append(_bss_table(summary, details))
    if summary["transcription"]:
        tables += _details(summary) if details else [_transcription_table(summary, "this model, F1", SCORES)]
    lines = [Text(line, style="dim") for line in [*_legend(summary), *evaluation.notes]]
    return Group(Text(heading, style="bold"), *tables, *lines)


def _details(summary: Mapping[str, Any]) -> list[Table]:
    """All figures of transcription."""
    tables = [
        _transcription_table(summary, corner, {label: (key, figure) for figure, label in DETAILS.items()})
        for key, corner in SOURCES.items()
        if summary.get(key)
    ]
    return tables + [_leakage_table(summary, source) for source in summary.get("leakage", {})]


def _separation_table(summary: Mapping[str, Any]) -> Table:
    table = _table("SI-SDR, dB", summary, "mean")
    for row, label in rows_of(summary).items():
        ours, columns = row == MODEL, separation_figures(summary, row)
        table.add_row(
            label, *[_separation(values, row != "mixture") for values in columns], style="bold" if ours else None
        )
        intervals = [values.get("si_sdr_improvement_interval") for values in columns]
        if ours and any(intervals):
            table.add_row("  95 %", *[_interval(ends) for ends in intervals])
    return table


def _bss_table(summary: Mapping[str, Any], details: bool) -> Table:
    table = _table("BSS Eval, dB", summary, "mean")
    found = summary["bss_eval"]["rows"]
    names = [*summary["separation"], "mean"]
    for row, label in rows_of(summary).items():
        if row == MODEL or details:
            for figure in FIGURES:
                cells = [_number(found[row][name][figure], 1) for name in names]
                table.add_row(f"{label} {figure.upper()}" if details else figure.upper(), *cells)
    return table


def _transcription_table(summary: Mapping[str, Any], corner: str, rows: Mapping[str, tuple[str, str]]) -> Table:
    """A line a row: its label, where its figure stands (`SOURCES`) and what it is."""
    table = _table(corner, summary, "mean", "overall")
    for label, (key, figure) in rows.items():
        if summary.get(key):
            cells = [_number(values.get(figure), 2) for values in transcription_figures(summary, key)]
            table.add_row(label, *cells)
    return table


def _leakage_table(summary: Mapping[str, Any], source: str) -> Table:
    """A line an instrument: what its estimated notes are."""
    found = leakage_shares(summary, source)
    table = Table(header_style="bold")
    table.add_column(f"notes, {source}", no_wrap=True, min_width=14)
    for name in (*(f"of {name}" for name in found), "of none"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, shares in found.items():
        table.add_row(name, *map(_percent, shares))
    return table


def _table(corner: str, summary: Mapping[str, Any], *further: str) -> Table:
    table = Table(header_style="bold")
    table.add_column(corner, no_wrap=True, min_width=14)
    for name in (*summary["separation"], *further):
        table.add_column(name, justify="right", no_wrap=True, min_width=12 if len(further) == 1 else 8)
    return table


def _separation(figures: Mapping[str, Any], improvement: bool) -> str:
    if figures["si_sdr"] is None:
        return "-"
    gain = f" ({figures['si_sdr_improvement']:+.1f})" if improvement else ""
    return f"{figures['si_sdr']:.1f}{gain}"


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _interval(ends: Sequence[float] | None, decimals: int = 1) -> str:
    return f"{ends[0]:+.{decimals}f}..{ends[1]:+.{decimals}f}" if ends else "-"


def _legend(summary: Mapping[str, Any]) -> list[str]:
    """What the figures are, and which pairs are not in them."""
    lines = [
        "SI-SDR: mean over tracks (improvement over mixture). " * separated(summary)
        + "Notes: onset within 50 ms." * bool(summary["transcription"])
    ]
    if summary["transcription"]:
        lines.append("sep.: read off the separated tracks. overall: all instruments' keys and notes taken together.")
    separation = summary["separation"]
    if any(figures.get("si_sdr_improvement_interval") for figures in separation.values()):
        lines.append("95 %: bootstrap interval, over tracks, of the mean improvement.")
    if medians := _listed(separation, "si_sdr_improvement_median", "+.1f"):
        lines.append(f"Median improvement: {medians} dB.")
    if rests := _listed(separation, "rest_leak_db", ".0f"):
        lines.append(f"Energy where an instrument rests, dB re mixture: {rests}.")
    if shares := _listed(summary.get("leakage", {}).get("separated", {}), "leaked", ".0%"):
        lines.append(f"Notes off the separated tracks that are another instrument's: {shares}.")
    if bss := summary.get("bss_eval"):
        lines.append(
            f"BSS Eval v4: medians over windows, means over tracks; {bss['dropped'][MODEL]} of {bss['windows']} "
            "windows dropped (a source silent)."
        )
    counts = summary["counts"]
    if leaks := _listed(separation, "leak_db", ".0f"):
        lines.append(f"Left out: {counts['silent']} silent stems; energy there, dB re mixture: {leaks}.")
    if counts["alone"]:
        lines.append(f"Left out: {counts['alone']} where the instrument plays alone.")
    return lines


def _listed(figures: Mapping[str, Mapping[str, Any]], key: str, form: str) -> str:
    """'piano +1.5, bass +4.1'; '' if no instrument has a value."""
    return ", ".join(f"{name} {each[key]:{form}}" for name, each in figures.items() if each.get(key) is not None)


def comparison_table(comparison: Comparison) -> RenderableType:
    """A table of differences: a line a figure and instrument; fits 100 columns."""
    about = comparison.about
    table = Table(header_style="bold")
    table.add_column("b - a", no_wrap=True)
    table.add_column("instrument", no_wrap=True)
    for name in ("n", "a", "b", "difference", "95 %", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for figure, found in comparison.figures.items():
        decimals = 1 if FIGURES_COMPARED[figure][0] == "separation" else 3
        lines = {name: values for name, values in found.items() if values}
        for name, values in lines.items():
            last = name == [*lines][-1]
            table.add_row(
                FIGURES_COMPARED[figure][1] if name == next(iter(lines)) else "",
                name,
                str(values["n"]),
                *[f"{values[key]:.{decimals}f}" for key in ("a", "b")],
                f"{values['difference']:+.{decimals + 1 if decimals == 1 else decimals}f}",
                _interval(values["interval"], decimals + 1 if decimals == 1 else decimals),
                _p_value(values["p"]),
                style="bold" if name == "mean" else None,
                end_section=last,
            )
    heading = f"{about['corpus']} corpus, {about['tracks']} {about['split']} tracks (split set {about['split_set']})"
    legend = [
        f"a: {about['a']['path']} (stage {about['a']['stage']})",
        f"b: {about['b']['path']} (stage {about['b']['stage']})",
        "n: tracks that count. 95 %: bootstrap interval of the mean difference. p: Wilcoxon's signed-rank test, two-",
        "sided, not corrected for the number of lines. It is about these two checkpoints, not about seeds or methods.",
    ]
    return Group(Text(heading, style="bold"), table, *(Text(line, style="dim") for line in legend))


def _p_value(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "<0.001"
